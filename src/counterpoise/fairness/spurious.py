"""How much a classifier relies on a bias: its accuracy where the bias misleads, and what it reveals of the bias."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor
from torch.nn.functional import one_hot

from counterpoise.fairness._registry import describe, warn_undefined

SMALLEST = 1e-15
"""What probabilities are raised to before their logarithm is taken, as in the program of FFW's authors."""


def joint(guesses: Float[Tensor, "R B c"], b: Int[Tensor, "R B"]) -> Float[Tensor, "R C c"]:
    """Return p(b, b̂) = 1/N Σ_n 1[b_n = b] p_n(b̂): the share of rows with each value and, of these, of each guess."""
    values = one_hot(b.long(), guesses.shape[-1]).to(guesses.dtype)
    return values.mT @ guesses / guesses.shape[1]


@describe(
    title="Bias information",
    perfect=0.0,
    definition="Mutual information between a bias and a linear head's guess of it, over ln C: 0 nothing, 1 all of it.",
)
def information(guesses: Float[Tensor, "R B c"], b: Int[Tensor, "R B"]) -> Float[Tensor, "R"]:
    """I(b, b̂) / ln C, differentiable in the guesses: 0 if they contain no information about b, 1 if they determine it.

    On few rows it is biased upward, by about (C − 1)² / (2 N ln C): of 100 rows and ten values 0.18 for guesses that
    are independent of b.

    Args:
        guesses: probabilities of the C values of the bias for each row; one-hot for hard guesses.
    """
    p = joint(guesses, b).clamp(min=SMALLEST)
    apart = p.sum(dim=2, keepdim=True) * p.sum(dim=1, keepdim=True)
    return (p * (p / apart).log()).sum(dim=(1, 2)) / math.log(guesses.shape[-1])


def aligned_value(y: Int[Tensor, "n"], b: Int[Tensor, "n"], *, classes: int, values: int) -> Int64[Tensor, "k"]:
    """Return for each class the value of the bias that goes with it: the one that is most over-represented.

    Over what its share among all rows would give: a value that is frequent everywhere goes with no class. Where a
    value is the class's own in most rows (Biased-MNIST), that is the value; of CelebA's two, blond goes with women.
    """
    counts = torch.zeros(classes, values, dtype=torch.float64)
    counts.index_put_((y.long(), b.long()), torch.ones(len(y), dtype=torch.float64), accumulate=True)
    expected = counts.sum(dim=1, keepdim=True) * counts.sum(dim=0, keepdim=True) / max(len(y), 1)
    return (counts / expected.clamp(min=torch.finfo(torch.float64).tiny)).argmax(dim=1)


def alignment_cells(conflicting: Bool[Tensor, "K *batch n"]) -> Int64[Tensor, "*batch n"]:
    """Return the cell of each sample among 2^K: bit k says whether it conflicts with bias k."""
    bits = torch.arange(len(conflicting)).view(-1, *[1] * (conflicting.ndim - 1))
    return (conflicting.long() << bits).sum(dim=0)


def _accuracy(right: Bool[Tensor, "*#batch n"], rows: Bool[Tensor, "*#batch n"]) -> Float64[Tensor, "..."]:
    """Return the share of `rows` that is right; NaN where there are none."""
    return (right & rows).sum(dim=-1).double() / rows.sum(dim=-1)


@describe(
    title="Accuracy, bias-conflicting",
    perfect=1.0,
    definition="Accuracy on the samples whose bias does not have the value that goes with their class.",
)
def conflicting_accuracy(
    y: Int[Tensor, "*batch n"], prediction: Int[Tensor, "*batch n"], conflicting: Bool[Tensor, "*batch n"]
) -> Float64[Tensor, "*batch"]:
    """Accuracy where the bias misleads. Perfect: 1. NaN, with a warning, where no sample is conflicting."""
    value = _accuracy(y == prediction, conflicting)
    if value.isnan().any():
        warn_undefined("conflicting_accuracy", value, "a bias-conflicting sample")
    return value


@describe(
    title="Accuracy gap, aligned to conflicting",
    perfect=0.0,
    definition="Difference in accuracy between where a bias agrees with the class and where it misleads; the largest.",
)
def conflict_gap(
    y: Int[Tensor, "*batch n"], prediction: Int[Tensor, "*batch n"], conflicting: Bool[Tensor, "K *batch n"]
) -> Float64[Tensor, "*batch"]:
    """max_k |accuracy on samples aligned with bias k − accuracy on those that conflict with it|. Perfect: 0.

    It has two cells for each bias, whatever the number of its values: of ten values in ten classes every pair has a
    hundredth of the samples, in which differences as large as the tolerances of practice are noise.

    NaN, with a warning, where a bias has no aligned or no conflicting sample.
    """
    right = y == prediction
    value = (_accuracy(right, ~conflicting) - _accuracy(right, conflicting)).abs().amax(dim=0)
    if value.isnan().any():
        warn_undefined("conflict_gap", value, "an aligned and a conflicting sample of each bias")
    return value


@describe(
    title="Unbiased average",
    perfect=1.0,
    definition="Mean accuracy over the cells of samples that are aligned or conflicting with each bias.",
)
def unbiased_average(
    y: Int[Tensor, "*batch n"], prediction: Int[Tensor, "*batch n"], conflicting: Bool[Tensor, "K *batch n"]
) -> Float64[Tensor, "*batch"]:
    """Mean of the accuracies in the 2^K cells of aligned and conflicting samples (Multi-Color MNIST). Perfect: 1.

    NaN, with a warning, where a cell has no sample.
    """
    member = one_hot(alignment_cells(conflicting), 2 ** len(conflicting)).double()
    right = ((y == prediction).unsqueeze(-1) * member).sum(dim=-2)
    value = (right / member.sum(dim=-2)).mean(dim=-1)
    if value.isnan().any():
        warn_undefined("unbiased_average", value, "a cell of aligned and conflicting samples")
    return value
