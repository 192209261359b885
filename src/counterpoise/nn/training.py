"""Train a bank: every model at once, each with its own replicate's batches and its own best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterpoise.nn.bank import Bank
from counterpoise.nn.epochs import Figures, run_epochs
from counterpoise.nn.examples import Examples
from counterpoise.nn.networks import State
from counterpoise.nn.optimizers import Optimizer, Step
from counterpoise.nn.threads import FORWARD_AND_BACKWARD

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits [R, V, B, k], y [R, B], s [R, B]) to one loss per model [R, V]."""

EVALUATION_ELEMENTS = 2**24
"""Most logits held at once while evaluating (64 MiB of float32), whatever the number of rows, models and classes."""


@dataclass(frozen=True)
class History:
    """What training did. `epochs` counts from 1; a best epoch of 0 is the initial state of a model that diverged."""

    train_loss: Float[Tensor, "R V E"]
    validation: Float[Tensor, "R V E"] | None
    best_epoch: Int[Tensor, "R V"]
    diverged: Bool[Tensor, "R V"]


class _BankTraining:
    """A bank of models in training; see `nn.epochs.Trainee`. `losses` are means over the rows of the epoch."""

    def __init__(self, bank: Bank, loss: Loss, move: Step, *, rows: int, batch: int) -> None:
        self.bank, self.loss, self.move, self.rows, self.epoch = bank, loss, move, rows, 0
        self.losses = torch.zeros(bank.replicates, bank.variants, dtype=next(bank.parameters()).dtype)
        self.operations = FORWARD_AND_BACKWARD * sum(parameter.numel() for parameter in bank.parameters()) * batch

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.losses.zero_()

    def step(self, x: Tensor, y: Int[Tensor, "R B"], s: Int[Tensor, "R B"], rows: Int[Tensor, "R B"]) -> Figures:
        value = self.loss(self.bank.logits(self.bank.standardize_(x)), y, s)
        value.sum().backward()
        self.move()
        self.losses.add_(value.detach(), alpha=rows.shape[1] / self.rows)
        return {}

    def outcome(self) -> State:
        return {name: parameter.detach() for name, parameter in self.bank.named_parameters()}


def fit(
    bank: Bank,
    examples: Examples,
    rows: Int[Tensor, "R n"],
    *,
    loss: Loss,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None,
    generators: Sequence[torch.Generator],
    validation: Int[Tensor, "R m"] | None = None,
    criterion: Loss | None = None,
    classes: int | None = None,
    weight_decay: Float[Tensor, "R V"] | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> History:
    """Train all models of `bank` in place.

    Args:
        rows: each replicate's training rows; they are shuffled anew in every epoch by the replicate's generator.
        loss: one number per model; their sum is differentiated, which trains each model on its own loss.
        batch_size: rows of each replicate per step; None takes all of them at once.
        validation, criterion: if given, each model keeps the epoch with the lowest `criterion` on its validation rows
            (ties go to the earliest), computed from its first `classes` logits. Otherwise the last epoch is kept.
        weight_decay: each model's own, in the place of the optimiser's.
        on_epoch: called with the number of each finished epoch.

    Returns:
        Losses and validation figures of every epoch, the chosen epoch, and which models met a non-finite loss. Such a
        model stops improving but never disturbs another one.
    """
    total, batch = rows.shape[1], batch_size or rows.shape[1]
    decays = None if weight_decay is None else bank.owners(weight_decay)
    move = optimizer.build(bank.parameters(), epochs * math.ceil(total / batch), decays)
    training = _BankTraining(bank, loss, move, rows=total, batch=batch)

    def judge() -> Figures:
        figures = {"loss": training.losses}
        judgement = torch.full_like(training.losses, training.epoch, dtype=torch.float64)  # the last epoch is the best
        if validation is not None and criterion is not None:
            logits = predict_logits(bank, examples, validation, classes=classes)
            figures["validation"] = criterion(logits, examples.y[validation], examples.s[validation]).double()
            judgement = -figures["validation"]
        return figures | {"judgement": judgement.where(training.losses.isfinite(), math.nan)}

    trained = run_epochs(
        training,
        examples,
        rows,
        epochs=epochs,
        batch_size=batch_size,
        generators=generators,
        judge=judge,
        models=(bank.replicates, bank.variants),
        keep=lambda best, _, chosen: bank.keep(list(best.values()), chosen),
        on_epoch=on_epoch,
    )
    bank.restore(list(trained.best.values()))
    return History(
        train_loss=trained.curves["loss"],
        validation=trained.curves.get("validation"),
        best_epoch=trained.best_epoch,
        diverged=~trained.curves["loss"].isfinite().all(-1),
    )


@torch.no_grad()
def predict_logits(
    bank: Bank, examples: Examples, rows: Int[Tensor, "R m"], *, classes: int | None = None
) -> Float[Tensor, "R V m c"]:
    """Return the first `classes` logits (default: all) of every model on its replicate's rows, chunk by chunk."""
    per_row = bank.replicates * (examples.x.shape[-1] + bank.variants * bank.classes)
    chunk = max(1, EVALUATION_ELEMENTS // per_row)
    return torch.cat(
        [bank.logits(bank.standardize_(examples.take(part)[0]))[..., :classes] for part in rows.split(chunk, dim=1)],
        dim=2,
    )
