"""What a model is trained on: cross-entropy, and cross-entropy with a fairness penalty (WIN, Sections 4.3 and 4.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

Constraint = Literal["dp", "eo"]


def cross_entropy(
    logits: Float[Tensor, "R V B k"], y: Int[Tensor, "R B"], s: Int[Tensor, "R B"] | None = None
) -> Float[Tensor, "R V"]:
    """Return each model's mean cross-entropy. `s` is not used; it makes this a loss like the others."""
    # Classes before rows: a softmax over a short last axis is slow, one across long rows is not.
    log_probability = functional.log_softmax(logits.mT.contiguous(), dim=-2)  # R, V, k, B
    labels = y[:, None, None, :].expand(*logits.shape[:2], 1, logits.shape[2])
    return -log_probability.gather(-2, labels).squeeze(-2).mean(dim=-1)


def soft_rates(
    probability: Float[Tensor, "R V B"], cell: Int[Tensor, "R B"], *, cells: int
) -> tuple[Float[Tensor, "R V cells"], Bool[Tensor, "R 1 cells"]]:
    """Return the mean probability in each cell, and which cells the batch has any row of."""
    member = functional.one_hot(cell, cells).to(probability.dtype)  # R, B, cells
    rows = member.sum(dim=1, keepdim=True)
    return torch.bmm(probability, member) / rows.clamp(min=1), rows > 0


def _largest_gap(rates: Float[Tensor, "*batch G"], present: Bool[Tensor, "*#batch G"]) -> Float[Tensor, "*batch"]:
    """Return the largest gap between any two groups that are present, 0 if fewer than two are."""
    high = rates.masked_fill(~present, 0.0).amax(dim=-1)  # rates are probabilities: 0 and 1 never win against one
    low = rates.masked_fill(~present, 1.0).amin(dim=-1)
    return torch.where(present.sum(dim=-1) > 1, high - low, 0.0)


def penalty(
    logits: Float[Tensor, "R V B k"],
    y: Int[Tensor, "R B"],
    s: Int[Tensor, "R B"],
    *,
    constraint: Constraint,
    groups: int,
) -> Float[Tensor, "R V"]:
    """Return |mean p̂(s=1) − mean p̂(s=2)| (dp), or the same within each true class, summed (eo).

    p̂ is the softmax score of the positive class, here the second. More than two groups: the largest gap between any
    two. A group or cell that a batch lacks takes no part in it; it is never taken for a rate of 0.
    """
    probability = functional.softmax(logits, dim=-1)[..., 1]
    if constraint == "dp":
        return _largest_gap(*soft_rates(probability, s, cells=groups))
    classes = logits.shape[-1]
    rates, present = soft_rates(probability, y * groups + s, cells=classes * groups)
    return _largest_gap(rates.unflatten(-1, (classes, groups)), present.unflatten(-1, (classes, groups))).sum(dim=-1)


def penalized(
    constraint: Constraint, strength: float | Float[Tensor, "V"], *, groups: int
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss CE + λ · penalty. `strength` λ is one number, or one for each variant."""

    def loss(logits: Float[Tensor, "R V B k"], y: Int[Tensor, "R B"], s: Int[Tensor, "R B"]) -> Float[Tensor, "R V"]:
        return cross_entropy(logits, y) + strength * penalty(logits, y, s, constraint=constraint, groups=groups)

    return loss
