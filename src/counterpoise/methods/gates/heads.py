"""Bias heads P: one linear layer per bias that guesses its value from the last layer's input (FFW)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.bounds import Bounded, Count, NotNegative, Positive, Share
from counterpoise.fairness import information
from counterpoise.methods.gates.biases import biases_of
from counterpoise.methods.outputs import task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import under
from counterpoise.nn.linalg import affine
from counterpoise.nn.networks import State
from counterpoise.nn.optimizers import Optimizer


@dataclass(frozen=True)
class HeadSettings(Bounded):
    """How heads are fitted; defaults are the authors' (METHODS.md part 3, 2).

    Attributes:
        lr, momentum, weight_decay: of stochastic gradient descent.
        most: steps on all rows at once, at most. patience, gain: a fit has reached its plateau where the loss fell by
            less than `gain`, relatively, in `patience` steps.
    """

    block: ClassVar[str] = "reader"
    lr: Positive = 0.1
    momentum: Share = 0.9
    weight_decay: NotNegative = 1e-4
    most: Count = 500
    patience: Count = 10
    gain: Share = 0.01

    def optimizer(self) -> Optimizer:
        return Optimizer("sgd", lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)


def held_out_information(
    problem: Problem, z: Float[Tensor, "R n d"], rows: Int[Tensor, "R n"], settings: HeadSettings
) -> Float[Tensor, "R"]:
    """Return I of a head that is fitted to one half of the rows and read on the other, the mean over the biases.

    What a head says of rows that it was fitted to would look like information where there is none.
    """
    half, biases = z.shape[1] // 2, biases_of(problem, rows)
    heads = BiasHeads(len(z), z.shape[-1], problem.values, settings, z.device)
    heads.fit(z[:, :half], biases[:, :, :half])
    return heads.information(z[:, half:], biases[:, :, half:])


class BiasHeads:
    """One head per bias; they begin at zero, so that nothing is drawn.

    Args:
        features: d. values: number of values of each bias.
    """

    def __init__(
        self, replicates: int, features: int, values: Sequence[int], settings: HeadSettings, device: torch.device
    ) -> None:
        self.settings, self.values = settings, tuple(values)
        self.weights = [torch.zeros(replicates, features, count, device=device) for count in self.values]
        self.biases = [torch.zeros(replicates, count, device=device) for count in self.values]
        for tensor in self.parameters():
            tensor.requires_grad_()
        self.move = settings.optimizer().build(self.parameters(), steps=1)

    def parameters(self) -> list[Tensor]:
        return [*self.weights, *self.biases]

    def logits(self, z: Float[Tensor, "R B d"]) -> list[Float[Tensor, "R B c"]]:
        """Return each head's logits; gradients reach z and not the heads."""
        heads = zip(self.weights, self.biases, strict=True)
        return [affine(z, weight.detach(), bias.detach()) for weight, bias in heads]

    def information(self, z: Float[Tensor, "R B d"], biases: Int[Tensor, "K R B"]) -> Float[Tensor, "R"]:
        """Return what the heads' guesses say of the biases, the mean over them; gradients reach z and not the heads."""
        guesses = [logits.softmax(dim=-1) for logits in self.logits(z)]
        return torch.stack([information(guess, b) for guess, b in zip(guesses, biases, strict=True)]).mean(dim=0)

    def step(self, z: Float[Tensor, "R B d"], biases: Int[Tensor, "K R B"]) -> Float[Tensor, "R"]:
        """Take one step on a batch and return its cross-entropy, summed over the biases."""
        z = z.detach()
        total = torch.stack(
            [
                task_loss(affine(z, weight, bias), b)
                for weight, bias, b in zip(self.weights, self.biases, biases, strict=True)
            ]
        ).sum(dim=0)
        total.sum().backward()
        self.move()
        return total.detach()

    def fit(self, z: Float[Tensor, "R n d"], biases: Int[Tensor, "K R n"]) -> int:
        """Take steps on all rows at once until the loss, its mean over the replicates, has reached a plateau.

        Replicates that must not depend on one another are fitted one at a time, as the pipelines do.

        Returns:
            How many steps were taken.
        """
        lowest, since = math.inf, 0
        count = 0
        for _ in range(self.settings.most):
            count += 1
            loss = float(self.step(z, biases).mean())
            if loss < lowest * (1 - self.settings.gain):
                lowest, since = loss, 0
            else:
                since += 1
            if since >= self.settings.patience:
                break
        return count

    def state(self) -> State:
        state = {f"head.{number}": tensor.detach().clone() for number, tensor in enumerate(self.parameters())}
        return state | {f"head_optimizer.{name}": tensor for name, tensor in self.move.state().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        parameters = under("head", state)
        with torch.no_grad():
            for number, tensor in enumerate(self.parameters()):
                tensor.copy_(parameters[str(number)])
        self.move.load(under("head_optimizer", state))
