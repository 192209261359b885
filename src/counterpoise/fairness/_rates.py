"""Rates per group, and the largest difference between two groups: the parts the metrics are made of."""

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
    negatives = counts.sum((-2, -1)).unsqueeze(-1) - counts.sum(-1)
    return _positive(false_positives / negatives)


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
    groups = rates.shape[-2]
    if groups < 2:
        raise InputError(f"A comparison of groups got counts for {groups} group, expected at least 2.")
    first, second = torch.triu_indices(groups, groups, offset=1, device=rates.device)
    return rates[..., first, :] - rates[..., second, :]


def largest(values: Float64[Tensor, "*batch P c"]) -> Float64[Tensor, "*batch"]:
    """The entry of largest absolute value, with its sign; NaN if any entry is."""
    entries = values.flatten(-2)
    return entries.gather(-1, entries.abs().argmax(-1, keepdim=True)).squeeze(-1)


def _positive(per_class: Tensor) -> Tensor:
    """Keep the positive classes of the last axis: class 1 of two, otherwise every class in turn against the rest."""
    return per_class[..., 1:] if per_class.shape[-1] == 2 else per_class
