"""Post-processing: the base stays as it is, and its decisions depend on the group of the row that is decided.

Three rules, fitted on all of `dval`: reject option classification (Kamiran et al., 2012), equalized odds (Hardt et al.,
2016) and calibrated equalized odds (Pleiss et al., 2017). They are defined as in aif360, which the tests hold them to;
written out because aif360 copies a table for each of the 5,000 settings that reject option tries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float64, Int, Int64
from torch import Tensor

from counterpoise.bounds import Bounded, Count
from counterpoise.errors import InputError
from counterpoise.fairness import confusion_counts
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.objective import Judged, Objective, judge
from counterpoise.methods.outputs import decide, scores
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, Value
from counterpoise.methods.weights.judging import result_of
from counterpoise.nn.networks import evaluate

LOWEST, HIGHEST = 0.01, 0.99
"""Ends of the grid of thresholds of reject option classification, as in aif360."""


@dataclass(frozen=True)
class RejectOption(Bounded):
    """Settings of reject option classification, aif360's by default.

    Attributes:
        thresholds: how many are tried. margins: how many for each, from 0 to where they meet 0 or 1.
    """

    block: ClassVar[str] = "reject_option"
    thresholds: Count = 100
    margins: Count = 50


@dataclass(frozen=True)
class CalibratedOdds(Bounded):
    """Settings of calibrated equalized odds.

    Attributes:
        cost: what is made equal: the mean score of the negatives (`fpr`), the mean of 1 − score of the positives
            (`fnr`: equal opportunity, what the altering paper takes it for), or their mean weighted by how many there
            are. Where a group's cost cannot be raised as far as the other's, all its scores are replaced.
    """

    block: ClassVar[str] = "calibrated"
    cost: Literal["fpr", "fnr", "weighted"] = "fnr"


@dataclass(frozen=True)
class RejectRule:
    """Within `margin` of the threshold the favoured group gets class 1 and the other class 0."""

    threshold: float
    margin: float
    favoured: int

    def __call__(self, score: Float64[Tensor, "m"], s: Int[Tensor, "m"]) -> Int64[Tensor, "m"]:
        return (
            score > torch.where(s == self.favoured, self.threshold - self.margin, self.threshold + self.margin)
        ).long()


@dataclass(frozen=True)
class MixingRule:
    """The share `rate` of a group's scores, chosen by chance, is replaced by the group's share of class 1."""

    rate: Float64[Tensor, "2"]
    positive: Float64[Tensor, "2"]

    def __call__(
        self, score: Float64[Tensor, "m"], s: Int[Tensor, "m"], generator: torch.Generator
    ) -> Float64[Tensor, "m"]:
        replaced = torch.rand(len(score), generator=generator, dtype=torch.float64) < self.rate[s]
        return torch.where(replaced, self.positive[s], score)


def fit_reject_option(
    score: Float64[Tensor, "n"],
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    objective: Objective,
    settings: RejectOption,
    *,
    favoured: int,
) -> RejectRule:
    """Return the rule of a grid with the highest Φ, ties go to the first; if all are unfair, the least unfair."""
    thresholds = torch.linspace(LOWEST, HIGHEST, settings.thresholds, dtype=torch.float64).unsqueeze(1)
    shares = torch.linspace(0, 1, settings.margins, dtype=torch.float64)
    margins = (thresholds.minimum(1 - thresholds) * shares).flatten()
    thresholds = thresholds.expand(-1, settings.margins).flatten()
    counts = torch.zeros(len(thresholds), 2, 2, 2, dtype=torch.int64)
    for group in range(2):
        bars = thresholds - margins if group == favoured else thresholds + margins
        for label in range(2):
            cell = score[(s == group) & (y == label)].sort().values
            counts[:, group, label, 0] = torch.searchsorted(cell, bars, right=True)
            counts[:, group, label, 1] = len(cell) - counts[:, group, label, 0]
    judged = _figures(objective, counts)
    value = judged.phi if judged.phi.any() else -judged.bias.abs()
    best = int((value == value.max()).nonzero()[0])
    return RejectRule(thresholds[best].item(), margins[best].item(), favoured)


def fit_equalized_odds(
    prediction: Int[Tensor, "n"], y: Int[Tensor, "n"], s: Int[Tensor, "n"]
) -> Float64[Tensor, "2 2"]:
    """Return the probabilities [group, decision] of deciding 1 instead, a linear program (Hardt et al., Section 4.1).

    Both groups get the same true and false positive rates, and of all such rules the one with the highest balanced
    accuracy.
    """
    from scipy.optimize import linprog

    counts = confusion_counts(y, prediction, s, groups=2, classes=2).double()
    rates = counts / counts.sum(dim=-1, keepdim=True)  # [group, class, decision]: P(decision | class, group)
    costs = (rates[:, 0] - rates[:, 1]).flatten()  # false minus true positive rate, per unit of each probability
    equal = torch.stack([torch.cat([rates[0, label], -rates[1, label]]) for label in range(2)])
    solved = linprog(costs.numpy(), A_eq=equal.numpy(), b_eq=[0.0, 0.0], bounds=(0, 1))
    return torch.from_numpy(solved.x).view(2, 2).clamp(0, 1)


def fit_calibrated_odds(
    score: Float64[Tensor, "n"], y: Int[Tensor, "n"], s: Int[Tensor, "n"], settings: CalibratedOdds
) -> MixingRule:
    """Return the rule that raises the better-off group's cost to the other's (Pleiss et al., Algorithm 1)."""
    members = [s == group for group in range(2)]
    positive = torch.stack([y[member].double().mean() for member in members])
    cost = torch.stack([_cost(score[member], y[member], settings.cost) for member in members])
    trivial = torch.stack(
        [
            _cost(share.expand(int(member.sum())), y[member], settings.cost)
            for share, member in zip(positive, members, strict=True)
        ]
    )
    lower = int(cost.argmin())
    gap, room = cost.max() - cost[lower], trivial[lower] - cost[lower]
    rate = torch.zeros(2, dtype=torch.float64)
    if room > 0:  # what is no better than chance cannot be made worse by it
        rate[lower] = (gap / room).clamp(max=1)
    return MixingRule(rate, positive)


def _cost(score: Float64[Tensor, "n"], y: Int[Tensor, "n"], kind: str) -> Float64[Tensor, ""]:
    """Return the generalized false positive or negative rate of one group, or half their weighted sum."""
    false_positive, false_negative = score[y == 0].mean(), 1 - score[y == 1].mean()
    if kind == "weighted":
        share = y.double().mean()
        return 0.5 * (false_positive * (1 - share) + false_negative * share)
    return false_positive if kind == "fpr" else false_negative


def reject_option(problem: Problem, settings: RejectOption, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Decide rows near the threshold in favour of the group that the base, at its own threshold, favours less."""
    rows = _Rows(problem)
    base = judge(problem.goal, rows.score.unsqueeze(-1), rows.y, rows.s, aim="performance")
    rules = [
        fit_reject_option(score, y, s, problem.goal, settings, favoured=int(bias > 0))
        for score, y, s, bias in zip(rows.score, rows.y, rows.s, base.bias, strict=True)
    ]
    chosen = torch.stack([rule(score, s) for rule, score, s in zip(rules, rows.score, rows.s, strict=True)])
    prediction = torch.stack(
        [rule(score, s) for rule, score, s in zip(rules, rows.test_score, rows.test_s, strict=True)]
    )
    threshold, margin, favoured = (
        torch.tensor([getattr(rule, field) for rule in rules], dtype=torch.float64)
        for field in ("threshold", "margin", "favoured")
    )
    facts = {"margin": margin, "favoured": favoured}
    return [rows.result(rows.test_score, prediction, rows.judged(chosen, threshold), facts=facts)]


