"""The page of a library class: what was chosen, what it costs and buys, and what other tolerances would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from counterpoise.catalogue import UNREPAIRED
from counterpoise.reporting.audit_page import PageSection, page
from counterpoise.reporting.context import Table
from counterpoise.reporting.wording import number, shortfall_symbol

RATES = {"selected": "selected", "true_positive": "true positive rate", "false_positive": "false positive rate"}

JUDGED = "Figures are of rows that the model in question had not learnt from."


def estimator_page(
    frontier: pd.DataFrame,
    choice: pd.Series,
    rates: pd.DataFrame,
    others: Mapping[float, tuple[pd.Series, bool]],
    figure: go.Figure,
    facts: Mapping[str, str],
    limits: tuple[str, float],
) -> str:
    """Return the HTML.

    Args:
        frontier, choice, rates: as `FairFrontier` has them after a choice.
        others: what would be chosen under other tolerances, and whether it would be within them.
        figure: of the frontier. facts: what stands below the title. limits: the criterion and the tolerance.
    """
    criterion, tolerance = limits
    symbol = shortfall_symbol(criterion)
    bases = frontier[frontier["method"] == UNREPAIRED].sort_values("err")
    before = bases.iloc[0] if len(bases) else choice
    is_met = float(choice[criterion]) <= tolerance
    exchange = (
        f"error {number(before['err'], 'err')} → {number(choice['err'], 'err')}%, "
        f"{symbol} {number(before[criterion])} → {number(choice[criterion])}"
    )
    answer = [
        f"Under {symbol} ≤ {tolerance:g} the choice is {choice['variant']}: {exchange}, beside the unrepaired model.",
        "It is within the tolerance." if is_met else "No model is within the tolerance; this one comes closest.",
        f"{JUDGED} The prediction needs no group.",
    ]
    columns = ("group", "rows", *RATES.values())
    cells = [
        [str(row.group), f"{row.rows:,}", *(number(getattr(row, name)) for name in RATES)] for row in rates.itertuples()
    ]
    prices = [
        [
            f"{one:g}",
            str(model["variant"]),
            number(model["err"], "err"),
            number(model[criterion]),
            "yes" if met else "no",
        ]
        for one, (model, met) in others.items()
    ]
    best = frontier[~frontier["dominated"]].sort_values(criterion)
    shown = [[str(row["variant"]), number(row["err"], "err"), number(row[criterion])] for _, row in best.iterrows()]
    sections = [
        PageSection("answer", "The answer", answer, is_list=True),
        PageSection("rates", "Each group's rates", tables=[Table("The choice", JUDGED, columns, cells)]),
        PageSection("frontier", "The frontier", figures={"frontier": figure}),
        PageSection(
            "tolerances",
            "What other tolerances cost",
            tables=[
                Table(
                    "The choice under each",
                    "Without fitting again: `choose(tolerance)`.",
                    ("tolerance", "model", "error, %", symbol, "met"),
                    prices,
                )
            ],
            folded={
                "All models that no other one beats in both": [
                    Table("Not dominated", JUDGED, ("model", "error, %", symbol), shown)
                ]
            },
        ),
    ]
    return page("FairFrontier", "choice of a model", facts, sections, _no_lineage())


def _no_lineage() -> dict[str, Any]:
    return {}
