"""What the repairs of one run have in common: rows, objective, seeds, and where a killed training is taken up again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from counterpoise.methods.altering.objective import Judged, Objective, decide, judge, require_cells, scores
from counterpoise.nn.builders import Builder
from counterpoise.nn.epochs import Figures, Resumable, Trained, Trainee, digest, run_epochs
from counterpoise.nn.networks import Masks, Networks, State, Weights, evaluate
from counterpoise.nn.random import generators
from counterpoise.nn.training import Examples


@dataclass(frozen=True, eq=False)
class Task:
    """The problem that every method is given: the same rows, the same seeds.

    Attributes:
        build: makes the networks of all replicates, with their initial weights.
        base: their state after pretraining.
        examples: all rows; the others are row numbers of each replicate.
        pretrain: what the base was trained on. fit, select: the two parts of D_val, on which repairs are fitted and
            chosen. test: what is reported, and nothing else.
        seeds: one per replicate.
        folder: of the states of trainings under way, on these examples and no others; None keeps none.
        device: where `build` puts networks; the base is on the CPU.
        progress: called with the name of a training and the number of each finished epoch.
        read: logits to scores; other than `scores` where a network's outputs are not the classes.
    """

    build: Builder
    base: State
    examples: Examples
    pretrain: Int[Tensor, "R n"]
    fit: Int[Tensor, "R f"]
    select: Int[Tensor, "R v"]
    test: Int[Tensor, "R t"]
    objective: Objective
    seeds: Sequence[int]
    folder: Path | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: Callable[[str, int, int], None] = field(default=lambda name, epoch, epochs: None)
    read: Callable[[Tensor], Tensor] = field(default=scores)

    def __post_init__(self) -> None:
        """Raise InputError unless both parts of D_val have rows of every class in both groups."""
        for part, rows in (("fit", self.fit), ("select", self.select)):
            require_cells(*self.labels(rows), classes=self.objective.classes, part=f"D_val ({part})")

    @property
    def validation(self) -> Int[Tensor, "R n"]:
        """All of D_val, for what chooses but is fitted to nothing."""
        return torch.cat([self.fit, self.select], dim=1)

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

    def judged(
        self, network: Networks, rows: Int[Tensor, "R m"], weights: Weights | None = None, **options: Any
    ) -> Judged:
        """Return the figures of networks on rows of D_val, at the threshold that is best there."""
        score = self.read(evaluate(network, self.examples, rows, weights).logits)
        return judge(self.objective, score, *self.labels(rows), **options)

    def train(
        self,
        trainee: Trainee,
        *,
        name: str,
        settings: tuple[Any, ...],
        epochs: int,
        batch_size: int,
        rows: Int[Tensor, "R n"],
        figures: Callable[[], Figures],
        whole_batches: bool = False,
    ) -> Trained:
        """Run a training's epochs; see `nn.epochs.run_epochs`. Its batches are drawn by the name of the training.

        Args:
            name: of the training; two in one run have different ones.
            settings: what else than the rows, the base and the seeds it depends on; see `nn.epochs.digest`.
        """
        resumable = None
        if self.folder is not None:
            seen = (rows, *self.labels(rows), self.select, *self.base.values())
            known = digest(name, settings, epochs, batch_size, self.objective, list(self.seeds), seen)
            resumable = Resumable(self.folder / f"{name}-{known}.pt")
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
            resumable=resumable,
            on_epoch=lambda epoch: self.progress(name, epoch, epochs),
        )

    def replicate(self, r: int) -> Task:
        """Return the task of one replicate alone."""
        own = {name: tensor[r : r + 1] for name, tensor in self.base.items()}
        rows = {name: getattr(self, name)[r : r + 1] for name in ("pretrain", "fit", "select", "test")}
        return replace(self, build=self.build.replicate(r), base=own, seeds=self.seeds[r : r + 1], **rows)


def validation_figures(judged: Judged) -> Figures:
    """Return what is followed over the epochs of a repair; Φ is what an epoch is chosen by."""
    return {"judgement": judged.phi, "performance": judged.performance, "bias": judged.bias}


@dataclass(frozen=True)
class Repaired:
    """What one method makes of the base.

    Attributes:
        name: of the variant: the method's, with `_last` where its last epoch is meant and not its best.
        score: probabilities on the test rows, of class 1 [R, t, 1] or of every class.
        prediction: decisions there.
        judged: the figures on the rows of D_val that it was chosen on, at the threshold chosen there.
        chosen_on: rows of D_val that it was chosen on, per replicate.
        epoch: of the training, counted from 1; None where nothing was trained.
        state: the networks; None for a method that only changes decisions.
        masks: of the weights that stay at zero.
        curves: by name, figures of every epoch; with the best epoch's variant only.
        facts: further figures of each replicate by name: `pruned`, `critic_ratio`.
    """

    name: str
    score: Float[Tensor, "R t k"]
    prediction: Int[Tensor, "R t"]
    judged: Judged
    chosen_on: int
    epoch: Int[Tensor, "R"] | None = None
    state: State | None = None
    masks: Masks | None = None
    curves: dict[str, Float64[Tensor, "R E"]] = field(default_factory=dict)
    facts: dict[str, Tensor] = field(default_factory=dict)


def repaired(
    task: Task,
    name: str,
    state: State | None = None,
    *,
    weights: Weights | None = None,
    rows: Int[Tensor, "R m"] | None = None,
    aim: str = "phi",
    **known: Any,
) -> Repaired:
    """Judge networks on D_val and let them decide the test rows, at the threshold that was best on D_val.

    Args:
        state: of the networks, the base's by default. weights: that stand in for some of them.
        rows: of D_val to choose the threshold on; by default those that repairs are not fitted to.
    """
    network, chosen_on = task.network(state), task.select if rows is None else rows
    judged = task.judged(network, chosen_on, weights, aim=aim)
    score = task.read(evaluate(network, task.examples, task.test, weights).logits)
    final = {name: tensor.cpu() for name, tensor in (network.copied() | dict(weights or {})).items()}
    prediction = decide(score, judged.threshold)
    return Repaired(name, score, prediction, judged, chosen_on.shape[1], state=final, **known)


def both_epochs(task: Task, name: str, trained: Trained, **known: Any) -> list[Repaired]:
    """Return the variants of a training of weights: its best epoch, and its last."""
    epochs = next(iter(trained.curves.values())).shape[1]
    last = torch.full_like(trained.best_epoch, epochs)
    return [
        repaired(task, name, trained.best, epoch=trained.best_epoch, curves=trained.curves, **known),
        repaired(task, f"{name}_last", trained.last, epoch=last, **known),
    ]
