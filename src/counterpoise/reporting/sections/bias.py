"""Sections of experiments that measure how much networks rely on a bias."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, Int, UInt8
from PIL import Image
from plotly.subplots import make_subplots
from torch import Tensor

from counterpoise.catalogue import METHODS
from counterpoise.reporting import tables_bias
from counterpoise.reporting._frames import cells
from counterpoise.reporting._marks import finish
from counterpoise.reporting._outcomes import with_part
from counterpoise.reporting._theme import VERMILLION, faded, text
from counterpoise.reporting.context import Findings, ReportContext, Table
from counterpoise.reporting.sections import Tensors, figure, section
from counterpoise.reporting.wording import method_title, part_title

_FRAME, _MAP, _CELL = 160, 330, 18  # pixels; a cell is a row of a map

EXPLAINED = {
    "grad_cam": "Evidence for the right class in bias-conflicting images (Grad-CAM), each map divided by its largest "
    "value",
    "input_gradients": "Which pixels move the score of the right class in bias-conflicting images (input gradients, "
    "since there is no convolution for Grad-CAM), each map divided by its largest value",
}
"""What heat maps show, by what they are."""

_STRIP, _GAP = 124, 2  # pixels of the page that a strip of images takes; pixels of an image between two of them
_HEAT = [[0.0, faded(VERMILLION, 0.0)], [1.0, faded(VERMILLION, 0.85)]]


def accuracy_maps(
    predictions: pd.DataFrame, classes: Sequence[str], groups: Sequence[str], methods: Sequence[str]
) -> go.Figure:
    """Accuracy by class and value of the bias, one map for each of the methods that were run.

    Args:
        predictions: frame with `variant, y, s, prediction`, counted where it has `rows`.
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
        answers = frame[(frame["part"] == part) & (frame["name"] == method)]
        counts = cells(answers, ["y", "s", "prediction"])
        y, s, prediction, rows_there = counts.to_numpy().T
        right, there = np.zeros((2, len(classes), len(groups)))
        np.add.at(right, (y, s), np.where(y == prediction, rows_there, 0))
        np.add.at(there, (y, s), rows_there)
        shares = np.divide(right, there, out=np.full_like(there, np.nan), where=there > 0)
        heat = go.Heatmap(
            z=shares,
            x=list(groups),
            y=list(classes),
            coloraxis="coloraxis",
            hoverongaps=False,
            hovertemplate="%{y} in %{x}: %{z:.3f}<extra></extra>",
        )
        row, column = divmod(place, columns)
        figure.add_trace(heat, row=row + 1, col=column + 1)
        figure.update_yaxes(showticklabels=column == 0, row=row + 1, col=column + 1)  # long names reach the next map
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    figure.update_xaxes(type="category", showgrid=False)
    bar = {"title": {"text": "accuracy"}, "thickness": 14}
    figure.update_layout(coloraxis={"colorscale": "Cividis", "cmin": 0, "cmax": 1, "colorbar": bar})
    height = max(_MAP, _CELL * len(classes))
    return finish(figure, "Accuracy by class and value of the bias", _FRAME + height * rows)


@dataclass(frozen=True, eq=False)
class Explained:
    """Test images, and where networks see the class y in them.

    Attributes:
        method: what the heat is. images: None where they are not to be shown.
        heat: by network, of any scale. prediction: what each network takes the images for.
    """

    method: Literal["grad_cam", "input_gradients"]
    images: UInt8[np.ndarray, "n H W 3"] | None
    y: Int[np.ndarray, "n"]
    s: Int[np.ndarray, "n"]
    heat: Mapping[str, Float[np.ndarray, "n H W"]]
    prediction: Mapping[str, Int[np.ndarray, "n"]]

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], header: Mapping[str, Any], *, images: bool) -> Explained:
        """Read the artifact `explanations`: `images` [n, 3, H, W], `y`, `s`, `<variant>.heat`, `<variant>.prediction`.

        Args:
            images: whether they may be shown.
        """
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        return cls(
            method=header["method"],
            images=arrays["images"].transpose(0, 2, 3, 1) if images else None,
            y=arrays["y"],
            s=arrays["s"],
            heat={name: arrays[f"{name}.heat"] for name in header["variants"]},
            prediction={name: arrays[f"{name}.prediction"] for name in header["variants"]},
        )


