"""What a method on weights leaves: networks judged on `dval`, at the threshold and epoch that are best there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.methods.objective import Judged, Objective
from counterpoise.methods.outputs import decide
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, Value, prefixed
from counterpoise.nn.epochs import Figures, Trained
from counterpoise.nn.networks import Masks, State, Weights, evaluate

LAST = "_last"
"""At the end of a variant's name: the model of the last epoch, where the name without it is that of the best epoch."""


def validation_figures(objective: Objective, judged: Judged) -> Figures:
    """Return what is followed over the epochs of a repair; an epoch is chosen by Φ."""
    return {"judgement": judged.preference(objective), "performance": judged.performance, "bias": judged.bias}


def result_of(
    problem: Problem,
    name: str,
    score: Float[Tensor, "R t k"],
    prediction: Int[Tensor, "R t"],
    judged: Judged,
    chosen_on: int,
    facts: Mapping[str, Value] | None = None,
    **trained: Any,
) -> Result:
    """Return a result with the facts that all methods on weights have: how it was chosen.

    Args:
        judged: the figures on the rows of `dval` that it was chosen on, at the threshold chosen there; `chosen_on` is
            how many these are, per replicate.
        trained: `epoch`, `curves`, `tensors`.
    """
    chosen = {"phi": judged.phi, "performance": judged.performance, "bias": judged.bias, "threshold": judged.threshold}
    return Result(name, score, prediction, facts={**chosen, "chosen_on": chosen_on, **(facts or {})}, **trained)


def repaired(
    problem: Problem,
    state: State | None = None,
    *,
    name: str | None = None,
    weights: Weights | None = None,
    masks: Masks | None = None,
    rows: Int[Tensor, "R m"] | None = None,
    aim: str = "phi",
    **trained: Any,
) -> Result:
    """Judge networks on `dval` and let them decide the test rows, at the threshold that was best on `dval`.

    Args:
        state: of the networks, the base's by default. weights: that stand in for some of them.
        name: of the variant, the method's by default.
        masks: that a method has discovered.
        rows: of `dval` to choose the threshold on; by default those that repairs are not fitted to.
    """
    name = name or problem.method
    network, chosen_on = problem.network(state), problem.select if rows is None else rows
    judged = problem.judged(network, chosen_on, weights, aim=aim)
    score = problem.read(evaluate(network, problem.examples, problem.test, weights).logits)
    final = {key: tensor.cpu() for key, tensor in (network.copied() | dict(weights or {})).items()}
    tensors = prefixed("network", final) | prefixed("masks", masks or {})
    return result_of(
        problem, name, score, decide(score, judged.threshold), judged, chosen_on.shape[1], tensors=tensors, **trained
    )


def both_epochs(problem: Problem, trained: Trained, **options: Any) -> list[Result]:
    """Return the variants of a training of weights: its best epoch, and its last."""
    epochs = next(iter(trained.curves.values())).shape[1]
    last = torch.full_like(trained.best_epoch, epochs)
    return [
        repaired(problem, trained.best, epoch=trained.best_epoch, curves=trained.curves, **options),
        repaired(problem, trained.last, name=f"{problem.method}{LAST}", epoch=last, **options),
    ]
