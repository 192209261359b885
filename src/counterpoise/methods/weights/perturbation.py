"""Random perturbation (Savani et al., 2020, Section 4.1): many slightly different networks, of which the best is kept.

Every parameter, batch norm's scales and shifts too, is multiplied by a draw from N(1, spread²); batch norm's running
statistics stay. It is the control for how much of a repair is luck and selection.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.methods.weights.task import Repaired, Task, repaired
from counterpoise.nn.networks import State, keep


@dataclass(frozen=True)
class Perturbation:
    """Settings of random perturbation; defaults as METHODS.md fixes them.

    Attributes:
        trials: networks that are drawn for each replicate.
        spread: standard deviation of what a parameter is multiplied by.
    """

    trials: int = 101
    spread: float = 0.1

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise InputError(f"perturbation: trials is {self.trials}, expected 1 or more")
        if self.spread <= 0:
            raise InputError(f"perturbation: spread is {self.spread:g}, expected a number above 0")


def random_perturbation(task: Task, name: str, settings: Perturbation) -> list[Repaired]:
    """Return each replicate's perturbed base with the highest Φ on all of D_val, of equals the first drawn."""
    network = task.network()
    parameters = {name: task.base[name] for name, _ in network.named_parameters()}
    drawn = task.generators(f"{name}: noise")
    best = network.copied()
    highest = torch.full((len(drawn),), -math.inf, dtype=torch.float64)
    chosen = torch.zeros(len(drawn), dtype=torch.int64)
    for trial in range(1, settings.trials + 1):
        network.load(task.base | perturbed(parameters, settings.spread, drawn))
        value = task.judged(network, task.validation).preference(task.objective)
        better = value > highest
        keep(best, network.state(), better)
        highest, chosen = torch.where(better, value, highest), torch.where(better, trial, chosen)
        task.progress(name, trial, settings.trials)
    return [repaired(task, name, best, rows=task.validation, facts={"trial": chosen})]


def perturbed(parameters: Mapping[str, Tensor], spread: float, generators: Sequence[torch.Generator]) -> State:
    """Multiply every number of replicate r by a draw from N(1, spread²) of generator r."""
    sizes = [math.prod(tensor.shape[1:]) for tensor in parameters.values()]
    noise = torch.stack([torch.randn(sum(sizes), generator=generator) for generator in generators])
    return {
        name: tensor * (1 + spread * part.view(tensor.shape).to(tensor))
        for (name, tensor), part in zip(parameters.items(), noise.split(sizes, dim=1), strict=True)
    }
