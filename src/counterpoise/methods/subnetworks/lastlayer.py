"""What a new last layer on the frozen features reaches: a plain refit, WIN's factors, a bank of penalised heads, LEACE.

The repairs of the first paper (WIN), of its peers (LEACE) and of this project (the bank), on the problem of the third.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from counterpoise.errors import InputError
from counterpoise.fairness import conflict_gap
from counterpoise.fairness.selection import choose
from counterpoise.methods.erasure import fit_eraser
from counterpoise.methods.fisher import group_fisher, importance
from counterpoise.methods.penalties import cross_entropy, penalized
from counterpoise.methods.subnetworks.problem import Debiasing
from counterpoise.methods.variants import Variant
from counterpoise.nn import Examples, Factors, HeadBank, Optimizer, fit
from counterpoise.nn.networks import State
from counterpoise.nn.training import Loss


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


@dataclass(frozen=True)
class BankSettings:
    """A bank of last layers with penalties of all strengths, from which the tolerance chooses; METHODS.md part 1.

    Attributes:
        strengths: λ of equalized odds between the values of the first bias, one head each.
        tolerance: of the gap in accuracy between rows that a bias agrees with and rows that it misleads, on validation
            rows, the largest over the biases.
        batch_size: large, since a batch is to have rows of each class with each value.
    """

    strengths: tuple[float, ...] = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
    tolerance: float = 0.05
    epochs: int = 60
    batch_size: int = 1000
    lr: float = 1e-2


def own_layer(problem: Debiasing, state: State, last: str) -> tuple[Float[Tensor, "R d k"], Float[Tensor, "R k"]]:
    """Return the last layer of networks as W [R, d, k] and b, with one column per class.

    A network for two classes has one logit, that of class 1; its softmax with a logit of 0 for class 0 is the same.
    """
    weight, bias = state[last].mT, state[last.removesuffix("weight") + "bias"]
    return (pad(weight, (1, 0)), pad(bias, (1, 0))) if weight.shape[-1] == 1 else (weight, bias)


def refit(
    problem: Debiasing,
    z: Float[Tensor, "1 n d"],
    weight: Float[Tensor, "1 d k"],
    bias: Float[Tensor, "1 k"],
    settings: RefitSettings,
    variant: Variant,
) -> Factors:
    """Train a last layer of one replicate from a variant's factors of the frozen one (`tl`, `svd`, `win`).

    Args:
        z: features of the rows to fit, then of those to choose the epoch on: `problem.validation`.
        weight, bias: of the frozen last layer.
    """
    y, s = problem.labels(problem.validation)
    fitted = problem.fit.shape[1]
    fisher = group_fisher(
        z[0, :fitted], weight[0], bias[0], y[0, :fitted], s[0, :fitted], groups=problem.values[0]
    ).unsqueeze(0)
    bank = HeadBank({variant.name: variant.factors(weight, bias, importance(fisher))})
    return _trained(problem, bank, z, cross_entropy, settings, variant.name)[variant.name]


def frontier(
    problem: Debiasing,
    z: Float[Tensor, "1 n d"],
    weight: Float[Tensor, "1 d k"],
    bias: Float[Tensor, "1 k"],
    settings: BankSettings,
) -> Factors:
    """Train last layers of one replicate with penalties of all strengths, at once, and choose one on `problem.select`.

    The most accurate of those within the tolerance; where none is, the one that comes nearest. Arguments as in `refit`.
    """
    names = [f"{strength:g}" for strength in settings.strengths]
    bank = HeadBank({name: Factors(first=weight, bias=bias) for name in names})
    order = [settings.strengths[names.index(name)] for name in bank.names]
    loss = penalized({"eo": torch.tensor(order)}, groups=problem.values[0])
    heads = _trained(problem, bank, z, loss, settings, "frontier")
    said = torch.cat([logits_of(heads[name], z[:, problem.fit.shape[1] :]).argmax(dim=-1) for name in names])
    y, _ = problem.labels(problem.select)
    wrong = (said != y).double().mean(dim=-1)
    gap = conflict_gap(y.expand_as(said), said, problem.conflicting(problem.select).expand(-1, *said.shape))
    chosen, _ = choose(wrong.unsqueeze(0), gap.unsqueeze(0), settings.tolerance)
    if int(chosen) < 0:
        raise InputError(
            "subnetworks.bank: the rows to choose on have none that a bias agrees with, or none that it misleads, "
            "expected both"
        )
    return heads[names[int(chosen)]]


def _trained(
    problem: Debiasing,
    bank: HeadBank,
    z: Float[Tensor, "1 n d"],
    loss: Loss,
    settings: RefitSettings | BankSettings,
    name: str,
) -> dict[str, Factors]:
    """Train a bank on the rows to fit; each head keeps the epoch with its lowest loss on those to choose on."""
    (y,), (s,) = problem.labels(problem.validation)
    rows, fitted = torch.arange(len(y)).unsqueeze(0), problem.fit.shape[1]
    fit(
        bank,
        Examples(z, y, s),
        rows[:, :fitted],
        loss=loss,
        optimizer=Optimizer(lr=settings.lr),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        generators=problem.generators(f"{name}: batches"),
        validation=rows[:, fitted:],
        criterion=loss,
        classes=bank.classes,
    )
    return bank.heads()


def erased(problem: Debiasing, z: Float[Tensor, "R m d"], fitted: Float[Tensor, "R n d"]) -> Float[Tensor, "R m d"]:
    """Return features from which no bias can be read linearly any more (LEACE), fitted to those of `problem.fit`.

    One bias after the other: what has no covariance with a bias has none after an affine map either.
    """
    for bias in problem.biases_of(problem.fit):
        eraser = fit_eraser(fitted, bias)
        z, fitted = eraser(z), eraser(fitted)
    return z


def logits_of(head: Factors, z: Float[Tensor, "R n d"]) -> Float[Tensor, "R n k"]:
    """Return what a last layer says of features."""
    hidden = z @ head.first
    return (hidden if head.second is None else hidden @ head.second) + head.bias.unsqueeze(1)
