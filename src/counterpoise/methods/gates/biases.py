"""The biases of a problem's rows, and whether a vanilla network has learnt more than them."""

from __future__ import annotations

import logging
import math

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.fairness import aligned_value
from counterpoise.methods.outputs import decisions
from counterpoise.methods.problem import Problem
from counterpoise.nn.networks import evaluate

LOG = logging.getLogger(__name__)


def biases_of(problem: Problem, rows: Int[Tensor, "R n"]) -> Int[Tensor, "K R n"]:
    """Return the biases of each replicate's rows."""
    return torch.stack([bias.take(rows) for bias in problem.biases])


def conflicting(problem: Problem, rows: Int[Tensor, "R n"]) -> Bool[Tensor, "K R n"]:
    """Return whether each bias has another value than the one that goes with the row's class in pretraining."""
    y, _ = problem.labels(rows)
    seen, _ = problem.labels(problem.pretrain)
    misled = []
    for bias, values in zip(problem.biases, problem.values, strict=True):
        aligned = torch.stack(
            [
                aligned_value(labels, bias.take(members), classes=problem.classes, values=values)
                for labels, members in zip(seen, problem.pretrain, strict=True)
            ]
        )
        misled.append(bias.take(rows) != aligned.gather(1, y.long()))
    return torch.stack(misled)


def require_learnt(problem: Problem, *, accept: bool) -> None:
    """Raise InputError if a network has learnt nothing but the bias, or nothing at all; log it if it is accepted.

    The evidence are the training rows that conflict with every bias: a network that relies on the bias alone is right
    about none of them, one that has learnt nothing about one in k. More than that by two standard errors is asked for.
    """
    y, _ = problem.labels(problem.pretrain)
    right = decisions(evaluate(problem.network(), problem.examples, problem.pretrain).logits) == y
    against = conflicting(problem, problem.pretrain).all(dim=0)
    chance = 1 / problem.classes
    for r, seed in enumerate(problem.seeds):
        rows = int(against[r].sum())
        if not rows:
            continue
        rate = float(right[r][against[r]].double().mean())
        if rate > chance + 2 * math.sqrt(chance * (1 - chance) / rows):
            continue
        sentence = (
            f"pretrained, seed {seed}: is right about {rate:.1%} of the {rows:,} training rows that conflict with the "
            f"bias ({float(right[r].double().mean()):.1%} of all), expected clearly more than {chance:.1%}, which is "
            "chance: the network has learnt little but the bias, and no part of it can know more (train it for longer, "
            "or accept it with accept_vanilla: true)"
        )
        if not accept:
            raise InputError(sentence)
        LOG.warning("%s", sentence)
