"""Train a bank: every model at once, each with its own replicate's batches and its own best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from counterpoise.nn.bank import Bank
from counterpoise.nn.optimizers import Optimizer
from counterpoise.nn.threads import threads_for

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits [R, V, B, k], y [R, B], s [R, B]) to one loss per model [R, V]."""

FORWARD_AND_BACKWARD = 6
"""Floating-point operations per weight and row of a training step: a product forward, two backward."""

REPLICATED = 3
"""Axes of `Examples.x` where each replicate has a matrix of its own."""

EVALUATION_ELEMENTS = 2**24
"""Most logits held at once while evaluating (64 MiB of float32), whatever the number of rows, models and classes."""


@dataclass(frozen=True)
class Examples:
    """Rows to learn from: `x` (images too) shared by the replicates or one matrix for each, `y` classes, `s` groups."""

    x: Float[Tensor, "N d"] | Float[Tensor, "R N d"] | UInt8[Tensor, "N c h w"]
    y: Int[Tensor, "N"]
    s: Int[Tensor, "N"]

    def replicate(self, r: int) -> Examples:
        """Return the rows as one replicate sees them."""
        return Examples(self.x[r], self.y, self.s) if self.x.ndim == REPLICATED else self

    def take(
        self, rows: Int[Tensor, "R B"], buffer: Float[Tensor, "size"] | None = None
    ) -> tuple[Shaped[Tensor, "R B ..."], Int[Tensor, "R B"], Int[Tensor, "R B"]]:
        """Return x, y and s of each replicate's own rows; x is written into `buffer` if one is given."""
        if self.x.ndim == REPLICATED:
            source, chosen = self.x.flatten(0, 1), rows + torch.arange(len(rows)).unsqueeze(1) * self.x.shape[1]
        else:
            source, chosen = self.x, rows
        out = None if buffer is None else buffer[: rows.numel() * source.shape[1]].view(-1, source.shape[1])
        x = torch.index_select(source, 0, chosen.flatten(), out=out)
        return x.unflatten(0, rows.shape), self.y.take(rows), self.s.take(rows)


@dataclass(frozen=True)
class History:
    """What training did. `epochs` counts from 1; a best epoch of 0 is the initial state of a model that diverged."""

    train_loss: Float[Tensor, "R V E"]
    validation: Float[Tensor, "R V E"] | None
    best_epoch: Int[Tensor, "R V"]
    diverged: Bool[Tensor, "R V"]


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
            (the earliest of equals), computed from its first `classes` logits. Otherwise the last epoch is kept.
        weight_decay: each model's own, in the place of the optimiser's.
        on_epoch: called with the number of each finished epoch.

    Returns:
        Losses and validation figures of every epoch, the chosen epoch, and which models met a non-finite loss. Such a
        model stops improving but never disturbs another one.
    """
    total, batch = rows.shape[1], batch_size or rows.shape[1]
    decays = None if weight_decay is None else bank.owners(weight_decay)
    step = optimizer.build(bank.parameters(), epochs * math.ceil(total / batch), decays)
    shape = (bank.replicates, bank.variants)
    losses = torch.zeros(*shape, epochs, dtype=torch.float64)
    figures = torch.full((*shape, epochs), math.nan, dtype=torch.float64)
    best, best_epoch = torch.full(shape, math.inf, dtype=torch.float64), torch.zeros(shape, dtype=torch.int64)
    snapshot = bank.snapshot()

    # One buffer for all batches: memory that is asked for anew at every step is also cleared anew by the system.
    buffer = examples.x.new_empty(rows.shape[0] * min(batch, total) * examples.x.shape[-1])
    weights = sum(parameter.numel() for parameter in bank.parameters())
    with threads_for(FORWARD_AND_BACKWARD * weights * batch):
        for epoch in range(epochs):
            mean_loss = torch.zeros(shape, dtype=examples.x.dtype)
            order = shuffled(rows, generators) if batch_size else rows
            for part in order.split(batch, dim=1):
                x, y, s = examples.take(part, buffer)
                value = loss(bank.logits(bank.standardize_(x)), y, s)
                value.sum().backward()
                step()
                mean_loss.add_(value.detach(), alpha=part.shape[1] / total)
            losses[..., epoch] = mean_loss
            better = losses[..., epoch].isfinite()
            if validation is not None and criterion is not None:
                logits = predict_logits(bank, examples, validation, classes=classes)
                figures[..., epoch] = criterion(logits, examples.y[validation], examples.s[validation]).double()
                better = better & (figures[..., epoch] < best)
                best = torch.where(better, figures[..., epoch], best)
            best_epoch[better] = epoch + 1
            bank.keep(snapshot, better)
            if on_epoch is not None:
                on_epoch(epoch + 1)
    bank.restore(snapshot)
    return History(
        train_loss=losses,
        validation=figures if validation is not None else None,
        best_epoch=best_epoch,
        diverged=~losses.isfinite().all(-1),
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


def shuffled(rows: Int[Tensor, "R n"], generators: Sequence[torch.Generator]) -> Int[Tensor, "R n"]:
    """Return each replicate's rows in an order of its own."""
    order = torch.stack([torch.randperm(rows.shape[1], generator=generator) for generator in generators])
    return rows.gather(1, order)
