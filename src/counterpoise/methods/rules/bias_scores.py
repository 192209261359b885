"""The bank of rules in bias scores: for each level the one with the lowest error of those whose gap is within it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from counterpoise.bounds import Count, NotNegative, Positive, Values, require_increasing
from counterpoise.fairness import Compared, UndefinedMetricWarning, counts_within
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.heads.penalties import Constraint
from counterpoise.methods.rules.dual import SHARPNESS, dual, expected_gaps
from counterpoise.methods.rules.linear import Shares, decided, dithered, rule, with_dither
from counterpoise.nn.random import generator

NEAR = 0.1
"""Of the multipliers that are tried, a third are so many times as near to a solution as others, a third again so."""

MISSED, LOOKED_AT = 1.1, 3
"""A level is missed where the model's own probabilities say that the gaps of a rule, and of so many that hardly differ
from it, are above it times this in the mean."""

CANDIDATES_AT_ONCE = 64
"""Rules that are counted together: their margins stay in the cache (docs/performance.md)."""


@dataclass(frozen=True)
class BiasScores:
    """The bank of rules.

    Attributes:
        levels: gaps on the rows that multipliers are chosen on; one rule for each and for each constraint.
        weights: of the last of two classes, and of each of more in turn, relative to the others', that are tried: an
            error that is not the share of wrong decisions, as one less F1, is lowest at another weight than 1.
        draws: how many multipliers are tried around each solution of the dual.
        spread: how far around it, relative to its size.
        dither: how far scores are moved where a level is missed otherwise, relative to how far the dual is smoothed. 0:
            not at all.
    """

    levels: Values[Positive] = (
        0.008,
        0.01,
        0.0125,
        0.015,
        0.0175,
        0.02,
        0.025,
        0.03,
        0.035,
        0.04,
        0.045,
        0.05,
        0.055,
        0.06,
        0.07,
        0.08,
        0.09,
        0.1,
        0.115,
        0.13,
        0.15,
        0.17,
    )
    weights: Values[Positive] = (1.0, 1.15, 1.35, 1.7)
    draws: Count = 24
    spread: Positive = 0.25
    dither: NotNegative = 1.0

    def __post_init__(self) -> None:
        require_increasing("levels", self.levels)
        require_increasing("weights", self.weights)


@dataclass(frozen=True, eq=False)
class Bank:
    """A rule for each level: chosen by all rows, and by those of all folds but one [F, L, k·G + k, k]."""

    rules: Float[Tensor, "L rows k"]
    without: Float[Tensor, "F L rows k"]


def choose(
    settings: BiasScores,
    constraint: Constraint,
    probability: Float[Tensor, "n cells"],
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    folds: Int[Tensor, "n"],
    *,
    classes: int,
    groups: int,
    seed: int,
    compared: Compared = None,
) -> Bank:
    """Return, for each level, the rule with the lowest error among those whose gap is within it.

    Args:
        probability: p(y, s | x) of models that were not fitted to the row.
        folds: a number for each row; what is chosen without a fold can be judged by it.
        compared: the groups whose gaps are bounded.
    """
    shares = Shares.of(y, s, classes=classes, groups=groups, compared=compared)
    candidates = _candidates(settings, constraint, probability, shares, seed)
    probability = with_dither(probability, candidates)
    number = int(folds.max()) + 1
    subsets = torch.nn.functional.one_hot(folds, number).T.bool()
    decisions = (decided(probability, part) for part in candidates.split(CANDIDATES_AT_ONCE))
    counts = counts_within(y, s, decisions, subsets, groups=groups, classes=classes)  # F, V, G, k, k
    total = counts.sum(dim=0)
    chosen = [
        _choose(each, constraint, settings.levels, compared) for each in (total, *(total - one for one in counts))
    ]
    return Bank(candidates[chosen[0]], torch.stack([candidates[one] for one in chosen[1:]]))


def _candidates(
    settings: BiasScores,
    constraint: Constraint,
    probability: Float[Tensor, "n cells"],
    shares: Shares,
    seed: int,
) -> Float[Tensor, "V rows k"]:
    """Return the rules that are tried: without multipliers, by the dual, and around its solutions."""
    classes = len(shares.cells)
    weights = _weightings(settings, classes)
    solved = dual(probability, shares, constraint, settings.levels, weights)
    weighting = weights[:, None].expand(*solved.shape[:2], classes)
    draw = torch.randn(settings.draws, *solved.shape, generator=generator(seed, f"multipliers {constraint}"))
    draw[1::3] *= NEAR
    draw[2::3] *= NEAR**2
    around = solved + settings.spread * solved.abs().amax(dim=(-2, -1), keepdim=True) * draw
    found = rule(weighting, solved, shares, constraint)
    tried = rule(weighting.expand(*around.shape[:3], classes), around, shares, constraint)
    nearest = torch.cat([found[None], tried[2::3][:LOOKED_AT]])
    gaps = expected_gaps(probability, nearest, shares, constraint).mean(dim=0)
    size = (gaps > MISSED * torch.tensor(settings.levels)) * (settings.dither / SHARPNESS)
    unrestrained = rule(weights, torch.zeros_like(solved[:, 0]), shares, constraint)
    return torch.cat(
        [
            dithered(unrestrained, torch.zeros(len(weights))),
            dithered(found, size).flatten(0, 1),
            dithered(tried, size.expand(tried.shape[:3])).flatten(0, 2),
        ]
    )


def _weightings(settings: BiasScores, classes: int) -> Float[Tensor, "w k"]:
    """Return the weights of the classes that are tried: of two the last one's, of more each one's in turn."""
    if classes == 2:
        return torch.tensor([[1.0, weight] for weight in settings.weights])
    others = [weight for weight in settings.weights if weight != 1]
    each = [torch.ones(classes)] if 1 in settings.weights else []
    each += [1 + (weight - 1) * one for weight in others for one in torch.eye(classes)]
    return torch.stack(each)


def _choose(
    counts: Int64[Tensor, "V G k k"], constraint: Constraint, levels: Sequence[float], compared: Compared
) -> Int64[Tensor, "L"]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        error = COUNT_METRICS["err"](counts)
        gap = COUNT_METRICS[f"delta_{constraint}"](counts, compared=compared)
    within = gap.unsqueeze(0) <= torch.tensor(levels, dtype=gap.dtype).unsqueeze(1)
    best = error.masked_fill(~within, torch.inf).argmin(dim=1)
    return torch.where(within.any(dim=1), best, gap.nan_to_num(torch.inf).argmin())
