"""What all methods on whole networks have in common: rows, seeds, and where a killed training goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from counterpoise.nn.builders import Builder
from counterpoise.nn.epochs import Checkpoints, Figures, Resumable, Store, Trained, digest, run_epochs
from counterpoise.nn.examples import Examples
from counterpoise.nn.fast.memory import keep_freed_memory
from counterpoise.nn.networks import Networks, State
from counterpoise.nn.random import generators

Own = TypeVar("Own", bound="Problem")


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """The problem that every method is given: the same rows, the same seeds.

    Attributes:
        build: makes the networks of all replicates, with their initial weights.
        base: their state after pretraining.
        examples: all rows; the others are row numbers of each replicate.
        pretrain: what the base was trained on. fit, select: the two parts of D_val, on which methods are fitted and
            chosen. test: what is reported, and nothing else.
        seeds: one per replicate.
        states: of trainings under way, on these examples and no others; None keeps none.
        device: where `build` puts networks; the base is on the CPU.
        progress: called with the name of a training and the number of each finished epoch.
    """

    build: Builder
    base: State
    examples: Examples
    pretrain: Int[Tensor, "R n"]
    fit: Int[Tensor, "R f"]
    select: Int[Tensor, "R v"]
    test: Int[Tensor, "R t"]
    seeds: Sequence[int]
    states: Store | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: Callable[[str, int, int], None] = field(default=lambda name, epoch, epochs: None)

    @property
    def validation(self) -> Int[Tensor, "R n"]:
        """All of D_val, for what chooses but is fitted to nothing."""
        return torch.cat([self.fit, self.select], dim=1)

    def known(self) -> tuple[Any, ...]:
        """Return what trainings depend on beside rows, base and seeds; see `nn.epochs.digest`."""
        return ()

    def network(self, state: State | None = None) -> Networks:
        """Return networks in a state, the base's by default."""
        network = self.build()
        network.load(self.base if state is None else state)
        return network

    def generators(self, purpose: str) -> list[torch.Generator]:
        """Return one generator per replicate, a function of its seed and the purpose alone."""
        return generators(self.seeds, purpose)

    def labels(self, rows: Int[Tensor, "R m"]) -> tuple[Int[Tensor, "R m"], Int[Tensor, "R m"]]:
        """Return y and s of each replicate's rows."""
        return self.examples.y.take(rows), self.examples.s.take(rows)

    def train(
        self,
        trainee: Resumable,
        *,
        name: str,
        settings: tuple[Any, ...],
        epochs: int,
        batch_size: int,
        rows: Int[Tensor, "R n"],
        figures: Callable[[], Figures],
        whole_batches: bool = False,
        finished: Callable[[], bool] | None = None,
    ) -> Trained:
        """Run a training's epochs; see `nn.epochs.run_epochs`. Its batches are drawn by the name of the training.

        Args:
            name: of the training; two in one run have different ones.
            settings: what else than the rows, the base and the seeds it depends on; see `nn.epochs.digest`.
        """
        checkpoints = None
        if self.states is not None:
            seen = (rows, *self.labels(rows), self.select, *self.base.values())
            known = digest(name, settings, epochs, batch_size, self.known(), list(self.seeds), seen)
            checkpoints = Checkpoints(trainee, self.states, f"{name}-{known}")
        keep_freed_memory()
        return run_epochs(
            trainee,
            self.examples,
            rows,
            epochs=epochs,
            batch_size=batch_size,
            generators=self.generators(f"{name}: batches"),
            judge=figures,
            device=self.device,
            whole_batches=whole_batches,
            checkpoints=checkpoints,
            on_epoch=lambda epoch: self.progress(name, epoch, epochs),
            finished=finished,
        )

    def replicate(self: Own, r: int) -> Own:
        """Return the problem of one replicate alone."""
        own = {name: tensor[r : r + 1] for name, tensor in self.base.items()}
        rows = {name: getattr(self, name)[r : r + 1] for name in ("pretrain", "fit", "select", "test")}
        return replace(self, build=self.build.replicate(r), base=own, seeds=self.seeds[r : r + 1], **rows)
