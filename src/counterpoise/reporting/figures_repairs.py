"""Figures of experiments on repairs: performance and bias of each, what was pruned, and how it was learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from counterpoise.catalogue import BY_NAME
from counterpoise.fairness import LEVEL
from counterpoise.reporting._frames import rows_of
from counterpoise.reporting._marks import (
    ASIDE,
    CHOSEN,
    ONE_SEED,
    banded_line,
    dashes,
    finish,
    is_new,
    seed_band,
    whiskers,
)
from counterpoise.reporting._outcomes import is_last, objective_of, outcomes, style_of, title_of, with_part
from counterpoise.reporting._theme import NEUTRAL, faded, method_colours, method_symbol, text
from counterpoise.reporting.tables import interval_within
from counterpoise.reporting.wording import (
    gap_label,
    gap_symbol,
    method_order,
    method_title,
    metric_label,
    metric_symbol,
    part_title,
)

CURVE_KEYS: Final = ("variant", "seed", "epoch", "figure", "value")
LAYER_KEYS: Final = ("mask", "layer", "position", "seed", "pruned")
AGREEMENT_KEYS: Final = ("mask", "left", "right", "iou", "chance")
JUDGED: Final = ("judgement", "bias", "performance")
"""What is drawn over the epochs where an objective judges the repairs."""
FOLLOWED: Final = {
    "accuracy": "accuracy, hard gates",
    "sparsity": "sparsity",
    "information": "bias information",
    "temperature": "temperature",
}
"""What is drawn where there is no objective, with the titles of the axes."""
LOGARITHMIC: Final = frozenset({"temperature"})
_FRAME: Final = 120  # pixels above and below the panels together
_PLANE, _PANEL, _MAP = 420, 300, 300  # pixels of a panel
_MOST_WRITTEN: Final = 12  # seeds whose agreement is still written into the cells
_HOVER: Final = (
    "<b>%{customdata[0]}</b><br>PERFORMANCE %{y:.3f} ± %{customdata[1]:.3f}<br>BIAS %{x:.3f} ± %{customdata[2]:.3f}"
    "<br>within the tolerance: %{customdata[3]} of %{customdata[4]} seeds<extra></extra>"
)

Objectives = Mapping[str, Mapping[str, Any]]


def repair_plane(metrics: pd.DataFrame, objectives: Objectives, *, level: float = LEVEL) -> go.Figure:
    """Every repair's performance against the size of its bias on test: up is better, and left.

    One panel per part. Large marks are means over the seeds with both intervals, small ones the seeds; the band reaches
    up to the tolerance. The models of the last epochs are left out.

    Args:
        metrics: long frame as in `tables.summary`; see `_outcomes.outcomes`.
        objectives: part → `bias, performance, tolerance, margin`.

    Raises:
        InputError: a missing column, objective or metric.
    """
    reached = outcomes(metrics, objectives)
    reached = reached[~reached["last"]]
    parts = list(dict.fromkeys(reached["part"]))
    keys = {row.variant: style_of(row.name, row.method) for row in rows_of(reached)}
    colours = method_colours(keys.values())
    figure = panels(parts)
    for place, part in enumerate(parts, start=1):
        objective = objective_of(part, objectives)
        symbols = (gap_symbol(objective["bias"]), metric_symbol(objective["performance"]))
        for variant, seeds in reached[reached["part"] == part].groupby("variant", sort=False):
            key = keys[variant]
            for trace in _repair(seeds, colours[key], method_symbol(key), symbols, level):
                trace.update(showlegend=bool(trace.showlegend) and is_new(figure, trace.name))
                figure.add_trace(trace, row=place, col=1)
        _mark_tolerance(figure, objective["tolerance"], place)
        figure.update_xaxes(title_text=gap_label(objective["bias"]), rangemode="tozero", row=place, col=1)
        figure.update_yaxes(title_text=metric_label(objective["performance"]), row=place, col=1)
    figure.update_layout(legend=ASIDE, margin_b=56)
    return finish(figure, "Performance and bias of every repair on the test split", _FRAME + _PLANE * len(parts))


def pruned_layers(layers: pd.DataFrame) -> go.Figure:
    """The share of each layer that a mask leaves out: means over the seeds as lines, seeds as points.

    Args:
        layers: frame with `LAYER_KEYS`, and `part` where there are parts: `position` is the layer's place in the
            network, `pruned` a share between 0 and 1.

    Raises:
        InputError: a missing column.
    """
    frame = with_part(layers, LAYER_KEYS, "pruned layers")
    parts = list(dict.fromkeys(frame["part"]))
    colours = method_colours(frame["mask"])
    figure = panels(parts)
    for place, part in enumerate(parts, start=1):
        of_part = frame[frame["part"] == part]
        for mask, rows in of_part.groupby("mask", sort=False):
            name, colour = _mask_title(str(mask)), colours[str(mask)]
            means = rows.groupby("position", sort=True)["pruned"].mean()
            line = go.Scatter(
                name=name,
                x=means.index,
                y=means,
                mode="lines+markers",
                line={"color": colour, "width": 1.5},
                marker={"size": 8, "color": colour, "symbol": method_symbol(str(mask))},
                legendgroup=name,
                hovertemplate=f"{name}: %{{y:.3f}}<extra></extra>",
            )
            seeds = go.Scatter(
                name=ONE_SEED,
                x=rows["position"],
                y=rows["pruned"],
                mode="markers",
                marker={"size": 4, "color": colour, "opacity": 0.4},
                text=[f"{text(row.layer)}, seed {row.seed}" for row in rows_of(rows)],
                legendgroup=name,
                showlegend=False,
                hovertemplate="%{text}: %{y:.3f}<extra></extra>",
            )
            figure.add_trace(line.update(showlegend=is_new(figure, name)), row=place, col=1)
            figure.add_trace(seeds, row=place, col=1)
        names = of_part.drop_duplicates("position").sort_values("position")
        figure.update_xaxes(
            tickvals=list(names["position"]), ticktext=[text(name) for name in names["layer"]], row=place, col=1
        )
        figure.update_yaxes(title_text="share pruned", rangemode="tozero", row=place, col=1)
    figure.update_layout(legend=ASIDE)
    return finish(figure, "What the masks prune, layer by layer", _FRAME + _PANEL * len(parts))


def mask_agreement(agreement: pd.DataFrame) -> go.Figure:
    """Do masks of different seeds prune the same weights? Intersection over union, beside what chance would give.

    Args:
        agreement: frame with `AGREEMENT_KEYS`, and `part` where there are parts: one row per pair of seeds. `chance` is
            the expectation for masks that prune as many weights of each layer, anywhere in it.

    Raises:
        InputError: a missing column.
    """
    frame = with_part(agreement, AGREEMENT_KEYS, "mask agreement")
    kinds = list(frame[["part", "mask"]].drop_duplicates().itertuples(index=False, name=None))
    heads = [
        ", ".join(filter(None, [_mask_title(mask), text(part_title(part)) if part else "", what]))
        for part, mask in kinds
        for what in ("found", "by chance")
    ]
    rows = max(len(kinds), 1)
    figure = make_subplots(
        rows, 2, subplot_titles=heads or None, horizontal_spacing=0.1, vertical_spacing=min(0.3, 70 / (_MAP * rows))
    )
    for place, (part, mask) in enumerate(kinds, start=1):
        pairs = frame[(frame["part"] == part) & (frame["mask"] == mask)]
        seeds = sorted({*pairs["left"], *pairs["right"]})
        written = {"texttemplate": "%{z:.2f}"} if len(seeds) <= _MOST_WRITTEN else {}
        for column, key in enumerate(("iou", "chance"), start=1):
            cells = _symmetric(pairs, key, seeds)
            names = [str(seed) for seed in seeds]
            heat = go.Heatmap(
                z=cells,
                x=names,
                y=names,
                coloraxis="coloraxis",
                hoverongaps=False,
                hovertemplate="seeds %{x} and %{y}: %{z:.3f}<extra></extra>",
                **written,
            )
            figure.add_trace(heat, row=place, col=column)
            figure.update_xaxes(type="category", showgrid=False, row=place, col=column)
            figure.update_yaxes(type="category", autorange="reversed", showgrid=False, row=place, col=column)
    figure.update_xaxes(title_text="seed", row=rows)
    bar = {"title": {"text": "IoU of what is pruned"}, "thickness": 14}
    figure.update_layout(coloraxis={"colorscale": "Cividis", "cmin": 0, "cmax": 1, "colorbar": bar})
    return finish(figure, "Do masks of different seeds agree?", _FRAME + _MAP * rows)


def repair_curves(curves: pd.DataFrame, repairs: pd.DataFrame, objectives: Objectives) -> go.Figure:
    """What was followed over the epochs on the rows that the epoch is chosen on, with the epoch of each seed.

    A row of panels for each part. Lines are means over the seeds, bands their range. Under an objective these are Φ,
    bias and performance: of a signed bias the size is drawn, under it the bound that Φ sets (dashed) and the tolerance
    (dotted). Without one they are the figures of `FOLLOWED`.

    Args:
        curves: frame with `CURVE_KEYS`: `figure` is `judgement` (Φ), `bias`, `performance`, or one of `FOLLOWED`;
            others are ignored.
        repairs: frame with `variant, seed, epoch`, the epoch that was chosen.
        objectives: part → `bias, performance, tolerance, margin`; may be empty.

    Raises:
        InputError: a missing column or objective.
    """
    frame = curves_with_titles(curves)
    chosen = with_part(repairs, ("method", "variant", "seed", "epoch"), "repairs")
    chosen = chosen[chosen["epoch"].notna() & ~chosen["name"].map(is_last).astype(bool)]
    parts = list(dict.fromkeys(frame["part"]))
    figure = panels(parts, columns=len(JUDGED if objectives else FOLLOWED))
    for place, part in enumerate(parts, start=1):
        titles = _judged(objective_of(part, objectives)) if objectives else FOLLOWED
        for column, (key, title) in enumerate(titles.items(), start=1):
            rows = frame[(frame["part"] == part) & (frame["figure"] == key)]
            add_lines(figure, rows, place, column)
            _add_chosen(figure, rows, chosen, place, column)
            figure.update_xaxes(title_text="epoch", row=place, col=column)
            figure.update_yaxes(title_text=title, type="log" if key in LOGARITHMIC else "linear", row=place, col=column)
        if objectives:
            _add_bounds(figure, objective_of(part, objectives), place, 1 + JUDGED.index("bias"))
    if objectives:  # else there are more panels, which need the width
        figure.update_layout(legend=ASIDE)
    return finish(figure, "How the repairs were learned", _FRAME + _PANEL * max(len(parts), 1))


def critic_curves(curves: pd.DataFrame) -> go.Figure:
    """The critic's squared error over the variance of what it predicts, by epoch; a critic at 1 predicts the mean.

    Args:
        curves: frame with `CURVE_KEYS`; the rows whose `figure` is `critic_ratio`. Without any the figure is empty.

    Raises:
        InputError: a missing column.
    """
    frame = curves_with_titles(curves)
    frame = frame[frame["figure"] == "critic_ratio"]
    parts = list(dict.fromkeys(frame["part"]))
    figure = panels(parts)
    for place, part in enumerate(parts, start=1):
        add_lines(figure, frame[frame["part"] == part], place, 1)
        figure.add_hline(
            y=1,
            line={"color": NEUTRAL, "width": 1.2, "dash": "dash"},
            annotation_text="predicts the mean",
            row=place,
            col=1,
        )
        figure.update_xaxes(title_text="epoch", row=place, col=1)
        figure.update_yaxes(title_text="error / variance", rangemode="tozero", row=place, col=1)
    figure.update_layout(legend=ASIDE)
    return finish(figure, "What the critics learned", _FRAME + _PANEL * max(len(parts), 1))


def panels(parts: list[str], *, columns: int = 1) -> go.Figure:
    """A row of panels for each part, the part above its first panel."""
    rows = max(len(parts), 1)
    heads = [text(part_title(part)) if column == 0 else "" for part in parts for column in range(columns)]
    titles = heads if any(heads) else None
    return make_subplots(
        rows, columns, subplot_titles=titles, vertical_spacing=min(0.3, 0.28 / rows), horizontal_spacing=0.11
    )


def _repair(
    outcome: pd.DataFrame, colour: str, symbol: str, symbols: tuple[str, str], level: float
) -> list[go.Scatter]:
    """A repair's seeds, and above them its mean with a cross of both intervals."""
    measured = {
        key: interval_within(outcome[key].to_numpy(np.float64), bounds, level=level)
        for key, bounds in (("bias", (0.0, np.inf)), ("performance", (0.0, 1.0)))
    }
    (bias, performance), (bias_std, performance_std), *_ = zip(*measured.values(), strict=True)
    along, across = (
        whiskers(pd.DataFrame({"ci_low": [low], "ci_high": [high]}), np.array([centre]), thickness=1.2, width=3)
        for centre, _, low, high, _ in measured.values()
    )
    title = text(outcome["title"].iloc[0])
    within = outcome["within"].dropna()
    hover = _HOVER.replace("BIAS", symbols[0]).replace("PERFORMANCE", symbols[1])
    seeds = go.Scatter(
        name=ONE_SEED,
        x=outcome["bias"],
        y=outcome["performance"],
        mode="markers",
        marker={"size": 5, "color": colour, "symbol": symbol, "opacity": 0.35},
        text=[f"{title}, seed {seed}" for seed in outcome["seed"]],
        hovertemplate="%{text}: %{y:.3f} at %{x:.3f}<extra></extra>",
        legendgroup=title,
        showlegend=False,
    )
    mean = go.Scatter(
        name=title,
        x=[bias],
        y=[performance],
        error_x=along,
        error_y=across,
        mode="markers",
        marker={"size": 12, "color": colour, "symbol": symbol, "line": {"width": 1, "color": colour}},
        customdata=[[text(outcome["variant"].iloc[0]), performance_std, bias_std, int(within.sum()), len(within)]],
        hovertemplate=hover,
        legendgroup=title,
        showlegend=True,
    )
    return [seeds, mean]


