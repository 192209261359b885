"""Learning masks of a task's base: those that make it fair, and those that make it mimic a fair teacher (Eq. 10)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.bounds import Count, NotNegative
from counterpoise.errors import InputError
from counterpoise.methods.objective import fairness_loss
from counterpoise.methods.outputs import binary_cross_entropy, scores, task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.judging import LAST, repaired, validation_figures
from counterpoise.methods.weights.mask_discovery import (
    MaskDiscovery,
    MaskLoss,
    MaskSettings,
    pruned_share,
    warn_of_empty_layers,
)
from counterpoise.nn.epochs import Figures, Trained
from counterpoise.nn.networks import Output, State, evaluate, masked


@dataclass(frozen=True)
class PaperMasks(MaskSettings):
    """Settings of mask discovery as Section 3.2 can be read; its batches are smaller."""

    block: ClassVar[str] = "paper_masks"
    batch_size: Count = 64


@dataclass(frozen=True)
class TeacherMasks(MaskSettings):
    """Settings of teacher pruning, which puts no price on how much is pruned.

    Attributes:
        consistency: γ, how much the networks mimic themselves an epoch before.
    """

    block: ClassVar[str] = "teacher_masks"
    consistency: NotNegative = 1.0


def mask_only(problem: Problem, settings: MaskSettings, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Leave out the weights that carry the unfairness, and change nothing else."""
    return both_masks(problem, discover(problem, problem.method, settings))


def mask_only_paper(problem: Problem, settings: PaperMasks, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """The same as Section 3.2 can be read: on as many rows of each group and class, with the task's loss alone."""

    def loss(output: Output, y: Tensor, s: Tensor, rows: Tensor) -> Tensor:
        return task_loss(output.logits, y)

    return both_masks(problem, _train(problem, problem.method, settings, loss, balanced_rows(problem)))


def discover(problem: Problem, name: str, settings: MaskSettings) -> Trained:
    """Learn masks of the base on the fitting part of `dval`; the outcome are the masks."""

    def loss(output: Output, y: Tensor, s: Tensor, rows: Tensor) -> Tensor:
        return fairness_loss(problem.goal, output.logits, y, s, settings.fairness_weight)

    return _train(problem, name, settings, loss, problem.fit)


def _train(
    problem: Problem,
    name: str,
    settings: MaskSettings,
    loss: MaskLoss,
    rows: Int[Tensor, "R n"],
    kind: Callable[..., MaskDiscovery] = MaskDiscovery,
    depends: tuple[Any, ...] = (),
) -> Trained:
    steps = settings.epochs * math.ceil(rows.shape[1] / settings.batch_size)
    drawn = problem.generators(f"{name}: noise")
    trainee = kind(problem.network(), loss, settings, steps=steps, generators=drawn)

    def figures() -> Figures:
        masks = trainee.masks()
        judged = problem.judged(trainee.network, problem.select, masked(trainee.network.weights(), masks))
        return {**validation_figures(problem.goal, judged), "pruned": pruned_share(masks)}

    trained = problem.train(
        trainee,
        name=name,
        settings=(settings, *depends),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        rows=rows,
        figures=figures,
    )
    warn_of_empty_layers(trained.best, name, problem.seeds)
    return trained


def balanced_rows(problem: Problem) -> Int[Tensor, "R n"]:
    """Return as many rows of `dval`'s fitting part of each group and class, drawn by each replicate's seed.

    Raises:
        InputError: a class of a group has no row.
    """
    y, s = problem.labels(problem.fit)
    classes = problem.goal.classes
    cells = s * classes + y
    size = min(int((cells == cell).sum(dim=1).min()) for cell in range(2 * classes))
    if not size:
        raise InputError("dval: a class of a group has no row, expected one at least to balance them")
    chosen = []
    for rows, cell, generator in zip(problem.fit, cells, problem.generators("balanced rows"), strict=True):
        order = torch.randperm(len(rows), generator=generator)
        picked = [order[cell[order] == number][:size] for number in range(2 * classes)]
        chosen.append(rows[torch.cat(picked)])
    return torch.stack(chosen)


class _Student(MaskDiscovery):
    """Masks that make the base mimic a teacher, and itself an epoch before (Eq. 10).

    Args:
        problem, teacher: the teacher's probabilities are computed once, for the fitting rows.
        consistency: γ.
    """

    def __init__(self, *args: Any, problem: Problem, teacher: State, consistency: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self.problem, self.consistency = problem, consistency
        shape = (*problem.examples.y.shape, 1 if problem.goal.classes == 2 else problem.goal.classes)
        self.wanted = torch.zeros(len(problem.fit), *shape)
        self.before = torch.zeros_like(self.wanted)
        self._remember(self.wanted, evaluate(problem.network(teacher), problem.examples, problem.fit))
        self.loss = self._mimic

    def _remember(self, table: Float[Tensor, "R N k"], output: Output) -> None:
        index = self.problem.fit.unsqueeze(-1).expand(*self.problem.fit.shape, table.shape[-1])
        table.scatter_(1, index, scores(output.logits))

    def begin_epoch(self, epoch: int) -> None:
        weights = masked(self.network.weights(), self.masks())
        self._remember(self.before, evaluate(self.network, self.problem.examples, self.problem.fit, weights))

    def _mimic(self, output: Output, y: Tensor, s: Tensor, rows: Int[Tensor, "R B"]) -> Float[Tensor, "R"]:
        wanted, before = (
            table.gather(1, rows.unsqueeze(-1).expand(*rows.shape, table.shape[-1])).to(output.logits)
            for table in (self.wanted, self.before)
        )
        return soft_cross_entropy(output.logits, wanted) + self.consistency * soft_cross_entropy(output.logits, before)


def soft_cross_entropy(logits: Float[Tensor, "R B k"], wanted: Float[Tensor, "R B k"]) -> Float[Tensor, "R"]:
    """Return the mean cross-entropy to given probabilities, in nats: H of Eq. 10."""
    if logits.shape[-1] == 1:
        loss = binary_cross_entropy(logits.squeeze(-1), wanted.squeeze(-1))
    else:
        loss = -(wanted * logits.log_softmax(dim=-1)).sum(dim=-1)
    return loss.mean(dim=1)


def teacher_pruning(problem: Problem, settings: TeacherMasks, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Prune the base, whose weights stay as they are, until it says what a repaired network says (Section 4.4).

    The teacher is the method that this one comes after. There is no penalty on how much is pruned.
    """
    ((teacher, *_),) = earlier.values()
    state = teacher.part("network")
    trained = _train(
        problem,
        problem.method,
        replace(settings, prunable=None),
        lambda output, y, s, rows: task_loss(output.logits, y),  # replaced by the student's own
        problem.fit,
        partial(_Student, problem=problem, teacher=state, consistency=settings.consistency),
        depends=(settings.consistency, *state.values()),
    )
    return both_masks(problem, trained)


def both_masks(problem: Problem, trained: Trained) -> list[Result]:
    """Return the variants of a discovery: the masks of its best epoch, and of its last."""
    last = torch.full_like(trained.best_epoch, next(iter(trained.curves.values())).shape[1])
    results = []
    for name, masks, epoch, curves in (
        (problem.method, trained.best, trained.best_epoch, trained.curves),
        (f"{problem.method}{LAST}", trained.last, last, {}),
    ):
        options: dict[str, Any] = {"epoch": epoch, "curves": curves, "facts": {"pruned": pruned_share(masks)}}
        results.append(repaired(problem, name=name, weights=masked(problem.base, masks), masks=masks, **options))
    return results
