"""The one training loop: shuffle, step, judge, store the best, resume after a run was killed.

What is trained is a `Trainee`: it knows how to take a step on a batch and what its outcome is. A bank of small models
is one (`nn.training.fit`), and so are whole networks, masks and gates (`methods`). Apart stands only what has neither
epochs nor a best one: the head that reads a bias takes full steps to its plateau (`methods.gates.heads`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float64, Int, Int64, Shaped
from torch import Tensor

from counterpoise.nn.examples import Examples, shuffled
from counterpoise.nn.networks import State
from counterpoise.nn.networks import keep as keep_replicates
from counterpoise.nn.threads import threads_for

Figures = Mapping[str, Shaped[Tensor, "R *V"]]
"""Figures of each replicate, or of each model of a bank, after an epoch or of a batch, by name."""


@runtime_checkable
class Trainee(Protocol):
    """Something being trained: a bank of models, networks, masks, or both."""

    operations: int
    """Floating-point operations of a step in its largest layer, roughly: whether threads are worth waking."""

    def begin_epoch(self, epoch: int) -> None:
        """Do what is done once before the epoch's first batch; epochs count from 1."""

    def step(self, x: Tensor, y: Int[Tensor, "R B"], s: Int[Tensor, "R B"], rows: Int[Tensor, "R B"]) -> Figures:
        """Take one step on a batch of each replicate; return its `loss` and other figures to follow."""

    def outcome(self) -> State:
        """Return what the training is for: tensors [R, ...], not copied."""


@runtime_checkable
class Resumable(Trainee, Protocol):
    """A trainee whose training can continue in another process."""

    def state(self) -> State:
        """Return a copy of everything that the next step depends on."""

    def load(self, state: State) -> None:
        """Go on from a state."""


@dataclass(frozen=True)
class Trained:
    """The result of a training; its tensors are on the CPU.

    Attributes:
        best: the outcome at each model's epoch with the highest judgement; ties go to the earliest.
        last: the outcome after the last epoch.
        best_epoch: that epoch, counted from 1.
        curves: by name, the figures of every epoch: means over the batches, and the judge's.
    """

    best: State
    last: State
    best_epoch: Int64[Tensor, "R *V"]
    curves: dict[str, Float64[Tensor, "R *V E"]]


@runtime_checkable
class Store(Protocol):
    """Where states of trainings are between two runs. Files are not this room's: see `artifacts.states`."""

    def save(self, key: str, state: Mapping[str, Any]) -> None:
        """Put a state in the place of the training's last."""

    def load(self, key: str) -> dict[str, Any] | None:
        """Return a training's last state, None if there is none that can be used."""


@dataclass(frozen=True)
class Checkpoints:
    """Stores a training's state after every epoch, and restores it when the training starts again.

    Args:
        key: of this training alone, whatever else it depends on: with a `digest`.
    """

    trainee: Resumable
    store: Store
    key: str


def digest(*parts: Any) -> str:
    """Return a digest of what a training depends on: tensors, tuples of them, anything with a faithful `repr`."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, tuple):
            total.update(f"({digest(*part)})".encode())
        elif isinstance(part, Tensor):
            total.update(f"[{part.dtype} {list(part.shape)}]".encode())
            total.update(part.detach().cpu().contiguous().numpy().tobytes())
        else:
            total.update(f"<{part!r}>".encode())
    return total.hexdigest()[:16]


def run_epochs(
    trainee: Trainee,
    examples: Examples,
    rows: Int[Tensor, "R n"],
    *,
    epochs: int,
    batch_size: int | None,
    generators: Sequence[torch.Generator],
    judge: Callable[[], Figures],
    models: tuple[int, ...] | None = None,
    keep: Callable[[State, State, Bool[Tensor, "R *V"]], None] = keep_replicates,
    device: torch.device | None = None,
    whole_batches: bool = False,
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[int], None] | None = None,
    finished: Callable[[], bool] | None = None,
) -> Trained:
    """Train for `epochs` epochs and return the last outcome and the best.

    Args:
        rows: each replicate's training rows, shuffled anew in every epoch by the replicate's generator.
        batch_size: rows of each replicate per step; None takes all of them at once, in their order.
        judge: figures of the outcome as it is; the one named `judgement` says how good it is, and NaN that it is not.
        models: the shape of what is judged; by default one model for each replicate.
        keep: copies the chosen models' part of an outcome, the second argument, into the first.
        device: where batches belong; by default where the examples are.
        whole_batches: leave out the last batch of an epoch if it is smaller than the others.
        checkpoints: continue the training that was begun there; the result is the same to the bit.
        on_epoch: called with the number of each finished epoch.
        finished: asked before each epoch whether to end sooner; the curves are NaN from there on.
    """
    models = (len(rows),) if models is None else models
    batch = batch_size or rows.shape[1]
    best = {name: tensor.to("cpu", copy=True) for name, tensor in trainee.outcome().items()}
    highest = torch.full(models, -math.inf, dtype=torch.float64)
    best_epoch = torch.zeros(models, dtype=torch.int64)
    curves: dict[str, Float64[Tensor, "R *V E"]] = {}
    first = 1
    if checkpoints is not None and (state := checkpoints.store.load(checkpoints.key)) is not None:
        checkpoints.trainee.load(state["trainee"])
        best, highest, best_epoch, curves = state["best"], state["highest"], state["best_epoch"], state["curves"]
        for generator, position in zip(generators, state["generators"], strict=True):
            generator.set_state(position)
        first = state["epoch"] + 1
    buffer = examples.buffer(len(rows) * min(batch, rows.shape[1]))
    with threads_for(trainee.operations):
        for epoch in range(first, epochs + 1):
            if finished is not None and finished():
                break
            trainee.begin_epoch(epoch)
            parts = (shuffled(rows, generators) if batch_size else rows).split(batch, dim=1)
            if whole_batches and len(parts) > 1 and parts[-1].shape[1] < batch:
                parts = parts[:-1]
            sums: dict[str, Tensor] = {}
            used = sum(part.shape[1] for part in parts)
            for part in parts:
                x, y, s = (tensor.to(device) for tensor in examples.take(part, buffer))
                for name, value in trainee.step(x, y, s, part).items():
                    share = value.detach().cpu().double() * (part.shape[1] / used)
                    sums[name] = sums[name] + share if name in sums else share
            figures = sums | {name: value.double() for name, value in judge().items()}
            for name, value in figures.items():
                if name not in curves:
                    curves[name] = torch.full((*models, epochs), math.nan, dtype=torch.float64)
                curves[name][..., epoch - 1] = value
            better = figures["judgement"] > highest
            keep(best, trainee.outcome(), better)
            highest = torch.where(better, figures["judgement"], highest)
            best_epoch[better] = epoch
            if checkpoints is not None:
                checkpoints.store.save(
                    checkpoints.key,
                    {
                        "trainee": checkpoints.trainee.state(),
                        "best": best,
                        "highest": highest,
                        "best_epoch": best_epoch,
                        "curves": curves,
                        "generators": [generator.get_state() for generator in generators],
                        "epoch": epoch,
                    },
                )
            if on_epoch is not None:
                on_epoch(epoch)
    last = {name: tensor.to("cpu", copy=True) for name, tensor in trainee.outcome().items()}
    return Trained(best, last, best_epoch, curves)
