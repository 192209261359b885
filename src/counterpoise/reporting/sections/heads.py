"""Sections of experiments on last layers: the paper's figures and tables, and what the weighted SVD implies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from counterpoise.catalogue import FACTORED
from counterpoise.reporting import figures, figures_parts, tables_parts
from counterpoise.reporting._frames import rows_of
from counterpoise.reporting._marks import MARGINS, banded_line, finish
from counterpoise.reporting._templates import render
from counterpoise.reporting._theme import GROUP_COLOURS, text
from counterpoise.reporting.context import Fragment, ReportContext, Table
from counterpoise.reporting.sections import VIEW, Tensors, figure, section

_HOVER: Final = "feature %{x:.0f}, class %{y:.0f}<br>log10 F = %{z:.3f}<extra></extra>"
_HOVER_OF_GROUP: Final = "%{y}<br>feature %{x:.0f}<br>log10 I = %{z:.3f}<extra></extra>"
_MOST_COLUMNS, _MOST_ROWS = 256, 32  # cells of a heat map that a screen can still show
_MOST_GROUPS: Final = len(GROUP_COLOURS)  # as many lines as there are colours, and panels side by side
_ROW: Final = 18  # pixels of a group in a heat map of many
_MOST_NAMED: Final = 12  # classes that an axis names
_TITLE: Final = "Fisher information of the head, by group"
_POOLED: Final = "feature, by importance pooled over the groups"


def fisher_diagonal(
    fisher: Float[np.ndarray, "R G d k"], group_names: Sequence[str], class_names: Sequence[str] = ()
) -> go.Figure:
    """The head's diagonal Fisher information by group: Figure 3 of the WIN paper.

    Above, the mean over replicates of log10 F, one panel per group on one colour scale. Below, each feature's
    importance I_g = √(Σ_j F_ij) (WIN, Eq. 2) per group, the mean over replicates with their range shaded.

    Features are sorted by pooled importance *within each replicate*: replicates with backbones of their own have no
    common unit 7, but they do have a seventh most important unit. Cells beyond what a screen shows are averaged. A
    group that has no rows in a replicate is NaN there and left out of the means.

    Of more groups than there are colours, one heat map shows the importances: a row for each group.
    """
    if fisher.shape[1] != len(group_names):
        raise ValueError(f"fisher has {fisher.shape[1]} groups, expected one for each of {list(group_names)}")
    importance = np.sqrt(fisher.sum(axis=3))  # R G d
    order = np.argsort(-np.nansum(importance, axis=1), axis=1, kind="stable")[:, None, :]  # R 1 d
    importance = np.take_along_axis(importance, order, axis=2)
    if len(group_names) > _MOST_GROUPS:
        return _many_groups(importance, group_names)
    return _few_groups(importance, np.take_along_axis(fisher, order[..., None], axis=2), group_names, class_names)


def _few_groups(
    importance: Float[np.ndarray, "R G d"],
    fisher: Float[np.ndarray, "R G d k"],
    group_names: Sequence[str],
    class_names: Sequence[str],
) -> go.Figure:
    """A panel of cells and a line for each group; both arguments are in the order of the features' importance."""
    groups = len(group_names)
    cells = _logarithms(np.stack([_block_mean(group, _MOST_COLUMNS, _MOST_ROWS) for group in _mean(fisher)]))
    rank = np.linspace(1, fisher.shape[2], cells.shape[1])
    classes, axis = _classes(fisher.shape[3], cells.shape[2], class_names)

    figure = make_subplots(
        2,
        groups,
        specs=[[{}] * groups, [{"colspan": groups}, *[None] * (groups - 1)]],
        subplot_titles=[*map(text, group_names), "Importance by group"],
        row_heights=[0.4, 0.6],
        vertical_spacing=0.26,
        horizontal_spacing=0.05,
    )
    for column, group in enumerate(cells, start=1):
        figure.add_trace(
            go.Heatmap(z=group.T, x=rank, y=classes, coloraxis="coloraxis", hovertemplate=_HOVER), row=1, col=column
        )
        figure.update_xaxes(title_text="feature, by importance", showgrid=False, row=1, col=column)
    figure.update_yaxes(showticklabels=False, showgrid=False, ticks="", row=1, **axis)
    figure.update_yaxes(title_text="class", showticklabels=True, row=1, col=1)

    features = np.arange(1, fisher.shape[2] + 1)
    for index, name in enumerate(group_names):
        complete = importance[~np.isnan(importance[:, index]).any(axis=1), index]
        if len(complete):
            band = (features, complete.min(axis=0), complete.max(axis=0), complete.mean(axis=0))
            for trace in banded_line(*band, name=text(name), colour=GROUP_COLOURS[index]):
                figure.add_trace(trace, row=2, col=1)
    figure.update_xaxes(title_text=_POOLED, row=2)
    figure.update_yaxes(title_text="importance I<sub>g</sub>", rangemode="tozero", row=2, col=1)
    figure.update_layout(coloraxis=_colour_axis("log<sub>10</sub> F", length=0.4))
    return finish(figure, _TITLE, height=620)


