"""What a new last layer on the frozen features reaches: a plain refit, WIN's factors, and a refit on erased features.

The repairs of the first paper (WIN) and of its peers (LEACE), on the problem of the third.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from counterpoise.methods.erasure import fit_eraser
from counterpoise.methods.fisher import group_fisher, importance
from counterpoise.methods.penalties import cross_entropy
from counterpoise.methods.subnetworks.problem import Debiasing
from counterpoise.methods.variants import Variant
from counterpoise.nn import Examples, Factors, HeadBank, Optimizer, fit
from counterpoise.nn.networks import State


@dataclass(frozen=True)
class RefitSettings:
    """How last layers are trained on the unbiased rows: Adam; the epoch with the lowest validation loss is kept.

    Attributes:
        alpha: of WIN, where the bias has two values.
    """

    epochs: int = 30
    batch_size: int = 100
    lr: float = 1e-3
    alpha: float = 0.5


@dataclass(frozen=True, eq=False)
class LastLayer:
    """z ↦ logits: the features, an eraser's affine map if there is one, and the head."""

    head: Factors
    erased: bool = False


def own_layer(problem: Debiasing, state: State, last: str) -> tuple[Float[Tensor, "R d k"], Float[Tensor, "R k"]]:
    """Return the last layer of networks as W [R, d, k] and b, with one column per class.

    A network for two classes has one logit, that of class 1; its softmax with a logit of 0 for class 0 is the same.
    """
    weight, bias = state[last].mT, state[last.removesuffix("weight") + "bias"]
    return (pad(weight, (1, 0)), pad(bias, (1, 0))) if weight.shape[-1] == 1 else (weight, bias)


def refit(
    problem: Debiasing,
    z: Float[Tensor, "R n d"],
    weight: Float[Tensor, "R d k"],
    bias: Float[Tensor, "R k"],
    settings: RefitSettings,
    variant: Variant,
) -> Factors:
    """Train a last layer of one replicate from a variant's factors of the frozen one (`tl`, `svd`, `win`).

    Args:
        z: features of the rows to fit, then of those to choose the epoch on: `problem.validation`.
        weight, bias: of the frozen last layer.
    """
    y, s = problem.labels(problem.validation)
    (y,), (s,), fitted = y, s, problem.fit.shape[1]
    fisher = group_fisher(
        z[0, :fitted], weight[0], bias[0], y[:fitted], s[:fitted], groups=problem.values[0]
    ).unsqueeze(0)
    bank = HeadBank({variant.name: variant.factors(weight, bias, importance(fisher))})
    examples, rows = Examples(z, y, s), torch.arange(len(y)).unsqueeze(0)
    fit(
        bank,
        examples,
        rows[:, :fitted],
        loss=cross_entropy,
        optimizer=Optimizer(lr=settings.lr),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        generators=problem.generators(f"{variant.name}: batches"),
        validation=rows[:, fitted:],
        criterion=cross_entropy,
        classes=bias.shape[-1],
    )
    return bank.heads()[variant.name]


def erased(problem: Debiasing, z: Float[Tensor, "R m d"], fitted: Float[Tensor, "R n d"]) -> Float[Tensor, "R m d"]:
    """Return features from which the bias can no longer be read linearly (LEACE), fitted to those of `problem.fit`."""
    _, s = problem.labels(problem.fit)
    return fit_eraser(fitted, s)(z)


def logits_of(head: Factors, z: Float[Tensor, "R n d"]) -> Float[Tensor, "R n k"]:
    """Return what a last layer says of features."""
    hidden = z @ head.first
    return (hidden if head.second is None else hidden @ head.second) + head.bias.unsqueeze(1)
