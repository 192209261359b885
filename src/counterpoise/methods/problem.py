"""What all methods on whole networks are given: rows, seeds, what they are judged by, where a training goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.methods.cells import require_cells
from counterpoise.methods.objective import GROUPS, Judged, Objective, judge
from counterpoise.methods.outputs import scores
from counterpoise.nn.builders import Builder
from counterpoise.nn.epochs import Checkpoints, Figures, Resumable, Store, Trained, digest, run_epochs
from counterpoise.nn.examples import Examples
from counterpoise.nn.fast.memory import keep_freed_memory
from counterpoise.nn.networks import Networks, State, Weights, evaluate
from counterpoise.nn.random import generators


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """The problem that every method is given: the same rows, the same seeds.

    Attributes:
        method: the method that works on it, which names its trainings and its results.
        build: makes the networks of all replicates, with their initial weights.
        base: their state after pretraining.
        examples: all rows; the others are row numbers of each replicate.
        pretrain: what the base was trained on. fit, select: the two parts of `dval`, on which methods are fitted and
            chosen. test: what is reported, and nothing else.
        seeds: one per replicate.
        classes: k; networks for two classes have one logit.
        objective: what repairs of weights are judged by.
        biases: the value of each bias in each row; the first is s. values: how many values each has.
        read: logits to scores; other than `scores` where a network's outputs are not the classes.
        states: of trainings under way, on these examples and no others; None keeps none.
        device: where `build` puts networks; the base is on the CPU.
        progress: called with the name of a training and the number of each finished epoch.
    """

    method: str = ""
    build: Builder
    base: State
    examples: Examples
    pretrain: Int[Tensor, "R n"]
    fit: Int[Tensor, "R f"]
    select: Int[Tensor, "R v"]
    test: Int[Tensor, "R t"]
    seeds: Sequence[int]
    classes: int = 2
    objective: Objective | None = None
    biases: Int[Tensor, "K N"] = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.int64))
    values: tuple[int, ...] = ()
    read: Callable[[Tensor], Tensor] = field(default=scores)
    states: Store | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: Callable[[str, int, int], None] = field(default=lambda name, epoch, epochs: None)
    shared: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise InputError unless the rows to repair with have what the objective compares, or values of each bias."""
        if self.objective is not None:
            for part, rows in (("fit", self.fit), ("select", self.select)):
                require_cells(
                    *self.labels(rows),
                    groups=GROUPS,
                    classes=self.objective.classes,
                    where=f"dval ({part}): a replicate",
                    why="or the groups' rates cannot be compared",
                )
            return
        for number, bias in enumerate(self.biases, start=1):
            values = bias.take(self.fit).unique()
            if len(values) < 2:
                raise InputError(
                    f"bias {number}: all {self.fit.shape[1]:,} rows to learn gates on have the value "
                    f"{int(values[0])}, expected at least two values"
                )

    @property
    def dval(self) -> Int[Tensor, "R n"]:
        """All of `dval`, `fit` before `select`, for what chooses but is fitted to nothing."""
        return torch.cat([self.fit, self.select], dim=1)

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return what several methods need and the first of them computes."""
        if name not in self.shared:
            self.shared[name] = compute()
        return self.shared[name]

    @property
    def goal(self) -> Objective:
        """The objective.

        Raises:
            InputError: there is none.
        """
        if self.objective is None:
            raise InputError(f"{self.method}: the experiment has no objective, expected one to judge repairs by")
        return self.objective

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
            depends = (self.objective, self.values, len(self.biases))
            key = digest(name, settings, epochs, batch_size, depends, list(self.seeds), seen)
            checkpoints = Checkpoints(trainee, self.states, f"{name}-{key}")
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

    def judged(
        self, network: Networks, rows: Int[Tensor, "R m"], weights: Weights | None = None, **options: Any
    ) -> Judged:
        """Return the figures of networks on rows of `dval`, at the threshold that is best there."""
        score = self.read(evaluate(network, self.examples, rows, weights).logits)
        return judge(self.goal, score, *self.labels(rows), **options)

    def replicate(self, r: int) -> Problem:
        """Return the problem of one replicate alone."""
        base = {name: tensor[r : r + 1] for name, tensor in self.base.items()}
        rows = {name: getattr(self, name)[r : r + 1] for name in ("pretrain", "fit", "select", "test")}
        return replace(self, build=self.build.replicate(r), base=base, seeds=self.seeds[r : r + 1], shared={}, **rows)