def equalized_odds(problem: Problem, settings: None, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Decide otherwise than the base, at its threshold of the highest performance, with a group's probabilities.

    The score of a row is the probability of deciding 1.
    """
    rows = _Rows(problem)
    base = judge(problem.goal, rows.score.unsqueeze(-1), rows.y, rows.s, aim="performance")
    before = decide(rows.score.unsqueeze(-1), base.threshold)
    rules = [fit_equalized_odds(*rows) for rows in zip(before, rows.y, rows.s, strict=True)]
    tests = decide(rows.test_score.unsqueeze(-1), base.threshold)
    chances, test_chances = (
        torch.stack([rule[s, decision] for rule, s, decision in zip(rules, groups, decisions, strict=True)])
        for groups, decisions in ((rows.s, before), (rows.test_s, tests))
    )
    chosen = _drawn(chances, problem.generators(f"{problem.method}: validation"))
    prediction = _drawn(test_chances, problem.generators(f"{problem.method}: test"))
    return [rows.result(test_chances, prediction, rows.judged(chosen, base.threshold))]


def calibrated_equalized_odds(
    problem: Problem, settings: CalibratedOdds, earlier: Mapping[str, list[Result]]
) -> list[Result]:
    """Make the groups' scores equally good, then decide at the threshold with the highest Φ on `dval`."""
    rows = _Rows(problem)
    rules = [fit_calibrated_odds(*rows, settings) for rows in zip(rows.score, rows.y, rows.s, strict=True)]
    mixed, test_mixed = (
        torch.stack([rule(*row) for rule, *row in zip(rules, score, s, problem.generators(purpose), strict=True)])
        for score, s, purpose in (
            (rows.score, rows.s, f"{problem.method}: validation"),
            (rows.test_score, rows.test_s, f"{problem.method}: test"),
        )
    )
    judged = judge(problem.goal, mixed.unsqueeze(-1), rows.y, rows.s)
    prediction = decide(test_mixed.unsqueeze(-1), judged.threshold)
    facts = {"mixed": torch.stack([rule.rate.max() for rule in rules])}
    return [rows.result(test_mixed, prediction, judged, facts=facts)]


class _Rows:
    """The base's scores, in double precision, of the rows that rules are fitted on and of those they decide.

    Raises:
        InputError: more than two classes.
    """

    def __init__(self, problem: Problem) -> None:
        if problem.goal.classes > 2:
            raise InputError(
                f"{problem.method}: has {problem.goal.classes} classes, expected two: the rule knows no other case"
            )
        self.problem = problem
        network = problem.network()
        self.score, self.test_score = (
            scores(evaluate(network, problem.examples, rows).logits).squeeze(-1).double()
            for rows in (problem.dval, problem.test)
        )
        self.y, self.s = (labels.long() for labels in problem.labels(problem.dval))
        self.test_s = problem.labels(problem.test)[1].long()

    def judged(self, prediction: Int64[Tensor, "R n"], threshold: Float64[Tensor, "R"]) -> Judged:
        """Return the figures of decisions on `dval`."""
        counts = confusion_counts(self.y, prediction, self.s, groups=2, classes=2)
        figures = _figures(self.problem.goal, counts)
        return Judged(figures.phi, figures.performance, figures.bias, threshold)

    def result(
        self,
        score: Float64[Tensor, "R t"],
        prediction: Int64[Tensor, "R t"],
        judged: Judged,
        facts: Mapping[str, Value] | None = None,
    ) -> Result:
        """Return the variant; there is no network of its own."""
        chosen_on = self.score.shape[1]
        name = self.problem.method
        return result_of(self.problem, name, score.float().unsqueeze(-1), prediction, judged, chosen_on, facts)


def _figures(objective: Objective, counts: Int64[Tensor, "T 2 2 2"]) -> Judged:
    performance, bias = (COUNT_METRICS[name](counts) for name in (objective.performance, objective.bias))
    phi = performance.where(bias.abs() < objective.bound, 0)
    return Judged(phi, performance, bias, torch.full_like(phi, torch.nan))


def _drawn(chances: Float64[Tensor, "R m"], generators: Sequence[torch.Generator]) -> Int64[Tensor, "R m"]:
    draws = [torch.rand(chances.shape[1], generator=generator, dtype=torch.float64) for generator in generators]
    return (torch.stack(draws) < chances).long()
