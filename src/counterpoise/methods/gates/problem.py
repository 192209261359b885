"""The problem of finding an unbiased part of a network: rows with one or more biases, and what is read of them."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.fairness import aligned_value
from counterpoise.methods.gates.heads import BiasHeads, HeadSettings
from counterpoise.methods.outputs import decisions
from counterpoise.methods.problem import Problem
from counterpoise.nn.networks import evaluate

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class Debiasing(Problem):
    """A `Problem` whose base was trained on biased rows, and whose other parts are unbiased.

    Attributes:
        biases: the value of each bias in each row; the first is s.
        values: how many values each has. classes: k.
    """

    biases: Int[Tensor, "K N"]
    values: tuple[int, ...]
    classes: int

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

    def conflicting(self, rows: Int[Tensor, "R n"]) -> Bool[Tensor, "K R n"]:
        """Return whether each bias has another value than the one that goes with the row's class in pretraining."""
        y, _ = self.labels(rows)
        seen, _ = self.labels(self.pretrain)
        found = []
        for bias, values in zip(self.biases, self.values, strict=True):
            aligned = torch.stack(
                [
                    aligned_value(own, bias.take(members), classes=self.classes, values=values)
                    for own, members in zip(seen, self.pretrain, strict=True)
                ]
            )
            found.append(bias.take(rows) != aligned.gather(1, y.long()))
        return torch.stack(found)

    def told(self, z: Float[Tensor, "R n d"], rows: Int[Tensor, "R n"], settings: HeadSettings) -> Float[Tensor, "R"]:
        """Return I of a head that is fitted to one half of the rows and read on the other, the mean over the biases."""
        half, biases = z.shape[1] // 2, self.biases_of(rows)
        heads = BiasHeads(len(z), z.shape[-1], self.values, settings, z.device)
        heads.fit(z[:, :half], biases[:, :, :half])
        return heads.information(z[:, half:], biases[:, :, half:])


def require_learnt(problem: Debiasing, *, accept: bool) -> None:
    """Raise InputError if a network has learnt nothing but the bias, or nothing at all; log it if it is accepted.

    The evidence are the training rows that conflict with every bias: a network that goes by the bias alone is right
    about none of them, one that has learnt nothing about one in k. More than that by two standard errors is asked for.
    """
    y, _ = problem.labels(problem.pretrain)
    right = decisions(evaluate(problem.network(), problem.examples, problem.pretrain).logits) == y
    conflicting = problem.conflicting(problem.pretrain).all(dim=0)
    chance = 1 / problem.classes
    for r, seed in enumerate(problem.seeds):
        rows = int(conflicting[r].sum())
        if not rows:
            continue
        found = float(right[r][conflicting[r]].double().mean())
        if found > chance + 2 * math.sqrt(chance * (1 - chance) / rows):
            continue
        said = (
            f"pretrained, seed {seed}: is right about {found:.1%} of the {rows:,} training rows that conflict with the "
            f"bias ({float(right[r].double().mean()):.1%} of all), expected clearly more than {chance:.1%}, which is "
            "chance: the network has learnt little but the bias, and no part of it can know more (train it for longer, "
            "or accept it with accept_vanilla: true)"
        )
        if not accept:
            raise InputError(said)
        LOG.warning("%s", said)
