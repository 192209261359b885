"""Group importance: the diagonal empirical Fisher information of a linear head, in closed form (WIN, Section 3.2)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Int32
from torch import Tensor

from counterpoise.nn.trees import is_sparse, leaf_sums, leaf_totals

ROWS_PER_CHUNK = 8192
"""Rows whose residuals are held at once: at 1000 classes 32 MiB."""


def group_fisher(
    features: Float[Tensor, "n d"] | Int32[Tensor, "n T"],
    weight: Float[Tensor, "d k"],
    bias: Float[Tensor, "k"],
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    *,
    groups: int,
) -> Float[Tensor, "G d k"]:
    """Return F[g, i, j] = mean over the rows n of group g of (x_ni δ_nj)², with δ = softmax(x W + b) − onehot(y).

    For a linear head the gradient of one row's cross-entropy is the outer product x δᵀ, so the diagonal of the
    empirical Fisher matrix is one product of squares, (X²)ᵀ Δ² / n_g: no gradient of any sample is ever formed.
    A group without rows has NaN. Of sparse indicators (`nn.trees`) x² is x: F of a leaf is the sum of δ² over its rows.
    """
    fisher = weight.new_zeros(groups, *weight.shape)
    for group in range(groups):
        members = (s == group).nonzero().squeeze(1)
        for rows in members.split(ROWS_PER_CHUNK):
            every = len(rows) == len(features)
            x, labels = (features, y) if every else (features.index_select(0, rows), y.index_select(0, rows))
            logits = bias + leaf_sums(x, weight) if is_sparse(x) else torch.addmm(bias, x, weight)
            residual = logits.softmax(dim=1)
            residual[torch.arange(len(rows)), labels] -= 1
            if is_sparse(x):
                fisher[group].add_(leaf_totals(x, residual.square_(), len(weight)))
            else:
                fisher[group].addmm_(x.square().T, residual.square_())
        fisher[group] /= len(members) if len(members) else torch.nan
    return fisher


def importance(fisher: Float[Tensor, "*batch G d k"]) -> Float[Tensor, "*batch G d"]:
    """Return I_g = sqrt(Σ_j F_g[i, j]), one number per input feature of the head (WIN, Eq. 1 and Section 3.3)."""
    return fisher.sum(dim=-1).sqrt()