def _mark_tolerance(figure: go.Figure, tolerance: float, place: int) -> None:
    figure.add_vrect(x0=0, x1=tolerance, fillcolor=faded(NEUTRAL, 0.14), line_width=0, layer="below", row=place, col=1)
    line = {"color": NEUTRAL, "width": 1.5, "dash": "dash"}
    figure.add_vline(
        x=tolerance,
        line=line,
        annotation_text=f"tolerance {tolerance:g}",
        annotation_position="bottom right",
        row=place,
        col=1,
    )


def curves_with_titles(curves: pd.DataFrame) -> pd.DataFrame:
    """Curves with `part, name`, the title and the style of their method, and the size of the bias."""
    frame = with_part(curves, CURVE_KEYS, "repair curves")
    keys = [style_of(name, name) for name in frame["name"]]
    titles = [title_of(name, name) for name in frame["name"]]
    size = frame["value"].abs().where(frame["figure"] == "bias", frame["value"])
    return frame.assign(key=keys, title=titles, value=size)


def add_lines(figure: go.Figure, curves: pd.DataFrame, row: int, column: int) -> None:
    """One line per method over the epochs: the mean over the seeds, with their range as a band."""
    colours = method_colours(method_order(curves["key"]))
    for key, dash in dashes(colours).items():
        rows = curves[curves["key"] == key]
        name = text(rows["title"].iloc[0])
        first = is_new(figure, name)
        for trace in banded_line(*seed_band(rows, "value"), name=name, colour=colours[key], dash=dash):
            figure.add_trace(trace.update(showlegend=bool(trace.showlegend) and first), row=row, col=column)


