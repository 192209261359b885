"""Pages beside the report, on one thing each: what the data say, what a library class has chosen, and others.

They look like the report, open from disk without a network, and are byte-identical for equal contents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from counterpoise.catalogue import CHOSEN, UNREPAIRED
from counterpoise.reporting import figures_audit, tables_audit
from counterpoise.reporting._marks import finish
from counterpoise.reporting._templates import render, resource
from counterpoise.reporting._theme import NEUTRAL, faded, method_colours
from counterpoise.reporting.context import Table
from counterpoise.reporting.report import commands, figure_view, lineage_rows
from counterpoise.reporting.wording import metric_label, number, shortfall_symbol


@dataclass(frozen=True)
class PageSection:
    """One section of a page.

    Attributes:
        name: anchor. title: heading.
        sentences: paragraphs, or a list where there are several and `is_list`.
        folded: tables that a reader opens, by the words that stand for them.
        links: to pages beside this one, by their titles.
    """

    name: str
    title: str
    sentences: Sequence[str] = ()
    is_list: bool = False
    tables: Sequence[Table] = ()
    figures: Mapping[str, go.Figure] = field(default_factory=dict)
    folded: Mapping[str, Sequence[Table]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def views(self) -> list[dict[str, Any]]:
        """The figures as a page embeds them."""
        return [figure_view(name, figure) for name, figure in self.figures.items()]


def page(
    title: str, kind: str, facts: Mapping[str, str], sections: Sequence[PageSection], lineage: Mapping[str, Any]
) -> str:
    """Return a page of HTML.

    Args:
        kind: of page, such as "data audit".
        facts: what stands below the title.
        lineage: as in `ReportContext`.
    """
    from plotly.offline import get_plotlyjs

    return render(
        "page.html.j2",
        title=title,
        kind=kind,
        facts=facts,
        sections=sections,
        lineage=lineage_rows(lineage),
        commands=commands(lineage),
        stylesheet=resource("report.css"),
        script=resource("report.js"),
        plotly=get_plotlyjs() if any(section.figures for section in sections) else "",
    )


def data_page(audit: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """Return the page of a data audit that stands alone.

    Args:
        audit: what the stage data_audit leaves.
        run: `title` and `lineage` of the run.
    """
    rates, drawn = figures_audit.base_rates({"": audit}), figures_audit.proxy_areas({"": audit})
    titles = {
        "groups": "Groups and classes",
        "missing": "Missing values",
        "duplicates": "Rows that occur twice",
        "proxies": "Proxies of the sensitive attribute",
        "drift": "Drift",
    }
    figures = {"groups": {"audit_base_rates": rates}, "proxies": {"audit_proxies": drawn}}
    tables = tables_audit.tables_of(audit)
    sections = [
        PageSection("answer", "In short", tables_audit.findings(audit), is_list=True),
        *(
            PageSection(
                name,
                title,
                tables_audit.absent(audit, name),
                tables=tables[name],
                figures={key: figure for key, figure in figures.get(name, {}).items() if figure.data},
            )
            for name, title in titles.items()
        ),
    ]
    facts = {
        "Data set": str(audit["dataset"]),
        "Predicts": str(audit["label"]),
        f"Groups ({audit['sensitive']})": ", ".join(audit["groups"]),
        "Rows": f"{audit['rows']:,}",
    }
    return page(str(run["title"]), "data audit", facts, sections, run["lineage"])


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
