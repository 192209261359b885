"""What a new last layer on the frozen features reaches: a refit, f+SVD's and WIN's factors, LEACE, a bank of heads.

The repairs of the first paper (WIN), of its peers (LEACE) and of this project (the bank), on the problem of the third.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from counterpoise.bounds import Bounded, Count, NotNegative, Positive, Share, Values, require_increasing
from counterpoise.errors import InputError
from counterpoise.fairness import alignment_cells, conflict_gap
from counterpoise.fairness.selection import choose
from counterpoise.methods.gates.biases import biases_of, conflicting
from counterpoise.methods.gates.heads import HeadSettings
from counterpoise.methods.gates.judging import result_of
from counterpoise.methods.gates.vanilla import Frozen, frozen
from counterpoise.methods.heads.erasure import fit_eraser
from counterpoise.methods.heads.fisher import group_fisher, importance
from counterpoise.methods.heads.penalties import cross_entropy, penalty
from counterpoise.methods.heads.variants import Variant
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, Value, prefixed
from counterpoise.nn import Examples, Factors, HeadBank, Optimizer, fit
from counterpoise.nn.networks import Output, State
from counterpoise.nn.training import Loss

Erase = Callable[[Tensor], Tensor]
"""Features [R, m, d] to features from which no bias can be read linearly."""


@dataclass(frozen=True)
class RefitSettings(Bounded):
    """How last layers are trained on the unbiased rows: Adam; the epoch with the lowest validation loss is kept.

    The features of pooled maps are small numbers: with a hundredth of these steps a refit has half of what it comes to.

    Attributes:
        alpha: of WIN, where the bias has two values.
        judge: of the heads that the finished network is judged by.
    """

    block: ClassVar[str] = "refit"
    epochs: Count = 200
    batch_size: Count = 1000
    lr: Positive = 0.03
    alpha: Share = 0.5
    judge: HeadSettings = field(default_factory=HeadSettings)


@dataclass(frozen=True)
class BankSettings(Bounded):
    """A bank of last layers with penalties of all strengths, from which the tolerance chooses; METHODS.md part 1.

    Attributes:
        strengths: λ of equalized odds between rows that a bias agrees with and rows that it misleads, the mean over the
            biases; one head each on the features as they are, and one on features from which the biases were erased.
        tolerance: of the gap in accuracy between the two, on validation rows, the largest over the biases.
        batch_size: large, since a batch is to have rows of each class that the bias agrees with.
    """

    block: ClassVar[str] = "bank"
    strengths: Values[NotNegative] = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
    tolerance: NotNegative = 0.05
    epochs: Count = 200
    batch_size: Count = 1000
    lr: Positive = 0.03
    judge: HeadSettings = field(default_factory=HeadSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_increasing("strengths", self.strengths)


def refit(problem: Problem, settings: RefitSettings, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Train a new last layer on the frozen features: from f+SVD's factors, WIN's, or for `refit` the layer itself."""
    outputs, (weight, bias) = frozen(problem), frozen_layer(problem)
    rank = min(weight.shape[-2:])
    factored = {"svd": Variant("svd", rank=rank), "win": Variant("win", rank=rank, alpha=settings.alpha)}
    variant = factored.get(problem.method, Variant("tl"))
    head = train_last_layer(problem, _features(outputs), weight, bias, settings, variant)
    return [_with_head(problem, head, outputs.fit.features, outputs.test.features, settings.judge, variant=variant)]


