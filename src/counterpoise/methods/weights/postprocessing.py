"""Post-processing: the base stays as it is, and its decisions depend on the group of the row that is decided.

Three rules, fitted on all of D_val: reject option classification (Kamiran et al., 2012), equalized odds (Hardt et al.,
2016) and calibrated equalized odds (Pleiss et al., 2017). They are defined as in aif360, which the tests hold them to;
written out because aif360 copies a table for each of the 5,000 settings that reject option tries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float64, Int, Int64
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.fairness import confusion_counts
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.outputs import decide, scores
from counterpoise.methods.weights.objective import Judged, Objective, judge
from counterpoise.methods.weights.task import Repaired, Task
from counterpoise.nn.networks import evaluate

LOWEST, HIGHEST = 0.01, 0.99
"""Ends of the grid of thresholds of reject option classification, as in aif360."""


@dataclass(frozen=True)
class RejectOption:
    """Settings of reject option classification, aif360's by default.

    Attributes:
        thresholds: how many are tried. margins: how many for each, from 0 to where they meet 0 or 1.
    """

    thresholds: int = 100
    margins: int = 50

    def __post_init__(self) -> None:
        for key in ("thresholds", "margins"):
            if getattr(self, key) < 1:
                raise InputError(f"reject option: {key} is {getattr(self, key)}, expected 1 or more")


@dataclass(frozen=True)
class CalibratedOdds:
    """Settings of calibrated equalized odds.

    Attributes:
        cost: what is made equal: the mean score of the negatives (`fpr`), the mean of 1 − score of the positives
            (`fnr`: equal opportunity, what the altering paper takes it for), or their mean weighted by how many there
            are. Where a group's cost cannot be raised as far as the other's, all its scores are replaced.
    """

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
    """Return the rule of a grid with the highest Φ, of equals the first; if all are unfair, the least unfair."""
    thresholds = torch.linspace(LOWEST, HIGHEST, settings.thresholds, dtype=torch.float64).unsqueeze(1)
    shares = torch.linspace(0, 1, settings.margins, dtype=torch.float64)
    margins = (thresholds.minimum(1 - thresholds) * shares).flatten()
    thresholds = thresholds.expand(-1, settings.margins).flatten()
    counts = torch.zeros(len(thresholds), 2, 2, 2, dtype=torch.int64)
    for group in range(2):
        bars = thresholds - margins if group == favoured else thresholds + margins
        for label in range(2):
            own = score[(s == group) & (y == label)].sort().values
            counts[:, group, label, 0] = torch.searchsorted(own, bars, right=True)
            counts[:, group, label, 1] = len(own) - counts[:, group, label, 0]
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
    positive = torch.stack([y[own].double().mean() for own in members])
    cost = torch.stack([_cost(score[own], y[own], settings.cost) for own in members])
    trivial = torch.stack(
        [
            _cost(share.expand(int(own.sum())), y[own], settings.cost)
            for share, own in zip(positive, members, strict=True)
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


def reject_option(task: Task, name: str, settings: RejectOption) -> list[Repaired]:
    """Decide rows near the threshold in favour of the group that the base, at its own threshold, favours less."""
    known = _Known(task, name)
    base = judge(task.objective, known.score.unsqueeze(-1), known.y, known.s, aim="performance")
    rules = [
        fit_reject_option(score, y, s, task.objective, settings, favoured=int(bias > 0))
        for score, y, s, bias in zip(known.score, known.y, known.s, base.bias, strict=True)
    ]
    chosen = torch.stack([rule(score, s) for rule, score, s in zip(rules, known.score, known.s, strict=True)])
    prediction = torch.stack(
        [rule(score, s) for rule, score, s in zip(rules, known.test_score, known.test_s, strict=True)]
    )
    threshold, margin, favoured = (
        torch.tensor([getattr(rule, field) for rule in rules], dtype=torch.float64)
        for field in ("threshold", "margin", "favoured")
    )
    facts = {"margin": margin, "favoured": favoured}
    return [known.repaired(known.test_score, prediction, known.judged(chosen, threshold), facts=facts)]


def equalized_odds(task: Task, name: str) -> list[Repaired]:
    """Decide otherwise than the base, at its threshold of the highest performance, with a group's probabilities.

    The score of a row is the probability of deciding 1.
    """
    known = _Known(task, name)
    base = judge(task.objective, known.score.unsqueeze(-1), known.y, known.s, aim="performance")
    before = decide(known.score.unsqueeze(-1), base.threshold)
    rules = [fit_equalized_odds(*rows) for rows in zip(before, known.y, known.s, strict=True)]
    tests = decide(known.test_score.unsqueeze(-1), base.threshold)
    chances, test_chances = (
        torch.stack([rule[s, decision] for rule, s, decision in zip(rules, groups, decisions, strict=True)])
        for groups, decisions in ((known.s, before), (known.test_s, tests))
    )
    chosen = _drawn(chances, task.generators(f"{name}: validation"))
    prediction = _drawn(test_chances, task.generators(f"{name}: test"))
    return [known.repaired(test_chances, prediction, known.judged(chosen, base.threshold))]


def calibrated_equalized_odds(task: Task, name: str, settings: CalibratedOdds) -> list[Repaired]:
    """Make the groups' scores equally good, then decide at the threshold with the highest Φ on D_val."""
    known = _Known(task, name)
    rules = [fit_calibrated_odds(*rows, settings) for rows in zip(known.score, known.y, known.s, strict=True)]
    mixed, test_mixed = (
        torch.stack([rule(*row) for rule, *row in zip(rules, given, s, task.generators(purpose), strict=True)])
        for given, s, purpose in (
            (known.score, known.s, f"{name}: validation"),
            (known.test_score, known.test_s, f"{name}: test"),
        )
    )
    judged = judge(task.objective, mixed.unsqueeze(-1), known.y, known.s)
    prediction = decide(test_mixed.unsqueeze(-1), judged.threshold)
    facts = {"mixed": torch.stack([rule.rate.max() for rule in rules])}
    return [known.repaired(test_mixed, prediction, judged, facts=facts)]