def _classes(count: int, rows: int, class_names: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Where the rows of cells stand, and their axis: few classes each by its name, of many the numbers."""
    if rows < count or count > _MOST_NAMED:
        return np.linspace(0, count - 1, rows), {"tickformat": "d"}
    names = class_names if len(class_names) == count else [str(label) for label in range(count)]
    return list(map(text, names)), {"type": "category", "dtick": 1}


def _many_groups(importance: Float[np.ndarray, "R G d"], group_names: Sequence[str]) -> go.Figure:
    cells = _logarithms(_block_mean(_mean(importance).T, _MOST_COLUMNS, len(group_names)))
    heat = go.Heatmap(
        z=cells.T,
        x=np.linspace(1, importance.shape[2], len(cells)),
        y=list(map(text, group_names)),
        coloraxis="coloraxis",
        hoverongaps=False,
        hovertemplate=_HOVER_OF_GROUP,
    )
    figure = go.Figure(heat)
    figure.update_xaxes(title_text=_POOLED, showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, ticks="", dtick=1)
    figure.update_layout(coloraxis=_colour_axis("log<sub>10</sub> I<sub>g</sub>", length=1.0))
    return finish(figure, _TITLE, height=MARGINS + _ROW * len(group_names))


def _colour_axis(title: str, *, length: float) -> dict[str, object]:
    bar = {"title": {"text": title}, "y": 1, "yanchor": "top", "len": length, "thickness": 14}
    return {"colorscale": "Cividis", "colorbar": bar}


def _mean(values: Float[np.ndarray, "R *shape"]) -> Float[np.ndarray, "*shape"]:
    """Mean over the replicates that have a value; NaN where none has."""
    measured = ~np.isnan(values)
    return np.divide(
        np.where(measured, values, 0.0).sum(axis=0),
        measured.sum(axis=0),
        out=np.full(values.shape[1:], np.nan),
        where=measured.any(axis=0),
    )


def _logarithms(values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """log10, and NaN for a dead unit, which has none: an empty cell."""
    return np.log10(values, out=np.full(values.shape, np.nan), where=values > 0)


def _block_mean(matrix: Float[np.ndarray, "d k"], columns: int, rows: int) -> np.ndarray:
    """Average neighbouring cells until at most `columns` × `rows` are left."""
    for axis, most in ((0, columns), (1, rows)):
        parts = np.array_split(matrix, min(most, matrix.shape[axis]), axis=axis)
        matrix = np.stack([part.mean(axis=axis) for part in parts], axis=axis)
    return matrix


@figure(place=30, needs=[f"{VIEW}parts"])
def parts(context: ReportContext, metrics: pd.DataFrame) -> go.Figure:
    """Error and bias of all parts side by side (Tables 2 and 4)."""
    return figures_parts.by_part(metrics, context.summary, level=context.level)


@figure(place=30, needs=[f"{VIEW}ablation"])
def ablation(context: ReportContext, metrics: pd.DataFrame) -> go.Figure:
    """What α does in every part (Figure 5)."""
    return figures_parts.ablation(metrics, level=context.level)


@figure(place=30)
def representation(context: ReportContext, components: pd.DataFrame) -> go.Figure:
    """What the heads of all parts see of the samples that are predicted positive (Figure 1)."""
    shares = {row.part: (row.share_x, row.share_y) for row in rows_of(components.drop_duplicates("part"))}
    return figures_parts.representation(components, context.group_names, shares=shares)


@figure(place=40)
def curves(context: ReportContext, learning_curves: pd.DataFrame) -> go.Figure:
    """Training loss and validation error by epoch."""
    return figures.learning_curves(learning_curves)


@figure(place=50, needs=["importance"])
def performance(context: ReportContext, metrics: pd.DataFrame) -> go.Figure:
    """Error and bias of every variant (Figure 4)."""
    return figures.performance(metrics, context.summary, noise_floor=context.noise_floor, level=context.level)


@figure(place=70)
def fisher(context: ReportContext, importance: Mapping[str, Tensors]) -> go.Figure:
    """What matters to which group (Figure 3), of the first part."""
    first = next(iter(importance.values()))
    fisher = first.tensors["fisher"].double().numpy()
    return fisher_diagonal(fisher, context.group_names, context.class_names)


@section(place=40)
def parameter_counts(
    context: ReportContext, finetuned_heads: Mapping[str, Tensors], retrained: Mapping[str, Tensors]
) -> Table:
    """What each method trains (Table 3); a whole network has its own weights and biases."""
    counts: dict[str, int] = {}
    for checkpoint, prefixes in ((finetuned_heads, None), (retrained, ("weights", "biases"))):
        for stored in checkpoint.values():
            for variant in stored.header["variants"]:
                counts[variant] = sum(
                    tensor[0].numel() if prefixes is None else tensor[0, 0].numel()
                    for name, tensor in stored.tensors.items()
                    if name.startswith(prefixes or f"{variant}.")
                )
    return tables_parts.parameter_counts(context.summary, counts)


@section(place=45, chapter="appendix")
def other_layers(context: ReportContext, layer_factors: pd.DataFrame) -> Table:
    """What factors in the place of other layers than the head do to a network that came trained."""
    return tables_parts.layer_factors(layer_factors)


@section(place=50, needs=[f"{VIEW}parts"])
def before_after(context: ReportContext) -> Table:
    """Every pretrained model before and after fine-tuning (Table 2)."""
    return tables_parts.before_after(context.summary, parts=context.parts)


@section(place=20)
def weighted_svd(context: ReportContext) -> Fragment | None:
    """When the two ways to factor a head can differ."""
    if not set(context.summary["method"]) >= FACTORED:
        return None
    return Fragment(render("weighted_svd.html.j2"), chapter="method")
