"""What a new last layer on the frozen features reaches: a refit, f+SVD's and WIN's factors, LEACE, a bank of heads.

The repairs of the first paper (WIN), of its peers (LEACE) and of this project (the bank), on the problem of the third.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from counterpoise.errors import InputError
from counterpoise.fairness import alignment_cells, conflict_gap
from counterpoise.fairness.selection import choose
from counterpoise.methods.gates.problem import Debiasing
from counterpoise.methods.heads.erasure import fit_eraser
from counterpoise.methods.heads.fisher import group_fisher, importance
from counterpoise.methods.heads.penalties import cross_entropy, penalty
from counterpoise.methods.heads.variants import Variant
from counterpoise.nn import Examples, Factors, HeadBank, Optimizer, fit
from counterpoise.nn.networks import State
from counterpoise.nn.training import Loss

Erase = Callable[[Tensor], Tensor]
"""Features [R, m, d] to features from which no bias can be read linearly."""


@dataclass(frozen=True)
class RefitSettings:
    """How last layers are trained on the unbiased rows: Adam; the epoch with the lowest validation loss is kept.

    The features of pooled maps are small numbers: with a hundredth of these steps a refit has half of what it comes to.

    Attributes:
        alpha: of WIN, where the bias has two values.
    """

    epochs: int = 200
    batch_size: int = 1000
    lr: float = 0.03
    alpha: float = 0.5


@dataclass(frozen=True)
class BankSettings:
    """A bank of last layers with penalties of all strengths, from which the tolerance chooses; METHODS.md part 1.

    Attributes:
        strengths: λ of equalized odds between rows that a bias agrees with and rows that it misleads, the mean over the
            biases; one head each on the features as they are, and one on features from which the biases were erased.
        tolerance: of the gap in accuracy between the two, on validation rows, the largest over the biases.
        batch_size: large, since a batch is to have rows of each class that the bias agrees with.
    """

    strengths: tuple[float, ...] = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
    tolerance: float = 0.05
    epochs: int = 200
    batch_size: int = 1000
    lr: float = 0.03


def own_layer(state: State, last: str) -> tuple[Float[Tensor, "R d k"], Float[Tensor, "R k"]]:
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
    without: Float[Tensor, "1 n d"],
    weight: Float[Tensor, "1 d k"],
    bias: Float[Tensor, "1 k"],
    settings: BankSettings,
) -> tuple[Factors, bool]:
    """Train last layers of one replicate with penalties of all strengths, at once, and choose one on `problem.select`.

    The most accurate of those within the tolerance; where none is, the one that comes nearest.

    Args:
        without: the features z with the biases erased. All else as in `refit`.

    Returns:
        The layer, and whether it is one that reads erased features.

    Raises:
        InputError: a bias agrees with all rows to choose on, or with none.
    """
    fitted, conflicting = problem.fit.shape[1], problem.conflicting(problem.validation)
    y, misled = problem.labels(problem.select)[0], conflicting[..., fitted:]
    cells = alignment_cells(conflicting)
    names = [f"{strength:g}" for strength in settings.strengths]
    heads: list[Factors] = []
    said = []
    for features in (z, without):
        bank = HeadBank({name: Factors(first=weight, bias=bias) for name in names})
        strengths = torch.tensor([settings.strengths[names.index(name)] for name in bank.names])
        loss = between_alignments(strengths, len(misled))
        trained = _trained(problem, bank, features, loss, settings, "frontier", cells)
        heads += [trained[name] for name in names]
        said += [logits_of(trained[name], features[:, fitted:]).argmax(dim=-1) for name in names]
    decided = torch.cat(said)
    wrong = (decided != y).double().mean(dim=-1)
    gap = conflict_gap(y.expand_as(decided), decided, misled.expand(-1, *decided.shape))
    chosen = int(choose(wrong.unsqueeze(0), gap.unsqueeze(0), settings.tolerance)[0])
    if chosen < 0:
        raise InputError(
            "subnetworks.bank: the rows to choose on have none that a bias agrees with, or none that it misleads, "
            "expected both"
        )
    return heads[chosen], chosen >= len(names)


def between_alignments(strengths: Float[Tensor, "V"], biases: int) -> Loss:
    """Return CE + λ · the mean over the biases of equalized odds between rows that agree with it and rows it misleads.

    Of ten values of a bias in ten classes a batch of a thousand rows has ten for each pair; the largest gap between so
    small cells is mostly noise, and what lowers it is to recognise nothing.

    Args:
        biases: the loss takes for `s` a number whose bit k says whether the row conflicts with bias k.
    """

    def loss(logits: Float[Tensor, "R V B k"], y: Int[Tensor, "R B"], s: Int[Tensor, "R B"]) -> Float[Tensor, "R V"]:
        gaps = [penalty(logits, y, (s >> k) & 1, constraint="eo", groups=2) for k in range(biases)]
        return cross_entropy(logits, y) + strengths * torch.stack(gaps).mean(dim=0)

    return loss


def _trained(
    problem: Debiasing,
    bank: HeadBank,
    z: Float[Tensor, "1 n d"],
    loss: Loss,
    settings: RefitSettings | BankSettings,
    name: str,
    s: Int[Tensor, "1 n"] | None = None,
) -> dict[str, Factors]:
    """Train a bank on the rows to fit; each head keeps the epoch with its lowest loss on those to choose on.

    `s` is what the loss takes for the groups, by default the groups.
    """
    (y,), (groups,) = problem.labels(problem.validation)
    rows, fitted = torch.arange(len(y)).unsqueeze(0), problem.fit.shape[1]
    fit(
        bank,
        Examples(z, y, groups if s is None else s[0]),
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


def fit_erasers(problem: Debiasing, fitted: Float[Tensor, "R n d"]) -> Erase:
    """Return the map to features from which no bias can be read linearly (LEACE), fitted to those of `problem.fit`.

    One bias after the other: what has no covariance with a bias has none after an affine map either.
    """
    erasers = []
    for bias in problem.biases_of(problem.fit):
        erasers.append(fit_eraser(fitted, bias))
        fitted = erasers[-1](fitted)
    return lambda z: reduce(lambda left, eraser: eraser(left), erasers, z)


def folded(head: Factors, erase: Erase) -> Factors:
    """Return the last layer that says of features what `head` says of them erased, which is an affine map of them."""
    replicates, d = head.first.shape[:2]
    shift = erase(head.first.new_zeros(replicates, 1, d))
    linear = erase(torch.eye(d).expand(replicates, d, d).to(head.first)) - shift
    bias = logits_of(head, shift).squeeze(1)
    return Factors(first=linear @ head.first, bias=bias, second=head.second)


def logits_of(head: Factors, z: Float[Tensor, "R n d"]) -> Float[Tensor, "R n k"]:
    """Return what a last layer says of features."""
    hidden = z @ head.first
    return (hidden if head.second is None else hidden @ head.second) + head.bias.unsqueeze(1)