def heat_maps(parts: Mapping[str, Explained], classes: Sequence[str], groups: Sequence[str]) -> go.Figure:
    """Strips of images, and under them the same in grey with what each network looks at.

    Each map is drawn over its own largest value: networks whose scores differ in size can be compared. Under an image
    stand its class and group, under a map what the network takes the image for, and whether that is right.

    Args:
        parts: by name of the part; an empty one where there are no parts.
        classes, groups: names of the codes in y and s.
    """
    pictures = {part: [] if shown.images is None else [_IMAGES] for part, shown in parts.items()}
    strips = [(part, name) for part, shown in parts.items() for name in (*pictures[part], *shown.heat)]
    titles = [text(f"{part_title(part)}: {_strip(name)}" if part else _strip(name)) for part, name in strips]
    rows = len(strips)
    figure = make_subplots(rows, 1, subplot_titles=titles, vertical_spacing=min(0.1, 52 / (_STRIP * rows)))
    for row, (part, name) in enumerate(strips, start=1):
        shown = parts[part]
        if shown.images is not None:
            figure.add_trace(_picture(shown.images, grey=name in shown.heat), row=row, col=1)
        if name in shown.heat:
            figure.add_trace(_heat(shown.heat[name]), row=row, col=1)
            captions = [
                f"{'✓' if right else '✗'} {text(classes[label])}"
                for label, right in zip(shown.prediction[name], shown.prediction[name] == shown.y, strict=True)
            ]
        else:
            captions = [f"{text(classes[y])}<br>{text(groups[s])}" for y, s in zip(shown.y, shown.s, strict=True)]
        width = next(iter(shown.heat.values())).shape[2]
        centres = np.arange(len(shown.y)) * (width + _GAP) + (width - 1) / 2
        figure.update_xaxes(tickvals=centres, ticktext=captions, row=row, col=1)
    figure.update_xaxes(showgrid=False, zeroline=False, ticks="", tickangle=0, constrain="domain")
    figure.update_yaxes(visible=False, autorange="reversed", constrain="domain")
    for row in range(1, rows + 1):
        figure.update_yaxes(scaleanchor=f"x{row if row > 1 else ''}", row=row, col=1)
    figure.update_annotations(x=0, xanchor="left", font={"size": 13})
    title = EXPLAINED[next(iter(parts.values())).method]
    return finish(figure, title, _FRAME + _STRIP * rows)


_IMAGES = "images"


def _strip(name: str) -> str:
    return name if name == _IMAGES else method_title(name)


def _picture(images: UInt8[np.ndarray, "n H W 3"], *, grey: bool) -> go.Image:
    """Images side by side; what is between them is transparent."""
    shown = images
    if grey:  # and paler, so that the heat stands out
        brightness = images.mean(axis=-1, keepdims=True)
        shown = np.broadcast_to(255 - (255 - brightness) * 0.6, images.shape).astype(np.uint8)
    opaque = np.concatenate([shown, np.full_like(shown[..., :1], 255)], axis=-1)
    encoded = BytesIO()
    Image.fromarray(_side_by_side(opaque)).save(encoded, format="PNG")
    source = f"data:image/png;base64,{base64.b64encode(encoded.getvalue()).decode('ascii')}"
    return go.Image(source=source, hoverinfo="skip")


def _heat(maps: Float[np.ndarray, "n H W"]) -> go.Heatmap:
    """Heat maps side by side in percent, each over its own largest value; one without heat is empty."""
    largest = maps.max(axis=(1, 2), keepdims=True)
    shares = np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)
    return go.Heatmap(
        z=_side_by_side(np.round(100 * shares).astype(np.uint8)),
        colorscale=_HEAT,
        zmin=0,
        zmax=100,
        showscale=False,
        hovertemplate="%{z}% of the largest<extra></extra>",
    )


def _side_by_side(cells: np.ndarray) -> np.ndarray:
    """[n, H, W, ...] as one array [H, n·(W + gap) − gap, ...], with zeros between."""
    padded = np.pad(cells, [(0, 0), (0, 0), (0, _GAP), *[(0, 0)] * (cells.ndim - 3)])
    return np.concatenate(list(padded), axis=1)[:, :-_GAP]


@figure(place=120, needs=["explanations"])
def accuracy(context: ReportContext, predictions: pd.DataFrame) -> go.Figure:
    """Accuracy by class and value of the bias."""
    shown = [method.name for method in METHODS if method.in_maps]
    return accuracy_maps(predictions, context.class_names, context.group_names, shown)


@figure(place=130)
def explanations(context: ReportContext, explanations: Mapping[str, Tensors]) -> go.Figure:
    """What the first seed's networks look at in ten test images, before and after."""
    parts = {
        part: Explained.read(stored.tensors, stored.header, images=context.shows_images)
        for part, stored in explanations.items()
    }
    return heat_maps(parts, context.class_names, context.group_names)


@section(place=20)
def in_words(context: ReportContext, metrics: pd.DataFrame, repairs: pd.DataFrame) -> Findings:
    """The sub-network beside the network as it was, and its peers."""
    if not tables_bias.measures_bias(repairs):
        return ()
    return tables_bias.bias_findings(metrics, repairs, level=context.level)


@section(place=70)
def tables(context: ReportContext, metrics: pd.DataFrame, repairs: pd.DataFrame) -> list[Table]:
    """Accuracy, and what remains of the bias."""
    if not tables_bias.measures_bias(repairs):
        return []
    return tables_bias.bias_tables(metrics, repairs, level=context.level)
