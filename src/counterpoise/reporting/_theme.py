"""One look for every figure: colours that colour-blind readers tell apart, on a light page and on a dark one."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final
from zlib import crc32

import plotly.graph_objects as go

from counterpoise.catalogue import BY_NAME
from counterpoise.reporting.answer import CONTRADICTED, NOT_DISTINGUISHABLE, SUPPORTED

# Okabe and Ito's palette (jfly.uni-koeln.de/color), without its black, which a dark page would swallow.
PALETTE: Final = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "vermillion": "#D55E00",
    "sky": "#56B4E9",
    "yellow": "#F0E442",
    "neutral": "#7c828c",  # grey of the same contrast (about 4 to 1) to a white page and to a nearly black one
}
BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY, YELLOW, NEUTRAL = PALETTE.values()
GRID: Final = "rgba(124, 130, 140, 0.25)"
CLEAR: Final = "rgba(0, 0, 0, 0)"

_FURTHER_COLOURS: Final = (PURPLE, SKY, VERMILLION, YELLOW)
VERDICT_COLOURS: Final = {SUPPORTED: GREEN, CONTRADICTED: VERMILLION, NOT_DISTINGUISHABLE: NEUTRAL}
GROUP_COLOURS: Final = (ORANGE, BLUE, GREEN, PURPLE, VERMILLION, SKY, YELLOW)
GROUP_SYMBOLS: Final = (
    *("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down", "pentagon", "hexagram"),
)

FONT: Final = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
_AXIS: Final = {
    "gridcolor": GRID,
    "zerolinecolor": GRID,
    "linecolor": NEUTRAL,
    "tickcolor": NEUTRAL,
    "ticks": "outside",
    "automargin": True,
    "title": {"standoff": 12},
}
TEMPLATE: Final = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": NEUTRAL},
        "title": {"x": 0, "xref": "paper", "xanchor": "left", "font": {"size": 17}},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "colorway": [BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY, YELLOW],
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "yanchor": "bottom", "yref": "container", "y": 0},
        "margin": {"l": 16, "r": 16, "t": 72, "b": 88},
        "modebar": {"bgcolor": CLEAR, "color": NEUTRAL, "activecolor": BLUE},
        "hoverlabel": {"font": {"family": FONT}},
    }
)


def method_colours(methods: Iterable[str]) -> dict[str, str]:
    """A colour for every method: the same in every figure, whatever else is drawn there."""
    return {method: _colour(method) for method in methods}


def method_symbol(method: str) -> str:
    """The mark of a method: there are more methods than colours one can tell apart."""
    return BY_NAME[method].symbol if method in BY_NAME else "circle"


def _colour(name: str) -> str:
    """The catalogue's colour, or one that always belongs to this name."""
    if name in BY_NAME:
        return PALETTE[BY_NAME[name].colour]
    return _FURTHER_COLOURS[crc32(name.encode()) % len(_FURTHER_COLOURS)]


def group_marker(place: int) -> dict[str, str]:
    """Colour and symbol of a group, by its place: groups of one colour differ by their symbols."""
    symbol = GROUP_SYMBOLS[place // len(GROUP_COLOURS) % len(GROUP_SYMBOLS)]
    return {"color": GROUP_COLOURS[place % len(GROUP_COLOURS)], "symbol": symbol}


def faded(colour: str, opacity: float) -> str:
    """The colour `#rrggbb` as `rgba(…)` with an opacity: for bands, which lie over one another."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def text(words: str) -> str:
    """A name as plain text: plotly reads a subset of HTML in labels, and a name must not be read as such."""
    return html.escape(words, quote=False)
