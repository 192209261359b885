r"""The rule that is optimal when the group is not seen (arXiv 2310.05725; 2405.04025; METHODS.md, part 5).

Of all classifiers of x whose gaps stay within a tolerance, the most accurate one decides

$$\hat y(x) = \arg\max_c\; w_c\, p(y = c \mid x) - \sum_g \lambda_{cg}\, b_{cg}(x), \qquad \sum_g \lambda_{cg} = 0,$$

with the bias scores $b_{cg}(x) = p(s = g \mid x) / P(g)$ for demographic parity (the rate at which class $c$ is
predicted in group $g$) and $p(s = g, y = c \mid x) / P(g, c)$ for equalized odds (the rate at which class $c$ is
recognised there). Of more than two classes, equalized odds also has $p(s = g, y \neq c \mid x) / P(g, \neq c)$, the
rate at which others are taken for class $c$; of two that is what is missing in the recognition of the other one. With
weights $w = 1$ it is the most accurate; others serve errors that weigh classes differently.

All of it is linear in p(y, s | x), so that a rule is a matrix M and a frontier is a bank of them. Multipliers come from
the dual problem, which is convex; around its solutions more are tried, and what each comes to is counted on rows with
known classes and groups.

Where a tolerance is tight and one group's classes are better told, no better classifier exists than one that decides a
part of this group as if by lot (as Hardt, Price and Srebro, 2016, do): all its rows come close to a tie. To take all of
them or none is far from the optimum, which divides them. The published rule moves scores at random (arXiv 2405.04025,
Assumption 3.3); here scores are moved by `dither`, a function of the row's probabilities, so that nothing is
randomised: the same row is decided alike every time. It is applied where, and only where, a rule without it would
miss its level.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from counterpoise.fairness import Compared
from counterpoise.methods.answers import ROWS_AT_ONCE, Answers
from counterpoise.methods.heads.penalties import Constraint

FREQUENCY, GOLDEN = 10.0, (5**0.5 - 1) / 2
"""How often, at least, dither goes up and down while a probability grows e-fold; and what makes frequencies differ."""

LEAST_PROBABILITY, LEAST_UNIFORM = 1e-6, 1e-3
"""What dither takes smaller numbers for, so that it is bounded: by 7 times its size."""

LEAST_SHARE = 1e-9
"""In the place of the share of a cell that has no row."""

MARGIN_SCALE = 4.0
"""The softmax of a rule's scores times this is what it says of the classes, of two σ(4 · margin): no calibrated
probability, but highest for the class that it decides for."""


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
    return scored_by(accuracy_of(weights), shares.centred(multipliers) / rates.shares(shares), rates)


def accuracy_of(weights: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch k 1 k"]:
    """Return what a rule without multipliers gives for each true class, any group, and each class that is scored."""
    return (torch.eye(weights.shape[-1]) * weights.unsqueeze(-2)).unsqueeze(-2)


def scored_by(
    accuracy: Float[Tensor, "*batch k 1 k"], prices: Float[Tensor, "*batch J G"], rates: Rates
) -> Float[Tensor, "*batch cells k"]:
    """Return the matrix M: what is correct, less the price of each rate, λ over its share of the rows."""
    return (accuracy - torch.einsum("...jg,jtc->...tgc", prices, rates.counted)).flatten(-3, -2)


def dithered(rules: Float[Tensor, "*batch cells k"], size: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch rows k"]:
    """Return rules that add `dither` times a size to their scores: matrices of [k·G + k, k]."""
    own = torch.eye(rules.shape[-1]) * size[..., None, None]
    return torch.cat([rules, own], dim=-2)


def dither(probability: Float[Tensor, "n cells"], classes: int) -> Float[Tensor, "n k"]:
    """Return a number for each row and class that goes up and down as probabilities grow, many times.

    Over rows they are distributed like independent draws from Gumbel's distribution, so that scores divided by a size,
    plus these, are largest for each class about as often as a softmax of the scores says. A triangle wave of the
    logarithms: continuous, so that rounding does not matter.
    """
    cells = probability.double().clamp(min=LEAST_PROBABILITY).log().unflatten(1, (classes, -1))
    group = torch.arange(1, cells.shape[2] + 1, dtype=torch.float64)
    phase = cells @ (FREQUENCY * (1 + (group * GOLDEN) % 1))
    phase = (1 - GOLDEN) * phase + GOLDEN * phase.sum(dim=1, keepdim=True)  # a class' own count more than the others'
    uniform = (2 * (phase % 1) - 1).abs().clamp(LEAST_UNIFORM, 1 - LEAST_UNIFORM)
    return -(-uniform.log()).log().float()


def with_dither(probability: Float[Tensor, "n _"], rules: Float[Tensor, "*batch rows k"]) -> Float[Tensor, "n rows"]:
    """Return what rules multiply: the probabilities, and their dither if the rules have rows for it."""
    if probability.shape[-1] == rules.shape[-2]:
        return probability
    return torch.cat([probability, dither(probability, rules.shape[-1])], dim=1)


def share_divided(probability: Float[Tensor, "n cells"], rule: Float[Tensor, "rows k"]) -> float:
    """Return the share of rows that a rule decides otherwise than it would without its dither."""
    plain = rule[: probability.shape[1]]
    decisions = [decide(probability, one.unsqueeze(0)) for one in (rule, plain)]
    return float((decisions[0] != decisions[1]).double().mean())


def decide(probability: Float[Tensor, "n _"], rules: Float[Tensor, "V rows k"]) -> Int64[Tensor, "V n"]:
    """Return what each rule decides; ties go to the first class."""
    return decided(probability, rules).long()


def decided(
    probability: Float[Tensor, "n _"], rules: Float[Tensor, "V rows k"]
) -> Bool[Tensor, "V n"] | Int64[Tensor, "V n"]:
    """Return what `decide` does, of two classes as whether it is the second: an eighth of the memory."""
    if rules.shape[-1] == 2:
        return margins(probability, rules) > 0
    return _scored(probability, rules).argmax(dim=1)


def answers(probability: Float[Tensor, "n _"], rules: Float[Tensor, "V rows k"]) -> Answers:
    """Return what rules say of rows."""
    blocks = probability.split(ROWS_AT_ONCE)
    if rules.shape[-1] == 2:
        return Answers.joined([Answers(scores(block, rules)) for block in blocks])
    return Answers.joined([Answers.of(MARGIN_SCALE * _scored(block, rules)) for block in blocks])


def _scored(probability: Float[Tensor, "n _"], rules: Float[Tensor, "V rows k"]) -> Float[Tensor, "V k n"]:
    """Return the scores, classes before rows: a maximum over a short last axis is slow, one across long rows is not."""
    return rules.mT @ with_dither(probability, rules).T


def margins(probability: Float[Tensor, "n _"], rules: Float[Tensor, "V rows 2"]) -> Float[Tensor, "V n"]:
    """Return the second class' score less the first's."""
    return (rules[..., 1] - rules[..., 0]) @ with_dither(probability, rules).T


def scores(probability: Float[Tensor, "n _"], rules: Float[Tensor, "V rows 2"]) -> Float[Tensor, "V n"]:
    """Return a number above ½ where a rule of two classes decides for the second."""
    return (MARGIN_SCALE * margins(probability, rules).double()).sigmoid().float()


def class_scores(probability: Float[Tensor, "n _"], rule: Float[Tensor, "rows k"]) -> Float64[Tensor, "n k"]:
    """Return what one rule says of the classes: numbers that add up to one, highest for the class it decides for."""
    if rule.shape[-1] == 2:
        second = scores(probability, rule.unsqueeze(0))[0].double()
        return torch.stack([1 - second, second], dim=1)
    return (MARGIN_SCALE * _scored(probability, rule.unsqueeze(0))[0]).double().softmax(dim=0).T
