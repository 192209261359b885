"""Figures on unbiased sub-networks: how they were learnt, where they are sparse, and whom they are right about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from counterpoise.reporting._marks import finish
from counterpoise.reporting._outcomes import with_part
from counterpoise.reporting._theme import text
from counterpoise.reporting.figures_altering import add_lines, curves_with_titles, panels
from counterpoise.reporting.wording import method_title, part_title

CURVES = {
    "accuracy": "accuracy, hard gates",
    "sparsity": "sparsity",
    "information": "bias information",
    "temperature": "temperature",
}
"""What is drawn over the epochs, on the validation rows."""

_FRAME, _PANEL, _MAP = 160, 230, 330


def extraction_curves(curves: pd.DataFrame) -> go.Figure:
    """Accuracy, sparsity and information of the hard gates over the epochs, and the temperature they were learnt at.

    Args:
        curves: frame with `variant, seed, epoch, figure, value`; figures other than `CURVES` are ignored.

    Raises:
        InputError: a missing column.
    """
    frame = curves_with_titles(curves)
    parts = list(dict.fromkeys(frame["part"]))
    figure = panels(parts, columns=len(CURVES))
    for place, part in enumerate(parts, start=1):
        for column, (key, title) in enumerate(CURVES.items(), start=1):
            own = frame[(frame["part"] == part) & (frame["figure"] == key)]
            add_lines(figure, own, place, column)
            figure.update_xaxes(title_text="epoch", row=place, col=column)
            figure.update_yaxes(title_text=title, row=place, col=column)
        figure.update_yaxes(type="log", row=place, col=len(CURVES))
    figure.update_layout(legend={"orientation": "h", "yanchor": "bottom", "y": 1.06, "x": 0})
    return finish(figure, "How the sub-networks were found", _FRAME + _PANEL * max(len(parts), 1))


def accuracy_maps(
    predictions: pd.DataFrame, classes: Sequence[str], groups: Sequence[str], methods: Sequence[str]
) -> go.Figure:
    """Accuracy by class and value of the bias, one map for each of the methods that were run.

    Args:
        predictions: frame with `variant, y, s, prediction`.
        classes, groups: names of the codes in y and s.
        methods: what to show, in order.
    """
    frame = with_part(predictions, ("variant", "y", "s", "prediction"), "predictions")
    shown = [
        (part, method)
        for part in dict.fromkeys(frame["part"])
        for method in methods
        if ((frame["part"] == part) & (frame["name"] == method)).any()
    ]
    columns = max(len([one for one in shown if one[0] == shown[0][0]]), 1) if shown else 1
    rows = max(-(-len(shown) // columns), 1)
    heads = [f"{part_title(part)}: " if part else "" for part, _ in shown]
    titles = [text(f"{head}{method_title(method)}") for head, (_, method) in zip(heads, shown, strict=True)]
    figure = make_subplots(rows, columns, subplot_titles=titles or None, horizontal_spacing=0.06)
    for place, (part, method) in enumerate(shown):
        own = frame[(frame["part"] == part) & (frame["name"] == method)]
        right = (own["y"] == own["prediction"]).astype(float)
        cells = np.full((len(classes), len(groups)), np.nan)
        for (label, value), share in right.groupby([own["y"], own["s"]]).mean().items():
            cells[label, value] = share
        heat = go.Heatmap(
            z=cells,
            x=list(groups),
            y=list(classes),
            coloraxis="coloraxis",
            hoverongaps=False,
            hovertemplate="%{y} in %{x}: %{z:.3f}<extra></extra>",
        )
        figure.add_trace(heat, row=place // columns + 1, col=place % columns + 1)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    figure.update_xaxes(type="category", showgrid=False)
    bar = {"title": {"text": "accuracy"}, "thickness": 14}
    figure.update_layout(coloraxis={"colorscale": "Cividis", "cmin": 0, "cmax": 1, "colorbar": bar})
    return finish(figure, "Who is right about which class in which value of the bias", _FRAME + _MAP * rows)


def closed_layers(layers: pd.DataFrame) -> go.Figure:
    """Share of each layer's gates that is closed, mean over the seeds, one line per method.

    Args:
        layers: frame with `mask, layer, position, seed, pruned`, and `part` where there are parts.

    Raises:
        InputError: a missing column.
    """
    keys = ("mask", "layer", "position", "seed", "pruned")
    frame = with_part(layers, keys, "closed layers")
    parts = list(dict.fromkeys(frame["part"]))
    figure = panels(parts)
    for place, part in enumerate(parts, start=1):
        own = frame[frame["part"] == part]
        for mask, found in own.groupby("mask", sort=False):
            means = found.groupby(["position", "layer"], sort=True)["pruned"].mean().reset_index()
            name = text(method_title(str(mask)))
            trace = go.Scatter(
                name=name,
                x=means["layer"],
                y=means["pruned"],
                mode="lines+markers",
                legendgroup=name,
                showlegend=all(known.name != name for known in figure.data),
                hovertemplate="%{x}: %{y:.3f}<extra></extra>",
            )
            figure.add_trace(trace, row=place, col=1)
        figure.update_yaxes(title_text="share closed", range=[0, 1], row=place, col=1)
    return finish(figure, "Where the sub-networks are sparse", _FRAME + _PANEL * max(len(parts), 1))
