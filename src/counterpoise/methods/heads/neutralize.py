"""Neutralize: make one importance of those of all groups (WIN, Eq. 2)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Neutralizer = Literal["mean", "harmonic", "minimum"]

FLOOR = 1e-6
"""Importances below this share of the largest are raised to it: a dead unit has importance 0, and the weighted SVD
divides by it (a choice; the paper is silent)."""


def neutralize(
    importance: Float[Tensor, "*batch G d"],
    *,
    alpha: float = 0.5,
    neutralizer: Neutralizer = "mean",
    floor: float = FLOOR,
) -> Float[Tensor, "*batch d"]:
    """Combine the groups' importances into one.

    `mean` is Eq. 2: α I_1 + (1 − α) I_2 for two groups, equal weights for more. `harmonic` and `minimum` do what the
    paper's text says but its mean does not: a feature that is unimportant to either group is ignored. They treat all
    groups alike; α is the mean's.

    A group without rows has NaN for its importance (`group_fisher`) and is left out: the others are combined.
    """
    groups = importance.shape[-2]
    there = ~importance.isnan()
    if neutralizer == "mean":
        shares = importance.new_tensor([alpha, 1 - alpha] if groups == 2 else [1 / groups] * groups).unsqueeze(-1)
        # α may give all weight to the group that has no rows: then the other one counts.
        weights = torch.where((shares * there).sum(dim=-2, keepdim=True) > 0, shares, 1.0) * there
        total = torch.where(there.all(dim=-2), 1.0, weights.sum(dim=-2))
        combined = (torch.where(there, importance, 0.0) * weights).sum(dim=-2) / total
    elif neutralizer == "harmonic":
        combined = there.sum(dim=-2) / torch.where(there, importance.reciprocal(), 0.0).sum(dim=-2)
    else:
        combined = importance.masked_fill(~there, torch.inf).amin(dim=-2)
    return torch.maximum(combined, floor * combined.amax(dim=-1, keepdim=True))
