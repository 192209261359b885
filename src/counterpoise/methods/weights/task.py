"""What the repairs of one run have in common beside the problem: an objective, and what each leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from counterpoise.methods.cells import require_cells
from counterpoise.methods.outputs import decide, scores
from counterpoise.methods.problem import Problem
from counterpoise.methods.weights.objective import GROUPS, Judged, Objective, judge
from counterpoise.nn.epochs import Figures, Trained
from counterpoise.nn.networks import Masks, Networks, State, Weights, evaluate


@dataclass(frozen=True, eq=False, kw_only=True)
class Task(Problem):
    """The problem of repairing networks under an objective.

    Attributes:
        objective: what repairs are judged by.
        read: logits to scores; other than `scores` where a network's outputs are not the classes.
    """

    objective: Objective
    read: Callable[[Tensor], Tensor] = field(default=scores)

    def __post_init__(self) -> None:
        """Raise InputError unless both parts of D_val have rows of every class in both groups."""
        for part, rows in (("fit", self.fit), ("select", self.select)):
            require_cells(
                *self.labels(rows),
                groups=GROUPS,
                classes=self.objective.classes,
                where=f"D_val ({part}): a replicate",
                why="or the groups' rates cannot be compared",
            )

    def known(self) -> tuple[Any, ...]:
        return (self.objective,)

    def judged(
        self, network: Networks, rows: Int[Tensor, "R m"], weights: Weights | None = None, **options: Any
    ) -> Judged:
        """Return the figures of networks on rows of D_val, at the threshold that is best there."""
        score = self.read(evaluate(network, self.examples, rows, weights).logits)
        return judge(self.objective, score, *self.labels(rows), **options)


def validation_figures(objective: Objective, judged: Judged) -> Figures:
    """Return what is followed over the epochs of a repair; an epoch is chosen by Φ."""
    return {"judgement": judged.preference(objective), "performance": judged.performance, "bias": judged.bias}


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