class _Known:
    """The base's scores, in double precision, of the rows that rules are fitted on and of those they decide.

    Raises:
        InputError: more than two classes.
    """

    def __init__(self, task: Task, name: str) -> None:
        if task.objective.classes > 2:
            raise InputError(
                f"{name}: has {task.objective.classes} classes, expected two: the rule knows no other case"
            )
        self.task, self.name = task, name
        network = task.network()
        self.score, self.test_score = (
            scores(evaluate(network, task.examples, rows).logits).squeeze(-1).double()
            for rows in (task.validation, task.test)
        )
        self.y, self.s = (labels.long() for labels in task.labels(task.validation))
        self.test_s = task.labels(task.test)[1].long()

    def judged(self, prediction: Int64[Tensor, "R n"], threshold: Float64[Tensor, "R"]) -> Judged:
        """Return the figures of decisions on D_val."""
        counts = confusion_counts(self.y, prediction, self.s, groups=2, classes=2)
        figures = _figures(self.task.objective, counts)
        return Judged(figures.phi, figures.performance, figures.bias, threshold)

    def repaired(
        self,
        score: Float64[Tensor, "R t"],
        prediction: Int64[Tensor, "R t"],
        judged: Judged,
        facts: dict[str, Tensor] | None = None,
    ) -> Repaired:
        """Return the variant; there is no network of its own."""
        chosen_on = self.score.shape[1]
        return Repaired(self.name, score.float().unsqueeze(-1), prediction, judged, chosen_on, facts=facts or {})


def _figures(objective: Objective, counts: Int64[Tensor, "T 2 2 2"]) -> Judged:
    performance, bias = (COUNT_METRICS[name](counts) for name in (objective.performance, objective.bias))
    phi = performance.where(bias.abs() < objective.bound, 0)
    return Judged(phi, performance, bias, torch.full_like(phi, torch.nan))


def _drawn(chances: Float64[Tensor, "R m"], generators: Sequence[torch.Generator]) -> Int64[Tensor, "R m"]:
    draws = [torch.rand(chances.shape[1], generator=generator, dtype=torch.float64) for generator in generators]
    return (torch.stack(draws) < chances).long()
