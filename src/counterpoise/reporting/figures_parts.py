"""Figures of experiments that have parts: pretrained models, networks, optimizers, and what α does in each of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from counterpoise.fairness import LEVEL
from counterpoise.reporting._frames import require_columns
from counterpoise.reporting._marks import ASIDE, dashes, finish, interval_hover, is_new, whiskers
from counterpoise.reporting._theme import GROUP_COLOURS, NEUTRAL, group_marker, method_colours, text
from counterpoise.reporting.tables import intervals, test_rows, variant_order
from counterpoise.reporting.wording import (
    HEADLINE_METRICS,
    method_title,
    metric_label,
    part_title,
    split_part,
    variant_titles,
)

POINT_KEYS: Final = ("part", "group", "x", "y")
_PANEL: Final = 250  # pixels
_FRAME: Final = 110  # pixels above and below the panels together
_DODGE: Final = 0.6  # share of the distance between two places over which the lines of one place are spread
_SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "cross")
_MOST_POINTS: Final = 2_000  # of one panel: more than that hide each other
_MOST_COLUMNS: Final = 4
_LEVEL: Final = 0.3  # steps of α between the ends of two level lines
_BELOW: Final = 56  # pixels below the panels where the legend stands aside


def by_part(
    metrics: pd.DataFrame, summary: pd.DataFrame, *, panels: Sequence[str] = HEADLINE_METRICS, level: float = LEVEL
) -> go.Figure:
    """Error and bias part by part: Tables 2 and 4 of the WIN paper as a figure.

    One panel per metric, the parts side by side in the order of `metrics`, one line per method: the mean over the
    seeds with its interval, and the paper's value as an open diamond where it prints one.

    Args:
        metrics: long frame as in `tables.summary`, with the column `part`.
        summary: `tables.summary` of it.

    Raises:
        InputError: `metrics` has no column `part`.
    """
    require_columns(metrics, ["part"], "metrics")
    parts = metrics[["variant", "part"]].drop_duplicates().dropna()
    part_of = dict(zip(parts["variant"], parts["part"], strict=True))
    places = {part: place for place, part in enumerate(dict.fromkeys(parts["part"]))}
    rows = summary[summary["variant"].isin(part_of)]
    rows = rows.assign(part=rows["variant"].map(part_of), name=[split_part(name)[1] for name in rows["variant"]])
    methods = dict(zip(rows["name"], rows["method"], strict=True))
    titles, colours, shift = variant_titles(methods), method_colours(methods.values()), _dodge(methods)
    styles = dashes(methods)
    figure = make_subplots(max(len(panels), 1), 1, shared_xaxes=True, vertical_spacing=0.05)
    for panel, metric in enumerate(panels, start=1):
        of_metric = rows[rows["metric"] == metric]
        for name, method in methods.items():
            line = of_metric[of_metric["name"] == name]
            line = line.assign(place=line["part"].map(places)).sort_values("place")
            if line.empty:
                continue
            trace = _interval_line(
                line,
                line["place"] + shift[name],
                title=titles[name],
                colour=colours[method],
                dash=styles[name],
                level=level,
            )
            trace.update(text=[f"{text(titles[name])}, {text(part_title(part))}" for part in line["part"]])
            figure.add_trace(trace.update(showlegend=is_new(figure, trace.name)), row=panel, col=1)
        printed = of_metric[of_metric["reported"].notna()]
        if len(printed):
            paper = go.Scatter(
                name="the paper",
                x=printed["part"].map(places) + printed["name"].map(shift),
                y=printed["reported"],
                error_y={"array": printed["reported_std"], "thickness": 1, "width": 3, "color": NEUTRAL},
                mode="markers",
                marker={"symbol": "diamond-open", "size": 10, "color": NEUTRAL, "line": {"width": 2}},
                text=[text(titles[name]) for name in printed["name"]],
                hovertemplate="the paper, %{text}: %{y:.4g}<extra></extra>",
                legendgroup="the paper",
            )
            figure.add_trace(paper.update(showlegend=is_new(figure, paper.name)), row=panel, col=1)
        figure.update_yaxes(title_text=metric_label(metric), row=panel, col=1)
    labels = [text(part_title(part)) for part in places]
    figure.update_xaxes(tickvals=list(places.values()), ticktext=labels, range=[-0.5, max(len(places), 1) - 0.5])
    figure.update_xaxes(showgrid=False, zeroline=False)
    figure.update_layout(legend=ASIDE, margin_b=_BELOW)
    return finish(figure, "Error and bias, part by part", height=_FRAME + _PANEL * len(panels))


def ablation(metrics: pd.DataFrame, *, panels: Sequence[str] = HEADLINE_METRICS, level: float = LEVEL) -> go.Figure:
    """What α does: Figure 5 of the WIN paper.

    One panel per metric over α, one line per method, rank and part (dashed by part, marked by rank): means over the
    seeds with intervals. Variants without an α, such as TL and f+SVD, are level lines whose interval stands at
    their right end.

    Args:
        metrics: long frame as in `tables.summary`, with `alpha`, `rank` and, where there are parts, `part`.

    Raises:
        InputError: a missing column.
    """
    require_columns(metrics, ["alpha", "rank"], "metrics")
    test = test_rows(metrics)
    lines = _ablation_lines(test)
    shown = test[test["metric"].isin(panels)]
    means = intervals(shown, ["variant", "metric"], "value", level=level).merge(lines, on="variant")
    alphas = sorted(lines["alpha"].dropna().unique())
    step = min(np.diff(alphas), default=0.1)
    with_alpha = lines["alpha"].notna()
    curves, levels = (list(dict.fromkeys(lines.loc[rows, "line"])) for rows in (with_alpha, ~with_alpha))
    left = (alphas[0] if alphas else 0.0) - step / 2
    shifts = {line: step * shift for line, shift in _dodge(curves).items()}
    ends = {line: max(alphas, default=0.0) + step * (0.6 + _LEVEL * place) for place, line in enumerate(levels)}
    colours = method_colours(lines["method"])
    styles = dashes(dict.fromkeys(lines["part"], ""))
    symbols = {rank: _SYMBOLS[place % len(_SYMBOLS)] for place, rank in enumerate(sorted(set(lines["rank_text"])))}
    figure = make_subplots(max(len(panels), 1), 1, shared_xaxes=True, vertical_spacing=0.05)
    for panel, metric in enumerate(panels, start=1):
        for title in (*levels, *curves):
            points = means[(means["line"] == title) & (means["metric"] == metric)].sort_values("alpha")
            if points.empty:
                continue
            first = points.iloc[0]
            style: dict[str, Any] = {
                "title": title,
                "colour": colours[first["method"]],
                "dash": styles[first["part"]],
                "level": level,
            }
            if title in ends:
                trace = _horizontal(points, left, ends[title], **style)
            else:
                trace = _interval_line(points, points["alpha"].to_numpy(np.float64) + shifts[title], **style)
                trace.update(text=[f"{text(title)}, α {alpha:g}" for alpha in points["alpha"]])
            trace.update(marker_symbol=symbols[first["rank_text"]], showlegend=is_new(figure, trace.name))
            figure.add_trace(trace, row=panel, col=1)
        figure.update_yaxes(title_text=metric_label(metric), row=panel, col=1)
    figure.update_xaxes(title_text="α", row=len(panels), col=1)
    right = max([*alphas, *ends.values()], default=1.0) + step / 2
    figure.update_xaxes(tickvals=alphas, range=[left, right], zeroline=False)
    figure.update_layout(legend=ASIDE, margin_b=_BELOW)
    return finish(figure, "What α does", height=_FRAME + _PANEL * len(panels))


def representation(
    points: pd.DataFrame, group_names: Sequence[str], *, shares: Mapping[str, tuple[float, float]] | None = None
) -> go.Figure:
    """What the head sees of the samples predicted positive: Figure 1 of the WIN paper.

    One panel per part, such as a pretrained model, one colour per group: the first two principal components of the
    head's input. Of more than 2,000 samples every n-th is drawn, and the panel's title says how many there are.

    Args:
        points: frame with `part, group, x, y`; `group` is a code into `group_names`.
        shares: part → the shares of variance (0 to 1) of the two components, for the titles of the axes.

    Raises:
        InputError: a missing column.
    """
    require_columns(points, POINT_KEYS, "representation")
    parts = list(dict.fromkeys(points["part"]))
    columns = min(max(len(parts), 1), _MOST_COLUMNS)
    rows = max(-(-len(parts) // columns), 1)
    drawn = {part: _thinned(points[points["part"] == part]) for part in parts}
    heads = [text(part_title(str(part))) + _how_many(points, part, drawn[part]) for part in parts]
    figure = make_subplots(
        rows, columns, subplot_titles=heads or None, horizontal_spacing=0.09, vertical_spacing=0.3 / rows
    )
    for place, part in enumerate(parts):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        for code, group in enumerate(group_names):
            group_points = drawn[part][drawn[part]["group"] == code]
            trace = go.Scatter(
                name=text(group),
                x=group_points["x"],
                y=group_points["y"],
                mode="markers",
                marker={"size": 4, "opacity": 0.5, **group_marker(code)},
                legendgroup=str(code),
                hoverinfo="skip",
            )
            figure.add_trace(trace.update(showlegend=is_new(figure, trace.name)), **at)
        first, second = (shares or {}).get(part, (None, None))
        figure.update_xaxes(title_text=_component(1, first), **at)
        figure.update_yaxes(title_text=_component(2, second), **at)
    figure.update_layout(legend_itemsizing="constant")
    if len(group_names) > len(GROUP_COLOURS):  # more than fit below the panels
        figure.update_layout(legend=ASIDE, margin_b=_BELOW)
    return finish(figure, "What the head sees of the samples predicted positive", height=_FRAME + 300 * rows)


def _interval_line(rows: pd.DataFrame, x: Any, *, title: str, colour: str, dash: str, level: float) -> go.Scatter:
    """Means joined by a line, with their intervals; the caller gives the words of the hover boxes."""
    means = rows["mean"].to_numpy(np.float64)
    return go.Scatter(
        name=text(title),
        x=x,
        y=means,
        error_y=whiskers(rows, means, thickness=1.2),
        mode="lines+markers",
        line={"color": colour, "width": 1.5, "dash": dash},
        marker={"size": 8, "color": colour},
        customdata=rows[["ci_low", "ci_high", "n"]],
        hovertemplate=f"%{{text}}: %{{y:.4g}}{interval_hover(level)}",
        legendgroup=title,
    )


def _horizontal(rows: pd.DataFrame, left: float, right: float, **style: Any) -> go.Scatter:
    """A horizontal line of one variant, styled as `_interval_line`; mark and interval stand at its right end alone."""
    title = style["title"]
    trace = _interval_line(rows.iloc[[0, 0]], np.array([left, right]), **style)
    (length, below), unseen = (trace.error_y.array[1], trace.error_y.arrayminus[1]), np.nan
    trace.update(error_y={"array": [unseen, length], "arrayminus": [unseen, below]}, marker_size=[0, 8])
    return trace.update(text=[text(title)] * 2)


def _ablation_lines(test: pd.DataFrame) -> pd.DataFrame:
    """Variant → the line it belongs to (`line`, its name), with `method, part, alpha, rank_text`."""
    rows: list[dict[Any, Any]] = test.drop_duplicates("variant").to_dict("records")
    described = {row["variant"]: row for row in rows}
    with_alpha = {row["method"] for row in rows if not pd.isna(row["alpha"])}  # others of its variants have none
    records = []
    for variant, method in variant_order(test).items():
        row = described[variant]
        part = "" if pd.isna(row.get("part")) else str(row["part"])
        alpha = np.nan if pd.isna(row["alpha"]) else float(row["alpha"])
        rank = "" if pd.isna(row["rank"]) else f"r = {row['rank']:g}"
        title = split_part(variant)[1] if method in with_alpha and np.isnan(alpha) else method_title(method)
        name = ", ".join(filter(None, [title, rank, part_title(part) if part else ""]))
        records.append((variant, name, method, part, alpha, rank))
    return pd.DataFrame(records, columns=["variant", "line", "method", "part", "alpha", "rank_text"])


def _dodge(names: Collection[str]) -> dict[str, float]:
    """Shift the lines of one place apart, so that their intervals do not overlap."""
    middle = (len(names) - 1) / 2
    return {name: _DODGE * (place - middle) / max(len(names), 1) for place, name in enumerate(names)}


def _thinned(points: pd.DataFrame) -> pd.DataFrame:
    return points.iloc[:: max(-(-len(points) // _MOST_POINTS), 1)]


def _how_many(points: pd.DataFrame, part: Any, drawn: pd.DataFrame) -> str:
    total = int((points["part"] == part).sum())
    return f" ({len(drawn):,} of {total:,})" if len(drawn) < total else ""


def _component(place: int, share: float | None) -> str:
    return f"component {place}" if share is None else f"component {place} ({share:.0%} of variance)"
