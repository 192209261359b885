"""Learning masks of a task's base: those that make it fair, and those that make it mimic a fair teacher (Eq. 10)."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.methods.outputs import binary_cross_entropy, scores, task_loss
from counterpoise.methods.weights.mask_discovery import (
    MaskDiscovery,
    MaskLoss,
    MaskSettings,
    pruned_share,
    warn_of_empty_layers,
)
from counterpoise.methods.weights.objective import fairness_loss
from counterpoise.methods.weights.task import Repaired, Task, repaired, validation_figures
from counterpoise.nn.epochs import Figures, Trained
from counterpoise.nn.networks import Output, State, Weights, evaluate, masked


def discover(task: Task, name: str, settings: MaskSettings) -> Trained:
    """Learn masks of the base on the fitting part of D_val; the outcome are the masks."""
    if settings.reading == "paper":
        rows = balanced_rows(task)

        def loss(output: Output, y: Tensor, s: Tensor, rows: Tensor) -> Tensor:
            return task_loss(output.logits, y)
    else:
        rows = task.fit

        def loss(output: Output, y: Tensor, s: Tensor, rows: Tensor) -> Tensor:
            return fairness_loss(task.objective, output.logits, y, s, settings.fairness_weight)

    return _train(task, name, settings, loss, rows)


def _train(
    task: Task,
    name: str,
    settings: MaskSettings,
    loss: MaskLoss,
    rows: Int[Tensor, "R n"],
    kind: type[MaskDiscovery] = MaskDiscovery,
    depends: tuple[Any, ...] = (),
    **options: Any,
) -> Trained:
    steps = settings.epochs * math.ceil(rows.shape[1] / settings.batch_size)
    drawn = task.generators(f"{name}: noise")
    trainee = kind(task.network(), loss, settings, steps=steps, generators=drawn, **options)

    def figures() -> Figures:
        masks = trainee.masks()
        judged = task.judged(trainee.network, task.select, masked(trainee.network.weights(), masks))
        return {**validation_figures(task.objective, judged), "pruned": pruned_share(masks)}

    trained = task.train(
        trainee,
        name=name,
        settings=(settings, *depends),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        rows=rows,
        figures=figures,
    )
    warn_of_empty_layers(trained.best, name, task.seeds)
    return trained


def balanced_rows(task: Task) -> Int[Tensor, "R n"]:
    """Return as many rows of D_val's fitting part of each group and class, drawn by each replicate's seed.

    Raises:
        InputError: a class of a group has no row.
    """
    y, s = task.labels(task.fit)
    classes = task.objective.classes
    cells = s * classes + y
    size = min(int((cells == cell).sum(dim=1).min()) for cell in range(2 * classes))
    if not size:
        raise InputError("D_val: a class of a group has no row, expected one at least to balance them")
    chosen = []
    for own, cell, generator in zip(task.fit, cells, task.generators("balanced rows"), strict=True):
        order = torch.randperm(len(own), generator=generator)
        picked = [order[cell[order] == number][:size] for number in range(2 * classes)]
        chosen.append(own[torch.cat(picked)])
    return torch.stack(chosen)


class _Student(MaskDiscovery):
    """Masks that make the base mimic a teacher, and itself an epoch before (Eq. 10).

    Args:
        given, teacher: the teacher's probabilities are computed once, for the fitting rows.
        consistency: γ.
    """

    def __init__(self, *args: Any, given: Task, teacher: State, consistency: float, **options: Any) -> None:
        super().__init__(*args, **options)
        task = given
        self.task, self.consistency = task, consistency
        shape = (*task.examples.y.shape, 1 if task.objective.classes == 2 else task.objective.classes)
        self.wanted = torch.zeros(len(task.fit), *shape)
        self.before = torch.zeros_like(self.wanted)
        self._remember(self.wanted, evaluate(task.network(teacher), task.examples, task.fit))
        self.loss = self._mimic

    def _remember(self, table: Float[Tensor, "R N k"], output: Output) -> None:
        index = self.task.fit.unsqueeze(-1).expand(*self.task.fit.shape, table.shape[-1])
        table.scatter_(1, index, scores(output.logits))

    def begin_epoch(self, epoch: int) -> None:
        weights = masked(self.network.weights(), self.masks())
        self._remember(self.before, evaluate(self.network, self.task.examples, self.task.fit, weights))

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


def teacher_pruning(
    task: Task, name: str, settings: MaskSettings, teacher: State, *, consistency: float
) -> list[Repaired]:
    """Prune the base, whose weights stay as they are, until it says what a repaired network says (Section 4.4).

    There is no penalty on how much is pruned.
    """
    trained = _train(
        task,
        name,
        settings,
        lambda output, y, s, rows: task_loss(output.logits, y),  # replaced by the student's own
        task.fit,
        _Student,
        depends=(consistency, *teacher.values()),
        given=task,
        teacher=teacher,
        consistency=consistency,
    )
    return both_masks(task, name, trained)


def both_masks(task: Task, name: str, trained: Trained) -> list[Repaired]:
    """Return the variants of a discovery: the masks of its best epoch, and of its last."""
    last = torch.full_like(trained.best_epoch, next(iter(trained.curves.values())).shape[1])
    made = []
    for variant, masks, epoch, curves in (
        (name, trained.best, trained.best_epoch, trained.curves),
        (f"{name}_last", trained.last, last, {}),
    ):
        weights: Weights = masked(task.base, masks)
        facts = {"pruned": pruned_share(masks)}
        made.append(repaired(task, variant, weights=weights, masks=masks, epoch=epoch, curves=curves, facts=facts))
    return made
