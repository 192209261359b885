"""Random perturbation (Savani et al., 2020, Section 4.1): many slightly different networks, of which the best is kept.

Every parameter, batch norm's scales and shifts too, is multiplied by a draw from N(1, spread²); batch norm's running
statistics stay. It is the control for how much of a repair is luck and selection.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from counterpoise.bounds import Bounded, Count, Positive
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.judging import repaired
from counterpoise.nn.networks import State, keep


@dataclass(frozen=True)
class Perturbation(Bounded):
    """Settings of random perturbation; defaults as METHODS.md fixes them.

    Attributes:
        trials: networks that are drawn for each replicate.
        spread: standard deviation of what a parameter is multiplied by.
    """

    block: ClassVar[str] = "perturbation"
    trials: Count = 101
    spread: Positive = 0.1


def random_perturbation(problem: Problem, settings: Perturbation, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Return each replicate's perturbed base with the highest Φ on all of `dval`; ties go to the first drawn."""
    network = problem.network()
    parameters = {name: problem.base[name] for name, _ in network.named_parameters()}
    drawn = problem.generators(f"{problem.method}: noise")
    best = network.copied()
    highest = torch.full((len(drawn),), -math.inf, dtype=torch.float64)
    chosen = torch.zeros(len(drawn), dtype=torch.int64)
    for trial in range(1, settings.trials + 1):
        network.load(problem.base | perturbed(parameters, settings.spread, drawn))
        value = problem.judged(network, problem.dval).preference(problem.goal)
        better = value > highest
        keep(best, network.state(), better)
        highest, chosen = torch.where(better, value, highest), torch.where(better, trial, chosen)
        problem.progress(problem.method, trial, settings.trials)
    return [repaired(problem, best, rows=problem.dval, facts={"trial": chosen})]


def perturbed(parameters: Mapping[str, Tensor], spread: float, generators: Sequence[torch.Generator]) -> State:
    """Multiply every number of replicate r by a draw from N(1, spread²) of generator r."""
    sizes = [math.prod(tensor.shape[1:]) for tensor in parameters.values()]
    noise = torch.stack([torch.randn(sum(sizes), generator=generator) for generator in generators])
    return {
        name: tensor * (1 + spread * part.view(tensor.shape).to(tensor))
        for (name, tensor), part in zip(parameters.items(), noise.split(sizes, dim=1), strict=True)
    }
