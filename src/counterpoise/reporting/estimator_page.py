"""The page of a library class: what was chosen, what it costs and buys, and what other tolerances would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from counterpoise.catalogue import CHOSEN, UNREPAIRED
from counterpoise.reporting._marks import finish
from counterpoise.reporting._theme import NEUTRAL, faded, method_colours
from counterpoise.reporting.audit_page import PageSection, page
from counterpoise.reporting.context import Table
from counterpoise.reporting.wording import metric_label, number, shortfall_symbol

_HEIGHT, _STAR, _DOT, _DIM = 460, 16, 5, 0.3

RATES = {"selected": "selected", "true_positive": "true positive rate", "false_positive": "false positive rate"}

JUDGED = "Figures are of rows that the model in question had not learnt from."


def estimator_page(
    frontier: pd.DataFrame,
    choice: pd.Series,
    rates: pd.DataFrame,
    others: Mapping[float, tuple[pd.Series, bool]],
    facts: Mapping[str, str],
    limits: tuple[str, float],
) -> str:
    """Return the HTML.

    Args:
        frontier, choice, rates: as `FairFrontier` has them after a choice.
        others: what would be chosen under other tolerances, and whether it would be within them.
        facts: what stands below the title. limits: the criterion and the tolerance.
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
    named = [name for name in ("group", "class") if name in rates]
    columns = (*named, "rows", *RATES.values())
    rates = rates.assign(
        group=[
            f"{group}{'' if compared else ' (not compared)'}"
            for group, compared in rates[["group", "compared"]].to_numpy()
        ]
    )
    cells = [
        [*(str(row[name]) for name in named), f"{row['rows']:,}", *(number(row[name]) for name in RATES)]
        for _, row in rates.iterrows()
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
        PageSection("frontier", "The frontier", figures={"frontier": frontier_figure(frontier, limits)}),
        PageSection(
            "tolerances",
            "What other tolerances cost",
            tables=[
                Table(
                    "The choice under each",
                    "Without fitting again: choose(tolerance).",
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
    return page("FairFrontier", "choice of a model", facts, sections, {})


def frontier_figure(frontier: pd.DataFrame, limits: tuple[str, float]) -> go.Figure:
    """Draw every model's error against its bias, those that no other beats in both, the tolerance and the choice."""
    criterion, tolerance = limits
    ours, plain = method_colours([CHOSEN])[CHOSEN], NEUTRAL
    best = frontier[~frontier["dominated"]].sort_values(criterion)
    chosen = frontier[frontier["chosen"]]
    star = {"symbol": "star", "size": _STAR, "color": ours}
    traces = [_points(frontier, criterion, name="all models", marker={"color": faded(plain, _DIM), "size": _DOT})]
    traces.append(
        _points(best, criterion, mode="lines+markers", name="no other model is better in both", line={"color": ours})
    )
    traces.append(_points(chosen, criterion, name="the choice", marker=star))
    figure = go.Figure(traces)
    figure.add_vline(x=tolerance, line={"dash": "dot", "color": plain})
    figure.update_layout(xaxis_title=shortfall_symbol(criterion), yaxis_title=metric_label("err"))
    return finish(figure, f"Error against {shortfall_symbol(criterion)}", _HEIGHT)


def _points(models: pd.DataFrame, criterion: str, *, mode: str = "markers", **drawn: Any) -> go.Scatter:
    hover = "<b>%{text}</b><br>%{y:.2f}%, %{x:.3f}<extra></extra>"
    x, y, names = models[criterion], models["err"], models["variant"]
    return go.Scatter(x=x, y=y, text=names, mode=mode, hovertemplate=hover, **drawn)
