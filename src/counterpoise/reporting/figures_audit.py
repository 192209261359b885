"""Figures of a data audit: base rates of the groups, and how well columns tell the group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import plotly.graph_objects as go

from counterpoise.reporting._theme import BLUE, NEUTRAL, ORANGE, TEMPLATE, group_marker, text

_ROW: Final = 26  # pixels
_MOST: Final = 20  # columns that are drawn


def base_rates(audits: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """The share of each class in each group with Wilson's interval; of two classes that of the positive one.

    Args:
        audits: part of the experiment → audit; the name is empty where there are no parts.
    """
    figure = go.Figure()
    (first, *_) = audits.values()
    shown = first["classes"][1:] if len(first["classes"]) == 2 else first["classes"]
    for place, label in enumerate(shown):
        rows = [
            (_labelled(part, row["group"]), row)
            for part, audit in audits.items()
            for row in audit["label_rates"]
            if row["label"] == label and row["rate"] is not None
        ]
        figure.add_scatter(
            name=text(str(label)),
            x=[row["rate"] for _, row in rows],
            y=[text(name) for name, _ in rows],
            mode="markers",
            marker={"size": 10, **group_marker(place)},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [row["ci_high"] - row["rate"] for _, row in rows],
                "arrayminus": [row["rate"] - row["ci_low"] for _, row in rows],
                "thickness": 1.5,
            },
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    names = len({name for trace in figure.data for name in trace.y})
    return _finished(figure, f"Share of each group that is {' / '.join(map(str, shown))}", names).update_layout(
        showlegend=len(shown) > 1
    )


def proxy_areas(audits: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """How well each column alone, and all together, tell the group: areas under the ROC curve."""
    figure = go.Figure()
    rows = [
        (_labelled(part, row["column"]), row["auc"], place == 0)
        for part, audit in audits.items()
        for place, row in enumerate(audit["proxies"][: _MOST + 1])
        if row["auc"] is not None
    ]
    if not rows:
        return figure
    figure.add_bar(
        x=[area - 0.5 for _, area, _ in rows],
        base=0.5,
        y=[text(name) for name, _, _ in rows],
        orientation="h",
        marker={"color": [ORANGE if is_together else BLUE for _, _, is_together in rows]},
        customdata=[area for _, area, _ in rows],
        hovertemplate="%{y}: %{customdata:.3f}<extra></extra>",
    )
    figure.add_vline(x=0.5, line={"color": NEUTRAL, "width": 1})
    figure = _finished(figure, "How well columns tell the group (AUC, cross-fitted)", len(rows))
    return figure.update_xaxes(range=[min(0.45, *(area for _, area, _ in rows)), 1.0]).update_layout(showlegend=False)


def _labelled(part: str, name: Any) -> str:
    return f"{part}: {name}" if part else str(name)


def _finished(figure: go.Figure, title: str, rows: int) -> go.Figure:
    return figure.update_layout(template=TEMPLATE, title_text=title, height=150 + _ROW * rows, bargap=0.3).update_yaxes(
        autorange="reversed", type="category"
    )
