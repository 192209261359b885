"""Training rows, and the order in which they are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Int32, Shaped, UInt8
from torch import Tensor

REPLICATED = 3
"""Axes of `Examples.x` where each replicate has a matrix of its own."""


@dataclass(frozen=True)
class Examples:
    """Rows to learn from: `x` (images too) shared by the replicates or one matrix for each, `y` classes, `s` groups.

    `x` may be sparse indicators, as the numbers of the columns that are one (`nn.trees`). `unit` numbers what rows
    belong to, such as people with several rows each, which folds keep together; None: each row stands for itself.
    """

    x: Float[Tensor, "N d"] | Float[Tensor, "R N d"] | UInt8[Tensor, "N c h w"] | Int32[Tensor, "*R N T"]
    y: Int[Tensor, "N"]
    s: Int[Tensor, "N"]
    unit: Int[Tensor, "N"] | None = None

    def replicate(self, r: int) -> Examples:
        """Return the rows as one replicate sees them."""
        return replace(self, x=self.x[r]) if self.x.ndim == REPLICATED else self

    def units(self, rows: Int[Tensor, "n"]) -> Int[Tensor, "n"] | None:
        """Return what some rows belong to; None where each stands for itself."""
        return None if self.unit is None else self.unit[rows]

    def buffer(self, rows: int) -> Shaped[Tensor, "size"] | None:
        """Return memory for a batch of so many rows, to be used again and again; None for images.

        Memory that is asked for anew at every step is also cleared anew by the system.
        """
        return self.x.new_empty(rows * self.x.shape[-1]) if self.x.ndim <= REPLICATED else None

    def take(
        self, rows: Int[Tensor, "R B"], buffer: Shaped[Tensor, "size"] | None = None
    ) -> tuple[Shaped[Tensor, "R B ..."], Int[Tensor, "R B"], Int[Tensor, "R B"]]:
        """Return x, y and s of each replicate's own rows; x is written into `buffer` if one is given."""
        if self.x.ndim == REPLICATED:
            source, chosen = self.x.flatten(0, 1), rows + torch.arange(len(rows)).unsqueeze(1) * self.x.shape[1]
        else:
            source, chosen = self.x, rows
        out = None if buffer is None else buffer[: rows.numel() * source.shape[1]].view(-1, source.shape[1])
        x = torch.index_select(source, 0, chosen.flatten(), out=out)
        return x.unflatten(0, rows.shape), self.y.take(rows), self.s.take(rows)


def shuffled(rows: Int[Tensor, "R n"], generators: Sequence[torch.Generator]) -> Int[Tensor, "R n"]:
    """Return each replicate's rows in an order of its own."""
    order = torch.stack([torch.randperm(rows.shape[1], generator=generator) for generator in generators])
    return rows.gather(1, order)
