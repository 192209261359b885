"""Adam and SGD for banks: torch's update rules, written out.

Not `torch.optim`: making one of its optimisers imports the compiler, which takes longer than ten seeds of Adult take
to train (docs/performance.md), and its fused kernels round the remainders of their vectors differently from the bodies,
so that a model's last bits would depend on its place in the stack. Whole networks, with many weights for each batch,
take the fused kernel (`nn.fast.adam`) on a buffer that ends in zeros, so that no weight is in the remainder. The tests
hold all of these against `torch.optim`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from counterpoise.bounds import NotNegative, Positive, Share
from counterpoise.nn.fast.adam import fused_adam

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma and Ba, 2015, Algorithm 1)."""


ALIGNMENT = 16
"""Every parameter begins at a multiple of this many numbers, and as many zeros follow the last one.

So each starts on a cache line of its own, and none lies in the remainder that is left when a vector unit has taken all
it can at once: that remainder is rounded by other code.
"""


@runtime_checkable
class Step(Protocol):
    """Moves parameters by their gradients, once, and sets the gradients to zero."""

    def __call__(self) -> None: ...

    def state(self) -> dict[str, Tensor]:
        """Return a copy of all that the next steps depend on, beside the parameters."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""


@dataclass(frozen=True)
class Optimizer:
    """How parameters move. Defaults: WIN's fine-tuning as METHODS fixes it (Adam 1e-3, constant rate)."""

    name: Literal["adam", "sgd"] = "adam"
    lr: Positive = 1e-3
    momentum: Share = 0.9
    weight_decay: NotNegative = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: Share = 0.0
    """Share of the steps in which the rate rises linearly to what the schedule says."""
    fused: bool = False
    """Adam in one pass over memory, for large networks: the same rule, rounded in other places."""

    def build(self, parameters: Iterable[Tensor], steps: int, decays: Iterable[Tensor] | None = None) -> Step:
        """Return the step to take after each backward pass; `steps` is how often it will be taken.

        `decays` are weight decays of the parameters' entries, broadcastable, in the place of `weight_decay`.

        From here on the parameters are views of one buffer of the optimiser's, and their gradients of another.
        """
        kind = _SGD if self.name == "sgd" else _FusedAdam if self.fused else _Adam
        return kind(self, list(parameters), steps, None if decays is None else list(decays))

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rising = min(1.0, (step + 1) / (self.warmup * steps)) if self.warmup else 1.0
        return self.lr * rising * (0.5 * (1 + math.cos(math.pi * step / steps)) if self.schedule == "cosine" else 1.0)


class _Flat:
    """Parameters and gradients side by side in one buffer each, so that a step is a few operations however many.

    Building it moves the parameters into the buffer: their `data` become views of it.
    """

    def __init__(self, settings: Optimizer, parameters: list[Tensor], steps: int, decays: list[Tensor] | None) -> None:
        self.settings, self.steps, self.taken = settings, steps, 0
        starts = list(
            accumulate((-(-parameter.numel() // ALIGNMENT) * ALIGNMENT for parameter in parameters), initial=0)
        )
        self.values = parameters[0].new_zeros(starts[-1] + ALIGNMENT).detach()
        self.gradients = torch.zeros_like(self.values)
        self.decay: float | Tensor = settings.weight_decay
        if decays is not None:
            self.decay = torch.zeros_like(self.values)
            for parameter, start, decay in zip(parameters, starts[:-1], decays, strict=True):
                self.decay[start : start + parameter.numel()] = decay.expand(parameter.shape).flatten()
        for parameter, start in zip(parameters, starts[:-1], strict=True):
            place = slice(start, start + parameter.numel())
            self.values[place] = parameter.detach().flatten()
            parameter.data = self.values[place].view(parameter.shape)
            parameter.grad = self.gradients[place].view(parameter.shape)

    @torch.no_grad()
    def __call__(self) -> None:
        rate = self.settings.rate(self.taken, self.steps)
        self.taken += 1
        if isinstance(self.decay, Tensor) or self.decay:  # L2 is part of the gradient, as in torch's Adam and SGD
            self.gradients.add_(self.values * self.decay)
        self.move(rate)
        self.gradients.zero_()

    def move(self, rate: float) -> None:
        """Change the values by the gradients."""
        raise NotImplementedError

    def moments(self) -> dict[str, Tensor]:
        """Return what the rule remembers of past gradients."""
        raise NotImplementedError

    def state(self) -> dict[str, Tensor]:
        return {name: moment.clone() for name, moment in self.moments().items()} | {"taken": torch.tensor(self.taken)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.taken = int(state["taken"])
        for name, moment in self.moments().items():
            moment.copy_(state[name])


class _Adam(_Flat):
    def __init__(self, settings: Optimizer, parameters: list[Tensor], steps: int, decays: list[Tensor] | None) -> None:
        super().__init__(settings, parameters, steps, decays)
        self.means, self.squares = torch.zeros_like(self.values), torch.zeros_like(self.values)

    def move(self, rate: float) -> None:
        rate /= 1 - BETA1**self.taken
        correction = math.sqrt(1 - BETA2**self.taken)
        self.means.lerp_(self.gradients, 1 - BETA1)
        self.squares.mul_(BETA2).addcmul_(self.gradients, self.gradients, value=1 - BETA2)
        self.values.addcdiv_(self.means, self.squares.sqrt().div_(correction).add_(EPSILON), value=-rate)

    def moments(self) -> dict[str, Tensor]:
        return {"means": self.means, "squares": self.squares}


class _FusedAdam(_Adam):
    def __init__(self, settings: Optimizer, parameters: list[Tensor], steps: int, decays: list[Tensor] | None) -> None:
        super().__init__(settings, parameters, steps, decays)
        self.count = torch.zeros((), device=self.values.device)

    def move(self, rate: float) -> None:
        step = self.count.fill_(self.taken)
        fused_adam(self.values, self.gradients, self.means, self.squares, step, rate, (BETA1, BETA2), EPSILON)


class _SGD(_Flat):
    def __init__(self, settings: Optimizer, parameters: list[Tensor], steps: int, decays: list[Tensor] | None) -> None:
        super().__init__(settings, parameters, steps, decays)
        self.velocities = torch.zeros_like(self.values)

    def move(self, rate: float) -> None:
        self.velocities.mul_(self.settings.momentum).add_(self.gradients)
        self.values.sub_(self.velocities, alpha=rate)

    def moments(self) -> dict[str, Tensor]:
        return {"velocities": self.velocities}
