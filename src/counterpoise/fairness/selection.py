"""Choosing a model under a tolerance for its bias, on validation data alone."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Int64, Integer
from torch import Tensor


def counts_within(
    y: Integer[Tensor, "m"],
    s: Integer[Tensor, "m"],
    prediction: Integer[Tensor, "V m"],
    subsets: Bool[Tensor, "T m"],
    *,
    groups: int,
    classes: int,
) -> Int64[Tensor, "T V G k k"]:
    """Count [group, true class, predicted class] of V models within each of T subsets of the same rows.

    `confusion_counts` of every subset at once, as matrix products: float32 counts exactly up to 2^24 rows.
    """
    cell = torch.nn.functional.one_hot(s.long() * classes + y.long(), groups * classes)  # m, G·k
    member = (subsets.unsqueeze(-1) & cell.bool()).to(torch.float32).transpose(0, 1).flatten(1)  # m, T·G·k
    counts = torch.stack([(prediction == c).to(torch.float32) @ member for c in range(classes)], dim=-1)
    return counts.unflatten(1, (len(subsets), groups, classes)).transpose(0, 1).round().long()


def untested(rows: Int[Tensor, "R m"], tested: Int[Tensor, "R t"]) -> Bool[Tensor, "R R m"]:
    """Return [replicate whose rows these are, replicate that chooses, row]: whether the latter is not tested on it.

    One replicate's validation part is too small to judge a way to train; all of them together are large enough. Rows of
    the replicate's test part are left out, so that they are never used to choose.

    Args:
        rows: numbers of the rows that each replicate's own models are judged by. tested: of its test rows.
    """
    return torch.stack([torch.stack([~torch.isin(members, test) for test in tested]) for members in rows])


def choose(
    err: Float[Tensor, "R V"], bias: Float[Tensor, "R V"], tolerance: float | Float[Tensor, "R"]
) -> tuple[Int64[Tensor, "R"], Bool[Tensor, "R"]]:
    """Return each replicate's model with the lowest error among those with |bias| ≤ `tolerance`, or its own one.

    Ties go to the first. Where none is within the tolerance, return the one with the lowest |bias|; ties go to the
    lowest error.

    Returns:
        The index of the chosen model, −1 where no model has both an error and a bias, and whether it is within the
        tolerance.
    """
    defined = ~(err.isnan() | bias.isnan())
    size = bias.abs().masked_fill(~defined, torch.inf)
    error = err.masked_fill(~defined, torch.inf)
    within = defined & (size <= (tolerance.unsqueeze(1) if isinstance(tolerance, Tensor) else tolerance))
    best_within = error.masked_fill(~within, torch.inf).argmin(dim=1)
    least = size.amin(dim=1, keepdim=True)
    nearest = error.masked_fill(size > least, torch.inf).argmin(dim=1)
    meets = within.any(dim=1)
    return torch.where(meets, best_within, nearest).masked_fill(~defined.any(dim=1), -1), meets
