"""Adam and SGD for banks: torch's update rules, written out.

Not `torch.optim`: making one of its optimisers imports the compiler, which takes longer than ten seeds of Adult take
to train (docs/performance.md), and its fused kernels round the remainders of their vectors differently from the bodies,
so that a model's last bits would depend on its place in the stack. The tests hold these against `torch.optim`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma and Ba, 2015, Algorithm 1)."""


Step = Callable[[], None]
"""Moves parameters by their gradients, once, and forgets the gradients."""


@dataclass(frozen=True)
class Optimizer:
    """How parameters move. Defaults: WIN's fine-tuning as METHODS fixes it (Adam 1e-3, constant rate)."""

    name: Literal["adam", "sgd"] = "adam"
    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"

    def build(self, parameters: Iterable[Tensor], steps: int) -> Step:
        """Return the step to take after each backward pass; `steps` is how often it will be taken."""
        kind = _Adam if self.name == "adam" else _SGD
        return kind(self, list(parameters), steps)

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        return self.lr * (0.5 * (1 + math.cos(math.pi * step / steps)) if self.schedule == "cosine" else 1.0)


class _Adam:
    def __init__(self, settings: Optimizer, parameters: list[Tensor], steps: int) -> None:
        self.settings, self.parameters, self.steps, self.taken = settings, parameters, steps, 0
        self.means = [torch.zeros_like(parameter) for parameter in parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in parameters]

    @torch.no_grad()
    def __call__(self) -> None:
        rate = self.settings.rate(self.taken, self.steps)
        self.taken += 1
        rate /= 1 - BETA1**self.taken
        correction = math.sqrt(1 - BETA2**self.taken)
        for parameter, mean, square in zip(self.parameters, self.means, self.squares, strict=True):
            gradient = _decayed(parameter, self.settings.weight_decay)
            mean.lerp_(gradient, 1 - BETA1)
            square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
            parameter.addcdiv_(mean, (square.sqrt() / correction).add_(EPSILON), value=-rate)
            parameter.grad = None


class _SGD:
    def __init__(self, settings: Optimizer, parameters: list[Tensor], steps: int) -> None:
        self.settings, self.parameters, self.steps, self.taken = settings, parameters, steps, 0
        self.velocities = [torch.zeros_like(parameter) for parameter in parameters]

    @torch.no_grad()
    def __call__(self) -> None:
        rate = self.settings.rate(self.taken, self.steps)
        self.taken += 1
        for parameter, velocity in zip(self.parameters, self.velocities, strict=True):
            velocity.mul_(self.settings.momentum).add_(_decayed(parameter, self.settings.weight_decay))
            parameter.sub_(velocity, alpha=rate)
            parameter.grad = None


def _decayed(parameter: Tensor, weight_decay: float) -> Tensor:
    """Return the gradient with the L2 term added to it, as torch's Adam and SGD do."""
    assert parameter.grad is not None
    return parameter.grad.add(parameter, alpha=weight_decay) if weight_decay else parameter.grad
