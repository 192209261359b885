"""The base class of all stacks of models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int32, Shaped
from torch import Tensor, nn

Features = Float[Tensor, "R B d"] | Int32[Tensor, "R B T"]
"""A batch, dense or as sparse indicators (`nn.trees`)."""


class Bank(nn.Module, ABC):
    """R x V models with the same input, evaluated and trained as one computation.

    Each entry of each parameter belongs to exactly one model; `owners` says to which. That is what lets one optimiser
    step train all of them independently, and `keep` remember for each model the epoch at which it was best.
    """

    replicates: int
    variants: int
    classes: int

    @abstractmethod
    def logits(self, x: Features) -> Float[Tensor, "R V B k"]:
        """Return the logits of all models for a batch that `standardize_` has been applied to."""

    def standardize_(self, x: Features) -> Features:
        """Bring a batch to the scale of the weights, in place, and return it; unchanged unless a subclass overrides it.

        Apart from `logits`, because a training loop owns its batches: writing over one is several times faster than
        asking the system for another of its size at every step (docs/performance.md).
        """
        return x

    def forward(self, x: Features) -> Float[Tensor, "R V B k"]:
        """Return the logits of all models; the V models of a replicate see the same B rows. `x` is left as it is."""
        return self.logits(self.standardize_(x.clone()))

    @abstractmethod
    def owners(self, values: Shaped[Tensor, "R V"]) -> Iterator[Shaped[Tensor, "..."]]:
        """Yield, for each parameter in the order of `parameters()`, the value of the owning model, broadcastable."""

    def snapshot(self) -> list[Tensor]:
        """Return a copy of the parameters, in the order of `parameters()`."""
        return [parameter.detach().clone() for parameter in self.parameters()]

    @torch.no_grad()
    def keep(self, snapshot: list[Tensor], chosen: Bool[Tensor, "R V"]) -> None:
        """Copy the present parameters of the chosen models into `snapshot`, in place."""
        for best, parameter, chosen_entries in zip(snapshot, self.parameters(), self.owners(chosen), strict=True):
            torch.where(chosen_entries, parameter, best, out=best)

    @torch.no_grad()
    def restore(self, snapshot: list[Tensor]) -> None:
        """Make the tensors of `snapshot` the parameters, without gradients."""
        for parameter, best in zip(self.parameters(), snapshot, strict=True):
            parameter.data, parameter.grad = best, None
