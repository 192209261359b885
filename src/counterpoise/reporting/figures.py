"""The figures of an experiment, as plotly figures that draw the given numbers and compute nothing but means."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from counterpoise.fairness import LEVEL
from counterpoise.reporting._marks import (
    MARGINS,
    ROW,
    SPREAD,
    banded_line,
    finish,
    is_new,
    mean_points,
    seed_points,
    whiskers,
)
from counterpoise.reporting._theme import GROUP_COLOURS, NEUTRAL, VERDICT_COLOURS, method_colours, text
from counterpoise.reporting.tables import test_rows
from counterpoise.reporting.wording import (
    HEADLINE_METRICS,
    difference_axis,
    metric_label,
    metric_order,
    p_value,
)

_WRAP: Final = 44  # characters of a claim on one line
_FISHER_HOVER: Final = "feature %{x:.0f}, class %{y:.0f}<br>log10 F = %{z:.3f}<extra></extra>"
_MOST_COLUMNS, _MOST_ROWS = 256, 32  # cells of a heat map that a screen can still show


def performance(
    metrics: pd.DataFrame,
    summary: pd.DataFrame,
    *,
    panels: Sequence[str] = HEADLINE_METRICS,
    noise_floor: Mapping[str, Mapping[str, float]] | None = None,
    level: float = LEVEL,
) -> go.Figure:
    """Error and bias of every variant on the test split: Figure 4 of the WIN paper, with its uncertainty.

    One panel per metric, one row per variant: the mean over the seeds with its interval (`level`), each seed as a small
    point, the paper's value as an open diamond where it prints one, and the noise floor as a tick where it is given.
    """
    test = test_rows(metrics)
    variants = dict(zip(summary["variant"], summary["method"], strict=True))
    colours = method_colours(variants.values())
    rows = {variant: float(place) for place, variant in enumerate(variants)}
    figure = make_subplots(1, len(panels), shared_yaxes=True, horizontal_spacing=0.04)
    for column, metric in enumerate(panels, start=1):
        seeds = test[(test["metric"] == metric) & test["variant"].isin(rows)].sort_values(["variant", "seed"])
        means = summary[summary["metric"] == metric]
        places = means["variant"].map(rows)
        traces = [
            seed_points(seeds, seeds["variant"].map(rows), row="variant", colours=colours),
            *(
                mean_points(own, places[own.index], row="variant", colour=colours[own["method"].iloc[0]], level=level)
                for _, own in means.groupby("method")
            ),
            go.Scatter(
                name="the paper",
                x=means["reported"],
                y=places - 2 * SPREAD,
                error_x={"array": means["reported_std"], "thickness": 1, "width": 3, "color": NEUTRAL},
                marker={"symbol": "diamond-open", "size": 9, "color": NEUTRAL, "line": {"width": 2}},
                hovertemplate="the paper: %{x:.4g}<extra></extra>",
            ),
            go.Scatter(
                name="noise floor",
                x=[(noise_floor or {}).get(name, {}).get(metric, np.nan) for name in means["variant"]],
                y=places,
                marker={"symbol": "line-ns-open", "size": 20, "color": NEUTRAL, "line": {"width": 2}},
                hovertemplate="a perfectly fair model: %{x:.4g}<extra></extra>",
            ),
        ]
        for trace in traces:
            if np.isfinite(np.asarray(trace.x, dtype=np.float64)).any():
                trace.update(mode="markers", legendgroup=trace.name, showlegend=is_new(figure, trace.name))
                figure.add_trace(trace, row=1, col=column)
        figure.update_xaxes(title_text=metric_label(metric), row=1, col=column)
    figure.update_yaxes(ticks="")
    figure.update_yaxes(
        tickvals=list(rows.values()), ticktext=[text(name) for name in rows], range=[len(rows) - 0.5, -0.6]
    )
    return finish(figure, "Error and bias on the test split", height=MARGINS + ROW * len(rows))


def paired_differences(claims: pd.DataFrame) -> go.Figure:
    """Forest plot of the claims: each difference (left − right, paired by seed) with its interval, by verdict.

    One panel per metric, because their units differ. An interval is of the one comparison; the verdict's colour also
    counts how many comparisons were made (Holm), so that an interval beside zero may still be grey.
    """
    metrics = metric_order(claims["metric"])
    heights = [int((claims["metric"] == metric).sum()) for metric in metrics]
    total = MARGINS + sum(ROW * rows + 80 for rows in heights)
    figure = make_subplots(
        max(len(metrics), 1), 1, row_heights=heights or None, vertical_spacing=min(0.25, 90 / total) if heights else 0
    )
    for panel, metric in enumerate(metrics, start=1):
        rows = claims[claims["metric"] == metric].reset_index(drop=True)
        for name, colour in VERDICT_COLOURS.items():
            chosen = rows[rows["verdict"] == name]
            if chosen.empty:
                continue
            difference = chosen["difference"].to_numpy(np.float64)
            figure.add_trace(
                go.Scatter(
                    name=name,
                    x=difference,
                    y=chosen.index.to_numpy(),
                    error_x=whiskers(chosen, difference),
                    mode="markers",
                    marker={"size": 11, "color": colour},
                    customdata=[p_value(p) for p in chosen["p_holm"]],
                    hovertemplate="%{x:+.4g}, p (Holm) %{customdata}<extra></extra>",
                    legendgroup=name,
                    showlegend=is_new(figure, name),
                ),
                row=panel,
                col=1,
            )
        labels = ["<br>".join(textwrap.wrap(text(claim), _WRAP)) for claim in rows["claim"]]
        figure.update_yaxes(tickvals=rows.index.tolist(), ticktext=labels, range=[len(rows) - 0.4, -0.6], row=panel)
        figure.update_xaxes(title_text=difference_axis(metric), row=panel)
        figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1.5, "dash": "dot"}, row=panel, col=1)
    return finish(figure, "Paired differences between methods", height=total)


def fisher_diagonal(
    fisher: Float[np.ndarray, "R G d k"], group_names: Sequence[str], class_names: Sequence[str] = ()
) -> go.Figure:
    """The head's diagonal Fisher information by group: Figure 3 of the WIN paper.

    Above, the mean over replicates of log10 F, one panel per group on one colour scale. Below, each feature's
    importance I_g = √(Σ_j F_ij) (WIN, Eq. 2) per group, the mean over replicates with their range shaded.

    Features are sorted by pooled importance *within each replicate*: replicates with backbones of their own have no
    common unit 7, but they do have a seventh most important unit. Cells beyond what a screen shows are averaged.
    """
    groups = fisher.shape[1]
    if groups != len(group_names):
        raise ValueError(f"fisher has {groups} groups, expected one for each of {list(group_names)}")
    importance = np.sqrt(fisher.sum(axis=3))  # R G d
    order = np.argsort(-importance.sum(axis=1), axis=1, kind="stable")[:, None, :]  # R 1 d
    importance = np.take_along_axis(importance, order, axis=2)
    mean = np.take_along_axis(fisher, order[..., None], axis=2).mean(axis=0)  # G d k
    with np.errstate(divide="ignore"):
        cells = np.log10(np.stack([_block_mean(group, _MOST_COLUMNS, _MOST_ROWS) for group in mean]))
    cells[~np.isfinite(cells)] = np.nan  # a dead unit has no logarithm: an empty cell
    rank = np.linspace(1, fisher.shape[2], cells.shape[1])
    classes = np.linspace(0, fisher.shape[3] - 1, cells.shape[2])

    figure = make_subplots(
        2,
        groups,
        specs=[[{}] * groups, [{"colspan": groups}, *[None] * (groups - 1)]],
        subplot_titles=[*map(text, group_names), "Importance of each feature, by group"],
        row_heights=[0.4, 0.6],
        vertical_spacing=0.26,
        horizontal_spacing=0.05,
    )
    for column, group in enumerate(cells, start=1):
        figure.add_trace(
            go.Heatmap(z=group.T, x=rank, y=classes, coloraxis="coloraxis", hovertemplate=_FISHER_HOVER),
            row=1,
            col=column,
        )
        figure.update_xaxes(title_text="feature, by importance", showgrid=False, row=1, col=column)
    named = {"tickvals": classes, "ticktext": list(map(text, class_names))} if len(class_names) == len(classes) else {}
    figure.update_yaxes(showticklabels=False, showgrid=False, ticks="", row=1)
    figure.update_yaxes(title_text="class", showticklabels=True, tickformat="d", **named, row=1, col=1)

    features = np.arange(1, fisher.shape[2] + 1)
    for index, name in enumerate(group_names):
        colour = GROUP_COLOURS[index % len(GROUP_COLOURS)]
        replicates = importance[:, index]
        band = (features, replicates.min(axis=0), replicates.max(axis=0), replicates.mean(axis=0))
        for trace in banded_line(*band, name=text(name), colour=colour):
            figure.add_trace(trace, row=2, col=1)
    figure.update_xaxes(title_text="feature, by importance pooled over the groups", row=2)
    figure.update_yaxes(title_text="importance I<sub>g</sub>", rangemode="tozero", row=2, col=1)
    figure.update_layout(
        coloraxis={
            "colorscale": "Cividis",
            "colorbar": {
                "title": {"text": "log<sub>10</sub> F"},
                "y": 1,
                "yanchor": "top",
                "len": 0.4,
                "thickness": 14,
            },
        }
    )
    return finish(figure, "Fisher information of the head, by group", height=620)


def learning_curves(history: pd.DataFrame) -> go.Figure:
    """Training loss and validation error by epoch, with the epoch each seed chose.

    Args:
        history: frame with `method, variant, seed, epoch, loss, validation_err` and the boolean `chosen`, true in the
            row of the epoch whose weights were kept. Lines are means over the seeds, bands their range.
    """
    panels = {"loss": "training loss", "validation_err": f"validation {metric_label('err').lower()}"}
    variants = history[["variant", "method"]].drop_duplicates()
    colours = method_colours(variants["method"])
    figure = make_subplots(1, 2, horizontal_spacing=0.1)
    dashes = _dashes(variants)
    for column, (quantity, title) in enumerate(panels.items(), start=1):
        for variant, method in variants.itertuples(index=False):
            rows = history[history["variant"] == variant]
            seeds = rows.groupby("epoch", sort=True)[quantity].agg(["min", "max", "mean"])
            band = (seeds.index.to_numpy(), seeds["min"].to_numpy(), seeds["max"].to_numpy(), seeds["mean"].to_numpy())
            for trace in banded_line(*band, name=text(variant), colour=colours[method], dash=dashes[variant]):
                trace.update(showlegend=bool(trace.showlegend) and column == 1)
                figure.add_trace(trace, row=1, col=column)
            if quantity == "validation_err":
                kept = rows[rows["chosen"]].sort_values("seed")
                figure.add_trace(
                    go.Scatter(
                        name="epoch kept (one seed)",
                        x=kept["epoch"],
                        y=kept[quantity],
                        mode="markers",
                        marker={"size": 7, "color": colours[method], "symbol": "circle-open", "line": {"width": 1.5}},
                        text=[f"{text(variant)}, seed {seed}" for seed in kept["seed"]],
                        hovertemplate="%{text}: epoch %{x}, %{y:.4g}<extra></extra>",
                        legendgroup="kept",
                        showlegend=is_new(figure, "epoch kept (one seed)"),
                    ),
                    row=1,
                    col=column,
                )
        figure.update_xaxes(title_text="epoch", row=1, col=column)
        figure.update_yaxes(title_text=title, row=1, col=column)
    return finish(figure, "Learning curves", height=440)


def _dashes(variants: pd.DataFrame) -> dict[str, str]:
    """Tell the variants of one method apart by their dashes, since they share its colour."""
    styles = ("solid", "dash", "dot", "dashdot", "longdash")
    return {
        variant: styles[place % len(styles)]
        for _, names in variants.groupby("method", sort=False)["variant"]
        for place, variant in enumerate(names)
    }


def _block_mean(matrix: Float[np.ndarray, "d k"], columns: int, rows: int) -> np.ndarray:
    """Average neighbouring cells until at most `columns` × `rows` are left."""
    for axis, most in ((0, columns), (1, rows)):
        parts = np.array_split(matrix, min(most, matrix.shape[axis]), axis=axis)
        matrix = np.stack([part.mean(axis=axis) for part in parts], axis=axis)
    return matrix
