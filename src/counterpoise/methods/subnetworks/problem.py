"""The problem of finding an unbiased part of a network: rows with one or more biases, and what is read of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.fairness import information
from counterpoise.methods.problem import Problem
from counterpoise.methods.subnetworks.heads import BiasHeads, HeadSettings
from counterpoise.nn.networks import Networks


@dataclass(frozen=True, eq=False, kw_only=True)
class Debiasing(Problem):
    """A `Problem` whose base was trained on biased rows, and whose other parts are unbiased.

    Attributes:
        biases: the value of each bias in each row; the first is s.
        values: how many values each has.
    """

    biases: Int[Tensor, "K N"]
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raise InputError unless every bias has at least two values among the rows that gates are learnt on."""
        for number, bias in enumerate(self.biases):
            found = bias.take(self.fit).unique()
            if len(found) < 2:
                raise InputError(
                    f"bias {number + 1}: all {self.fit.shape[1]:,} rows to learn gates on have the value "
                    f"{int(found[0])}, expected at least two values"
                )

    def known(self) -> tuple[Any, ...]:
        return (self.values, self.biases.shape[0])

    def biases_of(self, rows: Int[Tensor, "R n"]) -> Int[Tensor, "K R n"]:
        """Return the biases of each replicate's rows."""
        return torch.stack([bias.take(rows) for bias in self.biases])

    def features(self, network: Networks) -> int:
        """Return d, how many features the last layer of a network sees."""
        x, _, _ = self.examples.take(self.pretrain[:, :1])
        with torch.no_grad():
            return network(x.to(network.device)).features.shape[-1]

    def told(self, z: Float[Tensor, "R n d"], rows: Int[Tensor, "R n"], settings: HeadSettings) -> Float[Tensor, "R"]:
        """Return I of a head that is fitted to one half of the rows and read on the other, the mean over the biases."""
        half, biases = z.shape[1] // 2, self.biases_of(rows)
        heads = BiasHeads(len(z), z.shape[-1], self.values, settings, z.device)
        heads.fit(z[:, :half], biases[:, :, :half])
        guesses = [logits.softmax(dim=-1) for logits in heads.logits(z[:, half:])]
        return torch.stack([information(guess, b) for guess, b in zip(guesses, biases[:, :, half:], strict=True)]).mean(
            dim=0
        )
