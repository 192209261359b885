r"""The rule that is optimal when the group is not seen (arXiv 2310.05725; 2405.04025; METHODS.md, part 5).

Of all classifiers of x whose gaps stay within a tolerance, the most accurate one decides

$$\hat y(x) = \arg\max_c\; w_c\, p(y = c \mid x) - \sum_g \lambda_{cg}\, b_{cg}(x), \qquad \sum_g \lambda_{cg} = 0,$$

with the bias scores $b_{cg}(x) = p(s = g \mid x) / P(g)$ for demographic parity (the rate at which class $c$ is
predicted in group $g$) and $p(s = g, y = c \mid x) / P(g, c)$ for equalized odds (the rate at which class $c$ is
recognised there). Of more than two classes, equalized odds also has $p(s = g, y \neq c \mid x) / P(g, \neq c)$, the
rate at which others are taken for class $c$; of two that is what is missing in the recognition of the other one. With
weights $w = 1$ it is the most accurate; others serve errors that weigh classes differently.

All of it is linear in p(y, s | x), so that a rule is a matrix M [k·G, k] and a frontier is a bank of them. Multipliers
come from the dual problem, which is convex; around its solutions more are tried, and what each comes to is counted on
rows with known classes and groups. Nothing is randomised: ties go to the first class.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from counterpoise.bounds import Count, Positive, Values, require_increasing
from counterpoise.fairness import Compared, UndefinedMetricWarning, counts_within
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.answers import Answers
from counterpoise.methods.heads.penalties import Constraint
from counterpoise.nn.optimizers import Optimizer
from counterpoise.nn.random import generator

SHARPNESS = 200.0
"""The dual's maximum over classes is a log-sum-exp of scores times this."""

DUAL_STEPS = 60
DUAL_ROWS = 2048
DUAL_RATE = 0.1
"""How the dual is solved; what is left of its error is made up for by the multipliers that are tried around it."""

LEAST_SHARE = 1e-9
"""In the place of the share of a cell that has no row."""

CANDIDATES_AT_ONCE = 256

MARGIN_SCALE = 4.0
"""The softmax of a rule's scores times this is what it says of the classes, of two σ(4 · margin): no calibrated
probability, but highest for the class that it decides for."""


