"""Epoch after epoch, whatever is trained: shuffle, step, judge, remember the best, go on where a run was killed.

What is trained is a `Trainee`: it knows how to take a step on a batch and what its outcome is. Everything else that
long trainings have in common is here.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float64, Int, Int64, Shaped
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.nn.memory import keep_freed_memory
from counterpoise.nn.networks import State, keep
from counterpoise.nn.pickles import load_pickle
from counterpoise.nn.threads import threads_for
from counterpoise.nn.training import Examples, shuffled

_SEAL = "sha256"

_log = logging.getLogger(__name__)

Figures = Mapping[str, Shaped[Tensor, "R"]]
"""What is known of each replicate after an epoch, by name."""


@runtime_checkable
class Trainee(Protocol):
    """Networks, masks or both, on their way."""

    operations: int
    """Floating-point operations of a step in its largest layer, roughly: whether threads are worth waking."""

    def begin_epoch(self, epoch: int) -> None:
        """Do what is done once before the epoch's first batch; epochs count from 1."""

    def step(self, x: Tensor, y: Int[Tensor, "R B"], s: Int[Tensor, "R B"], rows: Int[Tensor, "R B"]) -> Figures:
        """Take one step on a batch of each replicate and return its `loss`, and what else is to be followed."""

    def outcome(self) -> State:
        """Return what the training is for: tensors [R, ...], not copied."""

    def state(self) -> State:
        """Return a copy of everything that the next step depends on."""

    def load(self, state: State) -> None:
        """Go on from a state."""


@dataclass(frozen=True)
class Trained:
    """What a training has led to; its tensors are on the CPU.

    Attributes:
        best: the outcome at each replicate's epoch with the highest judgement, of equals the earliest.
        last: the outcome after the last epoch.
        best_epoch: that epoch, counted from 1.
        curves: by name, the figures of every epoch: means over the batches, and the judge's.
    """

    best: State
    last: State
    best_epoch: Int64[Tensor, "R"]
    curves: dict[str, Float64[Tensor, "R E"]]


@dataclass(frozen=True)
class Resumable:
    """Where a training leaves its state after every epoch, and finds it when it is started again.

    Args:
        path: of a file that belongs to this training alone, whatever else it depends on: put a digest in its name.
    """

    path: Path

    def save(self, state: Mapping[str, Any]) -> None:
        """Write whole or not at all, with the digest of what is written at the end."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        torch.save(dict(state), aside)
        with aside.open("rb+") as file:
            seal = hashlib.file_digest(file, _SEAL).digest()  # leaves the file at its end
            file.write(seal)
        aside.replace(self.path)

    def load(self) -> dict[str, Any] | None:
        """Return the last state, None if there is none.

        One that is damaged, or was written by a version of before, is as good as none: a line in the log says so.
        """
        if not self.path.is_file():
            return None
        try:
            state = self._sealed()
        except (InputError, OSError) as error:
            _log.warning("%s; the state is discarded, the training starts anew", error)
            return None
        return state

    def _sealed(self) -> dict[str, Any]:
        content = self.path.read_bytes()
        size = hashlib.new(_SEAL).digest_size
        if hashlib.new(_SEAL, content[:-size]).digest() != content[-size:]:
            raise InputError(f"{self.path}: its checksum differs, expected the state of a training as it was written")
        state: dict[str, Any] = load_pickle(io.BytesIO(content[:-size]), str(self.path))
        return state


def digest(*parts: Any) -> str:
    """Return a digest of what a training depends on: tensors, tuples of them, anything with a faithful `repr`."""
    made = hashlib.sha256()
    for part in parts:
        if isinstance(part, tuple):
            made.update(f"({digest(*part)})".encode())
        elif isinstance(part, Tensor):
            made.update(f"[{part.dtype} {list(part.shape)}]".encode())
            made.update(part.detach().cpu().contiguous().numpy().tobytes())
        else:
            made.update(f"<{part!r}>".encode())
    return made.hexdigest()[:16]


def run_epochs(
    trainee: Trainee,
    examples: Examples,
    rows: Int[Tensor, "R n"],
    *,
    epochs: int,
    batch_size: int,
    generators: Sequence[torch.Generator],
    judge: Callable[[], Figures],
    device: torch.device,
    whole_batches: bool = False,
    resumable: Resumable | None = None,
    on_epoch: Callable[[int], None] | None = None,
    finished: Callable[[], bool] | None = None,
) -> Trained:
    """Train for `epochs` epochs and return the last outcome and the best.

    Args:
        rows: each replicate's training rows, shuffled anew in every epoch by the replicate's generator.
        judge: figures of the outcome as it is; the one named `judgement` says how good it is.
        whole_batches: leave out the last batch of an epoch if it is smaller than the others.
        resumable: continue the training that this file is the state of; the result is the same to the bit.
        on_epoch: called with the number of each finished epoch.
        finished: asked before each epoch whether to end sooner; the curves are NaN from there on.
    """
    keep_freed_memory()
    replicates = len(rows)
    best = {name: tensor.to("cpu", copy=True) for name, tensor in trainee.outcome().items()}
    highest = torch.full((replicates,), -math.inf, dtype=torch.float64)
    best_epoch = torch.zeros(replicates, dtype=torch.int64)
    curves: dict[str, Float64[Tensor, "R E"]] = {}
    first = 1
    if resumable is not None and (known := resumable.load()) is not None:
        trainee.load(known["trainee"])
        best, highest, best_epoch, curves = known["best"], known["highest"], known["best_epoch"], known["curves"]
        for generator, state in zip(generators, known["generators"], strict=True):
            generator.set_state(state)
        first = known["epoch"] + 1
    with threads_for(trainee.operations):
        for epoch in range(first, epochs + 1):
            if finished is not None and finished():
                break
            trainee.begin_epoch(epoch)
            parts = shuffled(rows, generators).split(batch_size, dim=1)
            if whole_batches and len(parts) > 1 and parts[-1].shape[1] < batch_size:
                parts = parts[:-1]
            sums: dict[str, Tensor] = {}
            used = sum(part.shape[1] for part in parts)
            for part in parts:
                x, y, s = (tensor.to(device) for tensor in examples.take(part))
                for name, value in trainee.step(x, y, s, part).items():
                    share = value.detach().cpu().double() * (part.shape[1] / used)
                    sums[name] = sums[name] + share if name in sums else share
            figures = sums | {name: value.double() for name, value in judge().items()}
            for name, value in figures.items():
                if name not in curves:
                    curves[name] = torch.full((replicates, epochs), math.nan, dtype=torch.float64)
                curves[name][:, epoch - 1] = value
            better: Bool[Tensor, "R"] = figures["judgement"] > highest
            keep(best, trainee.outcome(), better)
            highest = torch.where(better, figures["judgement"], highest)
            best_epoch[better] = epoch
            if resumable is not None:
                resumable.save(
                    {
                        "trainee": trainee.state(),
                        "best": best,
                        "highest": highest,
                        "best_epoch": best_epoch,
                        "curves": curves,
                        "generators": [generator.get_state() for generator in generators],
                        "epoch": epoch,
                    }
                )
            if on_epoch is not None:
                on_epoch(epoch)
    last = {name: tensor.to("cpu", copy=True) for name, tensor in trainee.outcome().items()}
    return Trained(best, last, best_epoch, curves)
