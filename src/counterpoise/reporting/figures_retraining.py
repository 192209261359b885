"""Figures of scheduled retraining: models by group, trends over all weeks, and the monitor's evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from counterpoise.fairness import LEVEL
from counterpoise.reporting._theme import BLUE, GREEN, NEUTRAL, ORANGE, TEMPLATE, VERMILLION, faded, text
from counterpoise.reporting.tables_retraining import ROLES
from counterpoise.reporting.wording import metric_label

_COLOURS: Final = {"challenger": ORANGE, "champion": BLUE, "first": NEUTRAL}
_VERDICT_MARKS: Final = {"start": "star", "promote": "circle", "refuse": "x", "wait": "circle-open"}
_VERDICT_COLOURS: Final = {"start": NEUTRAL, "promote": GREEN, "refuse": VERMILLION, "wait": NEUTRAL}
_HEIGHT: Final = 380
_ROW: Final = 44  # pixels
_LABELS: Final = 6  # weeks of a year that are named, so that they stand beside each other
_BESIDE: Final = 0.2  # of a row, between two models


def errors_by_group(evaluation: Mapping[str, Any]) -> go.Figure:
    """The error of each model on all rows and in each group, with its interval."""
    figure = go.Figure()
    groups = [text(row["group"]) for row in evaluation["measured"]["challenger"]["all"]]
    for number, (role, measured) in enumerate(evaluation["measured"].items()):
        rows = [row for row in measured["all"] if row["error"] is not None]
        figure.add_scatter(
            name=ROLES[role],
            x=[100 * row["error"] for row in rows],
            y=[place + _BESIDE * (number - 1) for place, row in enumerate(measured["all"]) if row["error"] is not None],
            customdata=[text(row["group"]) for row in rows],
            mode="markers",
            marker={"size": 10, "color": _COLOURS[role]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [100 * (row["error_high"] - row["error"]) for row in rows],
                "arrayminus": [100 * (row["error"] - row["error_low"]) for row in rows],
                "thickness": 1.5,
            },
            hovertemplate=f"{ROLES[role]}, %{{customdata}}: %{{x:.1f}}%<extra></extra>",
        )
    return figure.update_layout(
        template=TEMPLATE,
        title_text="Wrong predictions (%) on held-out rows",
        height=190 + _ROW * len(groups),
    ).update_yaxes(autorange="reversed", tickvals=list(range(len(groups))), ticktext=groups, zeroline=False)


def errors_over_weeks(documents: Sequence[Mapping[str, Any]]) -> go.Figure:
    """The error of each week's challenger with its confidence sequence, and what became of it."""
    weeks = [document["week"] for document in documents]
    errors = [document["evaluation"]["measured"]["challenger"]["error"] for document in documents]
    figure = _band(weeks, [100 * e["low"] for e in errors], [100 * e["high"] for e in errors], ORANGE)
    champions = [document["evaluation"]["measured"].get("champion", {}).get("error", {}) for document in documents]
    figure.add_scatter(
        name="Champion",
        x=weeks,
        y=[100 * e["error"] if e else None for e in champions],
        mode="lines",
        line={"color": BLUE, "width": 2},
        hovertemplate="%{x}, champion: %{y:.2f}%<extra></extra>",
    )
    _verdicts(figure, documents, [100 * e["error"] for e in errors])
    title = f"Wrong predictions (%) by week, {LEVEL:.0%} confidence sequence of the challenger's"
    return _finished(figure, title)


def bias_over_weeks(documents: Sequence[Mapping[str, Any]], metric: str) -> go.Figure:
    """A bias of each week's challenger up to its upper bound, beside the tolerance."""
    rows = [
        (document, bias)
        for document in documents
        for bias in document["evaluation"]["measured"]["challenger"]["biases"]
        if bias["metric"] == metric and bias["estimate"] is not None and bias["bound"] is not None
    ]
    weeks, biases = [document["week"] for document, _ in rows], [bias for _, bias in rows]
    figure = _band(weeks, [bias["estimate"] for bias in biases], [bias["bound"] for bias in biases], ORANGE)
    figure.add_scatter(
        name="Tolerance",
        x=weeks,
        y=[bias["tolerance"] for bias in biases],
        mode="lines",
        line={"color": VERMILLION, "width": 1.5, "dash": "dash"},
        hovertemplate="tolerance: %{y:.3f}<extra></extra>",
    )
    _verdicts(figure, [document for document, _ in rows], [bias["estimate"] for bias in biases])
    return _finished(figure, f"{metric_label(metric)} by week, up to its upper bound")


def evidence_over_weeks(document: Mapping[str, Any]) -> go.Figure:
    """The monitor's evidence that a limit is exceeded, as a share of what an alarm takes."""
    figure = go.Figure()
    weeks = [week["date"] for week in document["weeks"]]
    for watched in document["watches"]:
        figure.add_scatter(
            name=watched["name"],
            x=weeks,
            y=[value / watched["needed"] for value in watched["log10_e"]],
            mode="lines+markers",
            hovertemplate=f"%{{x}}, {watched['name']}: %{{y:.2f}}<extra></extra>",
        )
    figure.add_hline(y=1, line={"color": VERMILLION, "width": 1.5, "dash": "dash"})
    return _finished(figure, "Evidence (log e-value) by that of an alarm")


def _band(weeks: Sequence[str], low: Sequence[float], high: Sequence[float], colour: str) -> go.Figure:
    edges = {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
    band = {"fill": "tonexty", "fillcolor": faded(colour, 0.18)}
    return go.Figure([go.Scatter(x=weeks, y=low, **edges), go.Scatter(x=weeks, y=high, **band, **edges)])


def _verdicts(figure: go.Figure, documents: Sequence[Mapping[str, Any]], y: Sequence[float]) -> None:
    """Draw the challengers, marked by what became of them."""
    titles = {"start": "First champion", "promote": "Promoted", "refuse": "Refused", "wait": "Waits"}
    for verdict, title in titles.items():
        of = [place for place, each in enumerate(documents) if each["decision"]["verdict"] == verdict]
        if of:
            figure.add_scatter(
                name=title,
                x=[documents[place]["week"] for place in of],
                y=[y[place] for place in of],
                mode="markers",
                marker={"size": 10, "symbol": _VERDICT_MARKS[verdict], "color": _VERDICT_COLOURS[verdict]},
                hovertemplate=f"%{{x}}, {title.lower()}: %{{y:.3g}}<extra></extra>",
            )


def _finished(figure: go.Figure, title: str) -> go.Figure:
    layout = {"template": TEMPLATE, "title_text": title, "height": _HEIGHT}
    return figure.update_layout(**layout).update_xaxes(type="category", nticks=_LABELS)