@dataclass(frozen=True)
class BiasScores:
    """The bank of rules.

    Attributes:
        levels: gaps on the rows that multipliers are chosen on; one rule for each and for each constraint.
        weights: of the last of two classes, and of each of more in turn, relative to the others', that are tried: an
            error that is not the share of wrong decisions, as one less F1, is lowest at another weight than 1.
        draws: how many multipliers are tried around each solution of the dual.
        spread: how far around it, relative to its size.
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

    def __post_init__(self) -> None:
        require_increasing("levels", self.levels)
        require_increasing("weights", self.weights)


@dataclass(frozen=True, eq=False)
class Shares:
    """P(s = g, y = c), the shares of the cells [k, G] among the rows that a rule is derived from.

    compared: the groups whose gaps a rule bounds; the multipliers of the others are 0.
    """

    cells: Float[Tensor, "k G"]
    compared: Compared = None

    @property
    def groups(self) -> Float[Tensor, "G"]:
        return self.cells.sum(dim=0)

    @classmethod
    def of(
        cls, y: Int[Tensor, "n"], s: Int[Tensor, "n"], *, classes: int, groups: int, compared: Compared = None
    ) -> Shares:
        counts = torch.bincount(y * groups + s, minlength=classes * groups)
        return cls((counts / len(y)).float().view(classes, groups), compared)

    def centred(self, multipliers: Float[Tensor, "*batch J G"]) -> Float[Tensor, "*batch J G"]:
        """Return λ less its mean over the groups that are compared, 0 of all others."""
        if self.compared is None:
            return multipliers - multipliers.mean(dim=-1, keepdim=True)
        there = multipliers.new_zeros(multipliers.shape[-1])
        there[list(self.compared)] = 1
        mean = (multipliers * there).sum(dim=-1, keepdim=True) / there.sum()
        return (multipliers - mean) * there


@dataclass(frozen=True, eq=False)
class Rates:
    """The rates whose gaps between the groups a constraint bounds.

    Attributes:
        counted: of each rate, which (true class, predicted class) it counts, of the rows of these true classes.
        together: how many successive rates are bounded together: their gaps may add up to `allowance` times a level.
    """

    counted: Float[Tensor, "J k k"]
    together: int
    allowance: float = 1.0

    def shares(self, shares: Shares) -> Float[Tensor, "J G"]:
        """Return the share of the rows that each rate is taken of, by group."""
        return (self.counted.amax(dim=-1) @ shares.cells).clamp(min=LEAST_SHARE)


def rates_of(constraint: Constraint, classes: int) -> Rates:
    """Return the rates of a constraint, as `fairness.metrics` defines it.

    Of two classes those of both: what is gained in one is lost in the other, so that `delta_dp` is half the sum of both
    gaps, and `delta_eo` that of the gaps in what is recognised. Of more, each class against the rest, and the largest
    gap counts: P(ŷ = c), and for equalized odds the sum of those of P(ŷ = c | y = c) and P(ŷ = c | y ≠ c).
    """
    predicted = torch.eye(classes)
    if constraint == "dp":
        every = predicted.unsqueeze(1).expand(classes, classes, classes)
        return Rates(every, together=2, allowance=2.0) if classes == 2 else Rates(every, together=1)
    recognised = predicted.unsqueeze(1) * predicted.unsqueeze(2)
    if classes == 2:
        return Rates(recognised, together=2)
    mistaken = predicted.unsqueeze(1) * (1 - predicted).unsqueeze(2)
    return Rates(torch.stack([recognised, mistaken], dim=1).flatten(0, 1), together=2)


def rule(
    weights: Float[Tensor, "*batch k"], multipliers: Float[Tensor, "*batch J G"], shares: Shares, constraint: Constraint
) -> Float[Tensor, "*batch cells k"]:
    """Return the matrix M of a rule: its scores are p(y, s | x) @ M; λ is centred over the groups."""
    rates = rates_of(constraint, len(shares.cells))
    return _scored_by(_accuracy(weights), shares.centred(multipliers) / rates.shares(shares), rates)


def _accuracy(weights: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch k 1 k"]:
    """Return what a rule without multipliers gives for each true class, any group, and each class that is scored."""
    return (torch.eye(weights.shape[-1]) * weights.unsqueeze(-2)).unsqueeze(-2)


def _scored_by(
    accuracy: Float[Tensor, "*batch k 1 k"], prices: Float[Tensor, "*batch J G"], rates: Rates
) -> Float[Tensor, "*batch cells k"]:
    """Return the matrix M: what is correct, less the price of each rate, λ over its share of the rows."""
    return (accuracy - torch.einsum("...jg,jtc->...tgc", prices, rates.counted)).flatten(-3, -2)


def decide(probability: Float[Tensor, "n cells"], rules: Float[Tensor, "V cells k"]) -> Int64[Tensor, "V n"]:
    """Return what each rule decides; ties go to the first class."""
    return _decided(probability, rules).long()


def _decided(
    probability: Float[Tensor, "n cells"], rules: Float[Tensor, "V cells k"]
) -> Bool[Tensor, "V n"] | Int64[Tensor, "V n"]:
    """Return what `decide` does, of two classes as whether it is the second: an eighth of the memory."""
    if rules.shape[-1] == 2:
        return margins(probability, rules) > 0
    return _scored(probability, rules).argmax(dim=1)


def answers(probability: Float[Tensor, "n cells"], rules: Float[Tensor, "V cells k"]) -> Answers:
    """Return what rules say of rows."""
    if rules.shape[-1] == 2:
        return Answers(scores(probability, rules))
    return Answers.of(MARGIN_SCALE * _scored(probability, rules))


def _scored(probability: Float[Tensor, "n cells"], rules: Float[Tensor, "V cells k"]) -> Float[Tensor, "V k n"]:
    """Return the scores, classes before rows: a maximum over a short last axis is slow, one across long rows is not."""
    return rules.mT @ probability.T


def margins(probability: Float[Tensor, "n cells"], rules: Float[Tensor, "V cells 2"]) -> Float[Tensor, "V n"]:
    """Return the second class' score less the first's."""
    return (probability @ (rules[..., 1] - rules[..., 0]).T).T


def scores(probability: Float[Tensor, "n cells"], rules: Float[Tensor, "V cells 2"]) -> Float[Tensor, "V n"]:
    """Return a number above ½ where a rule of two classes decides for the second."""
    return (MARGIN_SCALE * margins(probability, rules).double()).sigmoid().float()


def class_scores(probability: Float[Tensor, "n cells"], rule: Float[Tensor, "cells k"]) -> Float64[Tensor, "n k"]:
    """Return what one rule says of the classes: numbers that add up to one, highest for the class it decides for."""
    if rule.shape[-1] == 2:
        second = scores(probability, rule.unsqueeze(0))[0].double()
        return torch.stack([1 - second, second], dim=1)
    return (MARGIN_SCALE * _scored(probability, rule.unsqueeze(0))[0]).double().softmax(dim=0).T


def dual(
    probability: Float[Tensor, "n cells"],
    shares: Shares,
    constraint: Constraint,
    levels: Sequence[float],
    weights: Float[Tensor, "w k"],
) -> Float[Tensor, "w L J G"]:
    """Return the multipliers of each weighting and each level: minimisers of the convex dual.

    E max_c score_c + ε · Σ max_j ½ Σ_g |λ_jg|: what is paid for gaps of rates that may add up to ε where they are
    bounded together. Adam on a smoothed maximum, all levels at once.
    """
    classes, groups = shares.cells.shape
    rates = rates_of(constraint, classes)
    mass = rates.shares(shares)
    bounded = mass if shares.compared is None else mass[:, list(shares.compared)]
    scale = 1 / (1 / bounded).mean(dim=-1, keepdim=True)  # bias scores are as large as cells are rare
    across = probability[:: -(-len(probability) // DUAL_ROWS)].T.contiguous()
    tolerance = torch.tensor(levels, dtype=torch.float32) * rates.allowance
    accuracy = _accuracy(weights.unsqueeze(1).expand(-1, len(levels), -1))
    unit = torch.zeros(*accuracy.shape[:2], len(mass), groups, requires_grad=True)
    optimizer = Optimizer(lr=DUAL_RATE, schedule="cosine")
    move = optimizer.build([unit], DUAL_STEPS)
    for _ in range(DUAL_STEPS):
        multipliers = unit * scale
        values = _scored_by(accuracy, shares.centred(multipliers) / mass, rates).mT @ across  # w, L, k, n
        highest = (values * SHARPNESS).logsumexp(dim=-2).mean(dim=-1) / SHARPNESS
        centred = shares.centred(multipliers)
        size = centred.abs().sum(dim=-1).unflatten(-1, (-1, rates.together)).amax(dim=-1)
        (highest + tolerance * 0.5 * size.sum(dim=-1)).sum().backward()
        move()
    return (unit * scale).detach()


@dataclass(frozen=True, eq=False)
class Bank:
    """A rule for each level: chosen by all rows, and by those of all folds but one [F, L, k·G, k]."""

    rules: Float[Tensor, "L cells k"]
    without: Float[Tensor, "F L cells k"]


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
    number = int(folds.max()) + 1
    subsets = torch.nn.functional.one_hot(folds, number).T.bool()
    counts = torch.cat(
        [
            counts_within(y, s, _decided(probability, part), subsets, groups=groups, classes=classes)
            for part in candidates.split(CANDIDATES_AT_ONCE)
        ],
        dim=1,
    )  # F, V, G, k, k
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
) -> Float[Tensor, "V cells k"]:
    """Return the rules that are tried: without multipliers, by the dual, and around its solutions."""
    classes = len(shares.cells)
    weights = _weightings(settings, classes)
    solved = dual(probability, shares, constraint, settings.levels, weights)
    draw = torch.randn(settings.draws, *solved.shape, generator=generator(seed, f"multipliers {constraint}"))
    size = solved.abs().amax(dim=(-2, -1), keepdim=True)
    tried = torch.cat([torch.zeros_like(solved[None, :, :1]), solved[None]], dim=2)
    around = solved + settings.spread * size * draw
    weighting = weights[:, None].expand(*solved.shape[:2], classes)
    return torch.cat(
        [
            rule(weights.unsqueeze(1).expand(*tried.shape[1:3], classes), tried[0], shares, constraint).flatten(0, 1),
            rule(weighting.expand(*around.shape[:3], classes), around, shares, constraint).flatten(0, 2),
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
