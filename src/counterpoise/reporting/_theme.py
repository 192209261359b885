"""One look for every figure: colours that colour-blind readers tell apart, on a light page and on a dark one."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final
from zlib import crc32

import plotly.graph_objects as go

from counterpoise.reporting.answer import CONTRADICTED, NOT_DISTINGUISHABLE, SUPPORTED

# Okabe and Ito's palette (jfly.uni-koeln.de/color), without its black, which a dark page would swallow.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW = "#CC79A7", "#56B4E9", "#F0E442"
# Grey of the same contrast (about 4 to 1) to a white page and to a nearly black one.
NEUTRAL: Final = "#7c828c"
GRID: Final = "rgba(124, 130, 140, 0.25)"
CLEAR: Final = "rgba(0, 0, 0, 0)"

# There are more methods than colours one can tell apart: those of one colour differ by their symbols.
METHOD_COLOURS: Final = {
    "pretrained": NEUTRAL,
    **dict.fromkeys(("tl", "chosen_tl"), BLUE),
    **dict.fromkeys(("svd", "chosen_svd"), ORANGE),
    **dict.fromkeys(("win", "chosen_win"), GREEN),
    **dict.fromkeys(("retrain", "chosen"), VERMILLION),
    "logistic": NEUTRAL,
    **dict.fromkeys(("reweighing", "leace", "threshold_optimizer"), SKY),
    "exponentiated_gradient": PURPLE,
    **dict.fromkeys(("baseline", "threshold"), NEUTRAL),
    **dict.fromkeys(
        ("uniform_confusion", "adversarial_debiasing", "domain_discriminative", "domain_independent"), PURPLE
    ),
    **dict.fromkeys(("reject_option", "equalized_odds_postprocessing", "calibrated_equalized_odds"), SKY),
    **dict.fromkeys(("random_perturbation", "layerwise_optimization"), ORANGE),
    **dict.fromkeys(("adversarial_finetuning", "adversarial_finetuning_exact"), ORANGE),
    **dict.fromkeys(("mask_only", "mask_only_paper", "prune_adversarial_finetuning"), GREEN),
    **dict.fromkeys(("noise_graft", "internal_graft", "external_graft", "netaug"), BLUE),
    **dict.fromkeys(("random_mask", "direct_penalty"), VERMILLION),
    "teacher_pruning": YELLOW,
    "prune_guided_by_adversarial_finetuning": YELLOW,
    "prune_guided_by_external_graft": YELLOW,
    "prune_guided_by_netaug": YELLOW,
    **dict.fromkeys(("vanilla", "magnitude_mask", "chance_mask"), NEUTRAL),
    "ffw": VERMILLION,
    "ffw_strong": ORANGE,
    "ffw_best_reader": PURPLE,
    "ffw_structured": SKY,
    "ffw_without_information": YELLOW,
    "refit": BLUE,
    "frontier": GREEN,
}
METHOD_SYMBOLS: Final = {
    "pretrained": "x",
    **dict.fromkeys(("chosen", "chosen_tl", "chosen_svd", "chosen_win"), "star"),
    "logistic": "square",
    "reweighing": "triangle-down",
    "leace": "triangle-up",
    "exponentiated_gradient": "square",
    "threshold_optimizer": "diamond",
    "baseline": "x",
    "threshold": "cross",
    "adversarial_debiasing": "square",
    "domain_discriminative": "triangle-up",
    "domain_independent": "diamond",
    "equalized_odds_postprocessing": "square",
    "calibrated_equalized_odds": "triangle-up",
    "layerwise_optimization": "square",
    "adversarial_finetuning": "diamond",
    "adversarial_finetuning_exact": "diamond-open",
    "mask_only_paper": "circle-open",
    "prune_adversarial_finetuning": "diamond",
    "noise_graft": "triangle-down",
    "internal_graft": "triangle-up",
    "external_graft": "square",
    "netaug": "star",
    "direct_penalty": "diamond",
    "prune_guided_by_adversarial_finetuning": "diamond",
    "prune_guided_by_external_graft": "square",
    "prune_guided_by_netaug": "star",
    "vanilla": "x",
    "magnitude_mask": "square",
    "chance_mask": "diamond",
    "ffw_strong": "diamond",
    "ffw_best_reader": "square",
    "ffw_structured": "triangle-down",
    "ffw_without_information": "cross",
    "refit": "square",
    "frontier": "star",
}
MASK_COLOURS: Final = {"first": GREEN, "second": ORANGE, "paper": PURPLE}
"""Of masks that carry no method's name: see `methods.altering.catalogue`."""
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
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "yanchor": "top", "yref": "container", "y": 0.06},
        "margin": {"l": 16, "r": 16, "t": 72, "b": 88},
        "modebar": {"bgcolor": CLEAR, "color": NEUTRAL, "activecolor": BLUE},
        "hoverlabel": {"font": {"family": FONT}},
    }
)


def method_colours(methods: Iterable[str]) -> dict[str, str]:
    """A colour for every method, or mask: the same in every figure, whatever else is drawn there."""
    return {method: METHOD_COLOURS.get(method) or MASK_COLOURS.get(method) or _further(method) for method in methods}


def _further(name: str) -> str:
    """A colour that a name of no catalogue has for good."""
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