def erased(problem: Problem, settings: RefitSettings, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Erase the biases linearly from the frozen features (LEACE), and train a new last layer on what remains."""
    outputs, (weight, bias) = frozen(problem), frozen_layer(problem)
    erase = fit_erasers(problem, outputs.fit.features)
    head = train_last_layer(problem, erase(_features(outputs)), weight, bias, settings, Variant("tl"))
    return [_with_head(problem, head, outputs.fit.features, outputs.test.features, settings.judge, erase)]


def bank(problem: Problem, settings: BankSettings, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Train last layers with penalties of all strengths, with and without the biases, and let the tolerance choose."""
    outputs, (weight, bias) = frozen(problem), frozen_layer(problem)
    erase, z = fit_erasers(problem, outputs.fit.features), _features(outputs)
    head, erases = choose_from_bank(problem, z, erase(z), weight, bias, settings)
    readers = settings.judge
    return [_with_head(problem, head, outputs.fit.features, outputs.test.features, readers, erase if erases else None)]


def frozen_layer(problem: Problem) -> tuple[Float[Tensor, "R d k"], Float[Tensor, "R k"]]:
    """Return the last layer of the base; see `head_layer`."""
    return head_layer(problem.base, problem.network().maskable()[-1])


def _features(outputs: Frozen) -> Float[Tensor, "R n d"]:
    return torch.cat([outputs.fit.features, outputs.select.features], dim=1)


def _with_head(
    problem: Problem,
    head: Factors,
    fitted: Float[Tensor, "R n d"],
    tested: Float[Tensor, "R t d"],
    readers: HeadSettings,
    erase: Erase | None = None,
    variant: Variant | None = None,
) -> Result:
    """Judge a new last layer on features, erased ones if it reads such; as a result it reads the frozen ones."""
    if erase is not None:
        fitted, tested = erase(fitted), erase(tested)
    learnt, unseen = (Output(logits_of(head, features), features) for features in (fitted, tested))
    layer = head if erase is None else folded(head, erase)
    factors = {"first": layer.first, "bias": layer.bias} | ({} if layer.second is None else {"second": layer.second})
    facts: dict[str, Value] = {"alpha": variant.alpha, "rank": variant.rank} if variant is not None else {}
    return result_of(problem, learnt, unseen, readers, facts, tensors=prefixed("head", factors))


STREAM = "frontier"
"""The name of the bank's random stream, by which published results were drawn."""


def head_layer(state: State, last: str) -> tuple[Float[Tensor, "R d k"], Float[Tensor, "R k"]]:
    """Return the last layer of networks as W [R, d, k] and b, with one column per class.

    A network for two classes has one logit, that of class 1; its softmax with a logit of 0 for class 0 is the same.
    """
    weight, bias = state[last].mT, state[last.removesuffix("weight") + "bias"]
    return (pad(weight, (1, 0)), pad(bias, (1, 0))) if weight.shape[-1] == 1 else (weight, bias)


def train_last_layer(
    problem: Problem,
    z: Float[Tensor, "1 n d"],
    weight: Float[Tensor, "1 d k"],
    bias: Float[Tensor, "1 k"],
    settings: RefitSettings,
    variant: Variant,
) -> Factors:
    """Train a last layer of one replicate from a variant's factors of the frozen one (`tl`, `svd`, `win`).

    Args:
        z: features of the rows to fit, then of those to choose the epoch on: `problem.dval`.
        weight, bias: of the frozen last layer.
    """
    y, s = problem.labels(problem.dval)
    fitted = problem.fit.shape[1]
    fisher = group_fisher(
        z[0, :fitted], weight[0], bias[0], y[0, :fitted], s[0, :fitted], groups=problem.values[0]
    ).unsqueeze(0)
    bank = HeadBank({variant.name: variant.factors(weight, bias, importance(fisher))})
    return _trained(problem, bank, z, cross_entropy, settings, variant.name)[variant.name]


def choose_from_bank(
    problem: Problem,
    z: Float[Tensor, "1 n d"],
    without: Float[Tensor, "1 n d"],
    weight: Float[Tensor, "1 d k"],
    bias: Float[Tensor, "1 k"],
    settings: BankSettings,
) -> tuple[Factors, bool]:
    """Train last layers of one replicate with penalties of all strengths, at once, and choose one on `problem.select`.

    The most accurate of those within the tolerance; where none is, the one that comes nearest.

    Args:
        without: the features z with the biases erased. All else as in `train_last_layer`.

    Returns:
        The layer, and whether it is one that reads erased features.

    Raises:
        InputError: a bias agrees with all rows to choose on, or with none.
    """
    fitted, misled_rows = problem.fit.shape[1], conflicting(problem, problem.dval)
    y, misled = problem.labels(problem.select)[0], misled_rows[..., fitted:]
    cells = alignment_cells(misled_rows)
    names = [f"{strength:g}" for strength in settings.strengths]
    heads: list[Factors] = []
    decisions = []
    for features in (z, without):
        bank = HeadBank({name: Factors(first=weight, bias=bias) for name in names})
        strengths = torch.tensor([settings.strengths[names.index(name)] for name in bank.names])
        loss = between_alignments(strengths, len(misled))
        trained = _trained(problem, bank, features, loss, settings, STREAM, cells)
        heads += [trained[name] for name in names]
        decisions += [logits_of(trained[name], features[:, fitted:]).argmax(dim=-1) for name in names]
    decided = torch.cat(decisions)
    wrong = (decided != y).double().mean(dim=-1)
    gap = conflict_gap(y.expand_as(decided), decided, misled.expand(-1, *decided.shape))
    chosen = int(choose(wrong.unsqueeze(0), gap.unsqueeze(0), settings.tolerance)[0])
    if chosen < 0:
        raise InputError(
            "bank: the rows to choose on have none that a bias agrees with, or none that it misleads, expected both"
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
    problem: Problem,
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
    (y,), (groups,) = problem.labels(problem.dval)
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


def fit_erasers(problem: Problem, fitted: Float[Tensor, "R n d"]) -> Erase:
    """Return the map to features from which no bias can be read linearly (LEACE), fitted to those of `problem.fit`.

    One bias after the other: what has no covariance with a bias has none after an affine map either.
    """
    erasers = []
    for bias in biases_of(problem, problem.fit):
        erasers.append(fit_eraser(fitted, bias))
        fitted = erasers[-1](fitted)
    return lambda z: reduce(lambda features, eraser: eraser(features), erasers, z)


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
