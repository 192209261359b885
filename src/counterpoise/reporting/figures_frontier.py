"""The trade-off between error and bias: every variant on one plane, and the area that each method's frontier covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from counterpoise.catalogue import CHOSEN, CONSTANT
from counterpoise.errors import InputError
from counterpoise.fairness import LEVEL, non_dominated
from counterpoise.reporting._frames import require_columns, rows_of
from counterpoise.reporting._marks import ASIDE, MARGINS, ROW, finish, is_new, mean_points, seed_points, whiskers
from counterpoise.reporting._theme import NEUTRAL, faded, method_colours, method_symbol, text
from counterpoise.reporting.tables import METRICS_KEYS, bounds_of, interval_within, intervals, test_rows, variant_order
from counterpoise.reporting.wording import (
    enumerate_words,
    frontier_title,
    gap_symbol,
    interval_title,
    is_missing,
    method_order,
    method_title,
    metric_label,
    metric_order,
    metric_symbol,
)

ERROR: Final = "err"
HYPERVOLUME_KEYS: Final = ("method", "seed", "bias", "hypervolume")
_PICK: Final = 14  # size of the mark of what was chosen
_HOLLOW: Final = 20  # size of a mark that another may lie on
_CROSS: Final = 0.5  # opacity of the crosses of peers
_DOMINATED, _EFFICIENT = 0.3, 0.95  # opacity of a point
_SHOWN: Final = 0.75  # share of the points that the first view reaches up to; constant predictors lie far above
_MOST_DOMINATED: Final = 1_000  # points
_PADDING: Final = 0.06  # of the first view
_HOVER: Final = (
    "<b>%{customdata[0]}</b>%{customdata[1]}<br>error %{y:.2f} ± %{customdata[2]:.2f}"
    "<br>SYMBOL %{x:.4f} ± %{customdata[3]:.4f}<br>%{customdata[4]} seeds"
)


def frontier_plane(
    grid: pd.DataFrame,
    chosen: pd.DataFrame | None = None,
    *,
    bias: str,
    tolerance: float | None = None,
    noise_floor: float | None = None,
    level: float = LEVEL,
) -> go.Figure:
    """Draw every variant's mean error against its mean bias on the test split, and each method's frontier.

    A line joins the means that no other mean of the same method dominates; between two of them it runs where the area
    of `fairness.hypervolume` ends. Of more than a thousand dominated points only every n-th is drawn, and the first
    view leaves out the highest errors; the figure says how many.

    Args:
        grid: long frame as in `tables.summary`, with the metrics `err` and `bias`; other rows are ignored. Columns
            beyond those of every metrics frame are taken for settings and shown in the hover box.
        chosen: frame with `seed, method, variant, err` and a column named like `bias`: what was chosen for each seed,
            measured on the test split. Drawn as the mean over the seeds with both intervals, one mark per method.
        bias: metric of the horizontal axis, such as `delta_eo`; of a signed one, such as `spd`, the absolute value.
        tolerance: bias that the choice was to stay below.
        noise_floor: bias that a perfectly fair model would measure.

    Raises:
        InputError: a column or one of the two metrics is missing, or a seed occurs twice.
    """
    points = variant_means(grid, bias)
    drawn = _thinned(points)
    picks = _chosen_means(chosen, bias, level)
    methods = method_order([*points["method"], *picks["method"]])
    colours = method_colours(methods)
    hover = _HOVER.replace("SYMBOL", gap_symbol(bias))
    figure = go.Figure()
    for method in [name for name in methods if name in set(points["method"])]:
        points_of_method = drawn[drawn["method"] == method]
        efficient = points_of_method[points_of_method["efficient"]].sort_values(["bias", "err"])
        figure.add_trace(
            go.Scatter(
                x=efficient["bias"],
                y=efficient["err"],
                mode="lines",
                line={"color": colours[method], "width": 1.5, "shape": "hv"},
                legendgroup=method,
                showlegend=False,
                hoverinfo="skip",
            )
        )
        figure.add_trace(
            go.Scatter(
                name=frontier_title(method),
                x=points_of_method["bias"],
                y=points_of_method["err"],
                mode="markers",
                marker={
                    "size": 7,
                    "color": colours[method],
                    "symbol": method_symbol(method),
                    "opacity": np.where(points_of_method["efficient"], _EFFICIENT, _DOMINATED),
                },
                customdata=points_of_method[["label", "settings", "err_std", "bias_std", "n"]],
                hovertemplate=f"{hover}<extra></extra>",
                legendgroup=method,
            )
        )
    # What the whole is about is drawn last, over what it may coincide with; marks below it are larger and hollow.
    for row in sorted(rows_of(picks), key=lambda row: row.method == CHOSEN):
        pick = _pick(row, colours[row.method], hover, level)
        figure.add_trace(pick.update(showlegend=is_new(figure, pick.name)))
    figure.update_xaxes(title_text=gap_symbol(bias))
    figure.update_yaxes(title_text=metric_label(ERROR))
    _mark_limits(figure, tolerance, noise_floor)
    _set_view(figure, points, len(drawn), picks, tolerance)
    figure.update_layout(legend=ASIDE, margin_b=56)
    return finish(figure, f"Error and {gap_symbol(bias)} of every variant on the test split", height=560)


def variant_means(grid: pd.DataFrame, bias: str) -> pd.DataFrame:
    """Mean and deviation over the seeds of each variant's test error and bias, and whether its mean is non-dominated.

    Returns:
        Frame with `method, variant, label, settings, err, err_std, bias, bias_std, n, efficient`, one row per variant,
        in the order of `tables.variant_order`; `label` and `settings` are ready for a hover box. `n` counts the seeds
        with both values, and only those enter the means. A variant that lacks a seed, because its training diverged,
        is on no frontier: its mean is one over easier seeds.
    """
    test = test_rows(grid[grid["metric"].isin([ERROR, bias])])
    for metric in (ERROR, bias):
        if not (test["metric"] == metric).any():
            raise InputError(f"metrics: {metric!r} was not measured on the test split, expected it and {ERROR!r}.")
    order = variant_order(test)
    pairs = test.pivot(index=["variant", "seed"], columns="metric", values="value").dropna()
    pairs[bias] = pairs[bias].abs()
    by_variant = pairs.groupby(level="variant")
    mean, std = by_variant.mean(), by_variant.std()
    settings = [column for column in test.columns if column not in METRICS_KEYS]
    described = {row.variant: row for row in rows_of(test.drop_duplicates("variant")[["variant", *settings]])}
    names = [variant for variant in order if variant in mean.index]
    frame = pd.DataFrame(
        {
            "method": [order[name] for name in names],
            "variant": names,
            "label": [text(name) for name in names],
            "settings": [_settings(described[name], settings) for name in names],
            "err": mean.loc[names, ERROR].to_numpy(),
            "err_std": std.loc[names, ERROR].to_numpy(),
            "bias": mean.loc[names, bias].to_numpy(),
            "bias_std": std.loc[names, bias].to_numpy(),
            "n": by_variant.size().loc[names].to_numpy(),
        }
    )
    complete = frame["n"] == test["seed"].nunique()
    efficient = np.zeros(len(frame), dtype=bool)
    for places in frame.groupby("method").indices.values():
        plane = torch.tensor(frame.loc[places, ["bias", "err"]].where(complete).to_numpy(np.float64))
        efficient[places] = non_dominated(plane).numpy()
    return frame.assign(efficient=efficient)


def hypervolumes(frame: pd.DataFrame, *, level: float = LEVEL) -> go.Figure:
    """Draw the area that each method's frontier covers: one panel per bias, one row per method; more is better.

    Args:
        frame: `method, seed, bias, hypervolume`, one row per method, seed and bias. Drawn as the mean over the seeds
            with its interval, and each seed as a small point. The intervals are of each method alone: whether two
            differ is for a paired comparison to say.

    Raises:
        InputError: a missing column.
    """
    require_columns(frame, HYPERVOLUME_KEYS, "hypervolumes")
    methods = method_order(frame["method"])
    rows = {method: float(place) for place, method in enumerate(methods)}
    colours = method_colours(methods)
    biases = metric_order(frame["bias"])
    figure = make_subplots(1, max(len(biases), 1), shared_yaxes=True, horizontal_spacing=0.06)
    for column, bias in enumerate(biases, start=1):
        seeds = frame[frame["bias"] == bias].rename(columns={"hypervolume": "value"}).sort_values(["method", "seed"])
        means = intervals(seeds, ["method"], "value", level=level)
        means = means.assign(title=means["method"].map(frontier_title))
        places = means["method"].map(rows)
        traces = [
            seed_points(seeds, seeds["method"].map(rows), row="method", colours=colours),
            *(
                mean_points(group, places[group.index], row="title", colour=colours[str(method)], level=level)
                for method, group in means.groupby("method")
            ),
        ]
        for trace in traces:
            trace.update(legendgroup=trace.name, showlegend=is_new(figure, trace.name))
            figure.add_trace(trace, row=1, col=column)
        title = f"hypervolume over ({metric_symbol(ERROR)}, {gap_symbol(bias)})"
        figure.update_xaxes(title_text=title, row=1, col=column)
    figure.update_yaxes(ticks="")
    titles = [text(frontier_title(method)) for method in methods]
    figure.update_yaxes(tickvals=list(rows.values()), ticktext=titles, range=[len(rows) - 0.5, -0.6])
    return finish(figure, "How much each method's frontier covers", height=MARGINS + ROW * len(rows))


def _pick(row: Any, colour: str, hover: str, level: float) -> go.Scatter:
    """The mean of what was chosen, as a large mark with a cross of both intervals."""
    symbol, is_choice = method_symbol(row.method), row.method == CHOSEN
    hollow = symbol == method_symbol(CHOSEN) and not is_choice
    along, across = (
        whiskers(pd.DataFrame({"ci_low": [low], "ci_high": [high]}), np.array([centre]), thickness=1.5)
        | {"color": colour if is_choice else faded(colour, _CROSS)}
        for centre, low, high in ((row.bias, row.bias_low, row.bias_high), (row.err, row.err_low, row.err_high))
    )
    return go.Scatter(
        name=method_title(row.method),
        x=[row.bias],
        y=[row.err],
        error_x=along,
        error_y=across,
        mode="markers",
        marker={
            "size": _HOLLOW if hollow else _PICK,
            "symbol": f"{symbol}-open" if hollow else symbol,
            "color": colour,
            "line": {"width": 2, "color": colour} if hollow else {"width": 1, "color": NEUTRAL},
        },
        customdata=[[text(method_title(row.method)), row.settings, row.err_std, row.bias_std, row.n]],
        hovertemplate=f"{hover}<br>crosses: {interval_title(level)}s of the mean<extra></extra>",
        legendgroup=row.method,
    )


def _chosen_means(chosen: pd.DataFrame | None, bias: str, level: float) -> pd.DataFrame:
    """Mean, deviation and interval of both coordinates of what each method chose; `settings` counts the variants."""
    columns = ("seed", "method", "variant", ERROR, bias)
    if chosen is None:
        chosen = pd.DataFrame(columns=list(columns))
    require_columns(chosen, columns, "chosen models")
    records = []
    for method in method_order(chosen["method"]):
        choices = chosen[chosen["method"] == method]
        variants = choices["variant"].value_counts()
        if variants.empty:  # no model of the family could be chosen in any seed
            continue
        most = text(str(variants.index[0]))
        record: dict[str, Any] = {
            "method": method,
            "settings": f"<br>{most} in {variants.iloc[0]} of {len(choices)} seeds",
        }
        for name, column in (("err", ERROR), ("bias", bias)):
            sizes = np.abs(choices[column].to_numpy(np.float64))
            mean, std, low, high, count = interval_within(sizes, bounds_of(column, absolute=True), level=level)
            record |= {name: mean, f"{name}_std": std, f"{name}_low": low, f"{name}_high": high, "n": count}
        records.append(record)
    return pd.DataFrame(
        records, columns=None if records else ["method", "bias", "bias_high", "err", "err_low", "err_high"]
    )


def _mark_limits(figure: go.Figure, tolerance: float | None, noise_floor: float | None) -> None:
    if not is_missing(noise_floor):
        figure.add_vrect(
            x0=0,
            x1=noise_floor,
            fillcolor=faded(NEUTRAL, 0.14),
            line_width=0,
            layer="below",
            annotation={"text": "noise floor", "yshift": 18},
            annotation_position="top left",
        )
    if tolerance is not None:
        line = {"color": NEUTRAL, "width": 1.5, "dash": "dash"}
        figure.add_vline(
            x=tolerance, line=line, annotation_text=f"tolerance {tolerance:g}", annotation_position="top right"
        )


def _thinned(points: pd.DataFrame) -> pd.DataFrame:
    """All points on a frontier, and of the others every n-th: thousands of them would hide each other."""
    others = np.flatnonzero(~points["efficient"])
    step = max(-(-len(others) // _MOST_DOMINATED), 1)
    return points.iloc[np.sort([*others[::step], *np.flatnonzero(points["efficient"])]).astype(int)]


def _set_view(
    figure: go.Figure, points: pd.DataFrame, drawn: int, picks: pd.DataFrame, tolerance: float | None
) -> None:
    """Begin where the frontiers are: a constant predictor is fair too, and its error would press all else flat.

    What errs more than a constant prediction is of no use, and lies above the first view too, if it was chosen or not.
    """
    if points.empty:
        return
    constant = pd.concat([frame.loc[frame["method"] == CONSTANT, "err"] for frame in (points, picks)]).min()
    points, picks = (frame[frame["method"] != CONSTANT] for frame in (points, picks))
    best_of_each = points.groupby("method")["err"].min()
    top = max([points["err"].quantile(_SHOWN), *best_of_each, *picks["err_high"].fillna(picks["err"])])
    right = max([points["bias"].max(), tolerance or 0.0, *picks["bias_high"].fillna(picks["bias"])])
    bottom = min([points["err"].min(), *picks["err_low"].fillna(picks["err"])])
    if bottom < constant < top:  # false without a constant predictor
        top = constant
    margin = _PADDING * max(top - bottom, 0.1)
    figure.update_yaxes(range=[bottom - 2 * margin, top + margin])
    figure.update_xaxes(range=[-0.01 * right, right * (1 + _PADDING)])
    hidden = int((points["err"] > top + margin).sum())
    remarks = [f"{drawn:,} of {len(points):,} variants drawn"] if drawn < len(points) else []
    unseen = [f"{hidden:,}"] * (hidden > 0)
    unseen += [f"the choice of {method_title(name)}" for name in picks.loc[picks["err"] > top + margin, "method"]]
    remarks += [f"{enumerate_words(unseen)} lie above: double-click to see them"] if unseen else []
    if remarks:
        figure.add_annotation(
            text="<br>".join(remarks),  # beside them, on the left, is the label of the noise floor
            align="right",
            xref="paper",
            yref="paper",
            x=1,
            y=1,
            xanchor="right",
            yanchor="bottom",
            showarrow=False,
        )


def _settings(row: Any, settings: Sequence[str]) -> str:
    """A variant's settings as lines of a hover box; those it does not have are left out."""
    present = {name: value for name in settings if not pd.isna(value := getattr(row, name))}
    return "".join(
        f"<br>{name} {text(value) if isinstance(value, str) else f'{value:g}'}" for name, value in present.items()
    )
