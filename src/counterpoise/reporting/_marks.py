"""The marks that several figures share: means with their intervals, seeds as points, bands, and the finished frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from counterpoise.reporting._theme import TEMPLATE, faded, text
from counterpoise.reporting.wording import interval_title

ROW: Final = 44  # pixels a row of a panel takes
MARGINS: Final = 200  # pixels above and below the panels together
SPREAD: Final = 0.16  # how far the seeds of one row lie apart, in rows
ONE_SEED: Final = "one seed"
CHOSEN: Final = "epoch chosen (one seed)"
DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash")
ASIDE: Final = {"orientation": "v", "x": 1.02, "yref": "paper", "y": 1, "yanchor": "top"}
"""A legend at the right of the panels."""
_LEGEND_ROW, _ASIDE_ROW, _LEGEND_FRAME, _LEGEND_MARK, _LETTER, _LEGEND_WIDTH = 22, 31, 150, 56, 8, 820  # pixels
_BAND_OPACITY: Final = 0.16


def finish(figure: go.Figure, title: str, height: int) -> go.Figure:
    """Dress a figure: the template, the title that becomes the heading in a report, the height in pixels.

    It becomes higher where its legend needs it: what does not fit in a legend is cut off.
    """
    names = list(dict.fromkeys(trace.name for trace in figure.data if trace.name and trace.showlegend is not False))
    figure.update_layout(template=TEMPLATE, title={"text": title})
    if figure.layout.legend.orientation == ASIDE["orientation"]:
        return figure.update_layout(height=max(height, _LEGEND_FRAME + _ASIDE_ROW * len(names)))
    rows = max(-(-sum(_LEGEND_MARK + _LETTER * len(name) for name in names) // _LEGEND_WIDTH), 1)
    below = _LEGEND_ROW * (rows - 1)
    margin = figure.layout.margin.b or TEMPLATE.layout.margin.b
    return figure.update_layout(height=height + below, margin_b=margin + below)


def interval_hover(level: float) -> str:
    """The end of a hover box over a mean whose `customdata` are the ends of its interval and the number of seeds."""
    return (
        f"<br>{interval_title(level)} %{{customdata[0]:.4g}} to %{{customdata[1]:.4g}}<br>%{{customdata[2]}} seeds"
        "<extra></extra>"
    )


def is_new(figure: go.Figure, name: str) -> bool:
    """Whether a legend entry of this name is still to be made."""
    return all(trace.name != name for trace in figure.data)


def dashes(shared: Mapping[str, str]) -> dict[str, str]:
    """Name of a line → its dash; `shared`: name → what lines of one colour have in common, such as their method."""
    count = Counter[str]()
    styles = {}
    for name, common in shared.items():
        styles[name] = DASHES[count[common] % len(DASHES)]
        count[common] += 1
    return styles


def seed_band(values: pd.DataFrame, column: str) -> tuple[np.ndarray, ...]:
    """Epochs, and the least, the largest and the mean value over the seeds: what `banded_line` draws."""
    seeds = values.groupby("epoch", sort=True)[column].agg(["min", "max", "mean"])
    return (seeds.index.to_numpy(), *(seeds[name].to_numpy() for name in ("min", "max", "mean")))


def whiskers(rows: pd.DataFrame, centre: np.ndarray, *, thickness: float = 2, width: int = 5) -> dict[str, Any]:
    """The error bar of the intervals `ci_low` to `ci_high`, as lengths from `centre`; none where there is none."""
    high, low = rows["ci_high"].to_numpy(np.float64) - centre, centre - rows["ci_low"].to_numpy(np.float64)
    return {
        "type": "data",
        "symmetric": False,
        "array": high,
        "arrayminus": low,
        "thickness": thickness,
        "width": width,
    }


def offsets(seeds: pd.DataFrame, row: str) -> np.ndarray:
    """Spread the seeds of each `row` evenly below its mean: no chance in it, so that a report repeats to the byte."""
    place = seeds.groupby(row).cumcount().to_numpy(np.float64)
    count = seeds.groupby(row)["seed"].transform("size").to_numpy(np.float64)
    return SPREAD + SPREAD * place / np.maximum(count - 1, 1)


def seed_points(seeds: pd.DataFrame, places: pd.Series, *, row: str, colours: dict[str, str]) -> go.Scatter:
    """Each seed's `value` as a small point under the mean of its row; the colour is that of its `method`."""
    return go.Scatter(
        name=ONE_SEED,
        x=seeds["value"],
        y=places + offsets(seeds, row),
        mode="markers",
        text=[f"seed {seed}" for seed in seeds["seed"]],
        marker={"size": 5, "color": list(seeds["method"].map(colours)), "opacity": 0.4},
        hovertemplate="%{text}: %{x:.4g}<extra></extra>",
    )


def mean_points(rows: pd.DataFrame, places: pd.Series, *, row: str, colour: str, level: float) -> go.Scatter:
    """Means of one method with their intervals, of this level: an error bar takes one colour per trace."""
    measured = rows["mean"].to_numpy(np.float64)
    return go.Scatter(
        name=f"mean, {interval_title(level)}",
        x=measured,
        y=places,
        mode="markers",
        error_x=whiskers(rows, measured),
        marker={"size": 11, "color": colour},
        text=[text(name) for name in rows[row]],
        customdata=rows[["ci_low", "ci_high", "n"]],
        hovertemplate=f"%{{text}}: %{{x:.4g}}{interval_hover(level)}",
    )


def banded_line(
    x: np.ndarray, low: np.ndarray, high: np.ndarray, mean: np.ndarray, *, name: str, colour: str, dash: str = "solid"
) -> list[go.Scatter]:
    """A mean with a range shaded around it; one legend entry switches both."""
    shared: dict[str, Any] = {"legendgroup": name, "name": name}
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    return [
        go.Scatter(x=x, y=low, **edge, **shared),
        go.Scatter(x=x, y=high, fill="tonexty", fillcolor=faded(colour, _BAND_OPACITY), **edge, **shared),
        go.Scatter(x=x, y=mean, mode="lines", line={"color": colour, "dash": dash}, showlegend=True, **shared),
    ]
