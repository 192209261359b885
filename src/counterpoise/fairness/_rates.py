"""Rates per group, the samples they are of, and the largest difference of two groups: the parts metrics are made of."""

from __future__ import annotations

import torch
from jaxtyping import Float64, Num
from torch import Tensor

from counterpoise.errors import InputError


def selection_rates(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch G c"]:
    """P(ŷ = c | s), for the c positive classes; NaN for an absent group."""
    predicted = counts.double().sum(-2)
    return _positive(predicted / predicted.sum(-1, keepdim=True))


def true_positive_rates(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch G c"]:
    """P(ŷ = c | y = c, s), for the c positive classes; NaN where a group has no sample of the class."""
    return _positive(recalls(counts))


def false_positive_rates(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch G c"]:
    """P(ŷ = c | y ≠ c, s), for the c positive classes; NaN where a group has no sample outside the class."""
    counts = counts.double()
    false_positives = counts.sum(-2) - hits(counts)
    return _positive(false_positives) / negatives(counts)


def members(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch G 1"]:
    """Samples of each group: what selection rates are of."""
    return counts.double().sum((-2, -1)).unsqueeze(-1)


def positives(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch G c"]:
    """Samples of each group in each positive class: what true positive rates are of."""
    return _positive(counts.double().sum(-1))


def negatives(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch G c"]:
    """Samples of each group outside each positive class: what false positive rates are of."""
    return members(counts) - positives(counts)


def hits(counts: Num[Tensor, "*any k k"]) -> Num[Tensor, "*any k"]:
    """Correctly predicted samples of each class."""
    return counts.diagonal(dim1=-2, dim2=-1)


def recalls(counts: Num[Tensor, "*any k k"]) -> Float64[Tensor, "*any k"]:
    """P(ŷ = c | y = c) for every class; NaN for an absent one."""
    counts = counts.double()
    return hits(counts) / counts.sum(-1)


def accuracies(counts: Num[Tensor, "*any k k"]) -> Float64[Tensor, "*any"]:
    """P(ŷ = y); NaN without samples."""
    counts = counts.double()
    return hits(counts).sum(-1) / counts.sum((-2, -1))


def pair_differences(rates: Float64[Tensor, "*batch G c"]) -> Float64[Tensor, "*batch P c"]:
    """rate of group i − rate of group j, for the P pairs i < j.

    Raises:
        InputError: if there are fewer than two groups to compare.
    """
    first, second = _pairs(rates)
    return first - second


def pair_sums(variances: Float64[Tensor, "*batch G c"]) -> Float64[Tensor, "*batch P c"]:
    """Variance of each of `pair_differences`, of independent rates with these variances."""
    first, second = _pairs(variances)
    return first + second


def largest(values: Float64[Tensor, "*batch P c"]) -> Float64[Tensor, "*batch"]:
    """The entry of largest absolute value, with its sign; NaN if any entry is."""
    entries = values.flatten(-2)
    return entries.gather(-1, entries.abs().argmax(-1, keepdim=True)).squeeze(-1)


def _pairs(per_group: Tensor) -> tuple[Tensor, Tensor]:
    groups = per_group.shape[-2]
    if groups < 2:
        raise InputError(f"A comparison of groups got counts for {groups} group, expected at least 2.")
    first, second = torch.triu_indices(groups, groups, offset=1, device=per_group.device)
    return per_group[..., first, :], per_group[..., second, :]


def _positive(per_class: Tensor) -> Tensor:
    """Keep the positive classes of the last axis: class 1 of two, otherwise every class in turn against the rest."""
    return per_class[..., 1:] if per_class.shape[-1] == 2 else per_class