def _judged(objective: Mapping[str, Any]) -> dict[str, str]:
    """The titles of the axes of `JUDGED`."""
    titles = ("Φ, or how far beyond the bound", gap_label(objective["bias"]), metric_label(objective["performance"]))
    return dict(zip(JUDGED, titles, strict=True))


def _add_bounds(figure: go.Figure, objective: Mapping[str, Any], row: int, column: int) -> None:
    tolerance = objective["tolerance"]
    for bound, dash in ((tolerance - objective["margin"], "dash"), (tolerance, "dot")):
        figure.add_hline(y=bound, line={"color": NEUTRAL, "width": 1.2, "dash": dash}, row=row, col=column)


def _add_chosen(figure: go.Figure, rows: pd.DataFrame, chosen: pd.DataFrame, row: int, column: int) -> None:
    """A circle at the epoch that each seed chose; an epoch without a value on the curve has none."""
    keys = ["variant", "seed", "epoch"]
    points = rows.merge(chosen[keys].astype({"epoch": "int64"}), on=keys)
    if points.empty:
        return
    colours = method_colours(method_order(rows["key"]))
    trace = go.Scatter(
        name=CHOSEN,
        x=points["epoch"],
        y=points["value"],
        mode="markers",
        marker={"size": 7, "symbol": "circle-open", "color": list(points["key"].map(colours)), "line": {"width": 1.5}},
        text=[f"{text(point.title)}, seed {point.seed}" for point in rows_of(points)],
        hovertemplate="%{text}: epoch %{x}, %{y:.4g}<extra></extra>",
        legendgroup=CHOSEN,
        showlegend=is_new(figure, CHOSEN),
    )
    figure.add_trace(trace, row=row, col=column)


def _symmetric(pairs: pd.DataFrame, key: str, seeds: list[Any]) -> np.ndarray:
    """A matrix over the seeds, filled on both sides; a mask is not compared with itself."""
    cells = np.full((len(seeds), len(seeds)), np.nan)
    places = {seed: place for place, seed in enumerate(seeds)}
    for left, right, value in pairs[["left", "right", key]].itertuples(index=False, name=None):
        if left != right:
            cells[places[left], places[right]] = cells[places[right], places[left]] = value
    return cells


def _mask_title(mask: str) -> str:
    return text((BY_NAME[mask].mask if mask in BY_NAME else "") or method_title(mask))
