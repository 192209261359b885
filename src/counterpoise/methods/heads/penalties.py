"""Losses: cross-entropy, and cross-entropy with a fairness penalty (WIN, Sections 4.3 and 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from counterpoise.bounds import NotNegative
from counterpoise.fairness import Compared
from counterpoise.methods.gaps import largest_gap, soft_rates
from counterpoise.nn.linalg import COLUMN_BLOCK, product

Constraint = Literal["dp", "eo"]
CONSTRAINTS: tuple[Constraint, ...] = get_args(Constraint)


@dataclass(frozen=True)
class Penalty:
    """The penalty that a network is pretrained with (WIN, Section 4.3); a strength of 0 is none."""

    constraint: Constraint
    strength: NotNegative


def strengths_of(variants: Sequence[tuple[Constraint | None, float]]) -> dict[Constraint, float | Float[Tensor, "V"]]:
    """Return λ of each constraint in every variant, which has one constraint, or None."""
    return {
        name: torch.tensor([strength if constraint == name else 0.0 for constraint, strength in variants])
        for name in CONSTRAINTS
    }


def cross_entropy(
    logits: Float[Tensor, "R V B k"],
    y: Int[Tensor, "R B"],
    s: Int[Tensor, "R B"] | None = None,
    *,
    class_weights: Float[Tensor, "k"] | None = None,
) -> Float[Tensor, "R V"]:
    """Return each model's mean cross-entropy, weighted by class, if there are weights, as torch does.

    `s` is not used; it makes this a loss like the others.
    """
    # Classes before rows: a softmax over a short last axis is slow, one across long rows is not.
    log_probability = functional.log_softmax(logits.mT.contiguous(), dim=-2)  # R, V, k, B
    labels = y[:, None, None, :].expand(*logits.shape[:2], 1, logits.shape[2])
    losses = -log_probability.gather(-2, labels).squeeze(-2)
    if class_weights is None:
        return losses.mean(dim=-1)
    weights = class_weights[y].unsqueeze(1)
    return (losses * weights).sum(dim=-1) / weights.sum(dim=-1)


def penalty(
    logits: Float[Tensor, "R V B k"],
    y: Int[Tensor, "R B"],
    s: Int[Tensor, "R B"],
    *,
    constraint: Constraint,
    groups: int,
    temperature: float = 1.0,
    compared: Compared = None,
) -> Float[Tensor, "R V"]:
    """Return |mean p̂(s=1) − mean p̂(s=2)| (dp), or the same within each true class, summed (eo).

    p̂ is the softmax score of the positive class, here the second, of the logits times `temperature`. More than two
    groups: the largest gap between any two. More than two classes: half the sum of all classes' gaps (dp); the gap of
    the true class's score within each true class, summed (eo); where there are two, that is the same. A group or cell
    that a batch lacks, or a group that is not `compared`, takes no part in it; it is never taken for a rate of 0.
    """
    probability, classes = functional.softmax(logits * temperature, dim=-1), logits.shape[-1]
    takes_part = torch.tensor([compared is None or group in compared for group in range(groups)], device=s.device)

    def gap(of_class: Float[Tensor, "R V B"]) -> Float[Tensor, "R V"]:
        rates, present = soft_rates(of_class, s, cells=groups)
        return largest_gap(rates, present & takes_part)

    if constraint == "dp":
        if classes == 2:
            return gap(probability[..., 1])
        gaps = [gap(probability[..., c]) for c in range(classes)]
        return 0.5 * torch.stack(gaps).sum(dim=0)
    labels = y[:, None, :, None].expand(*probability.shape[:3], 1)
    rates, present = soft_rates(probability.gather(-1, labels).squeeze(-1), y * groups + s, cells=classes * groups)
    there = present.unflatten(-1, (classes, groups)) & takes_part
    return largest_gap(rates.unflatten(-1, (classes, groups)), there).sum(dim=-1)


def penalized(
    strengths: Mapping[Constraint, float | Float[Tensor, "V"]],
    *,
    groups: int,
    temperature: float = 1.0,
    class_weights: Float[Tensor, "k"] | None = None,
    compared: Compared = None,
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss CE + Σ λ · penalty over the constraints.

    Logits of two classes may also be one, their difference.

    Args:
        strengths: λ of each constraint, one number or one for each variant.
        temperature: p̂ is the softmax of logits times this; above 1 it is nearer to the rates of hard decisions.
        class_weights: of the cross-entropy, whose mean is then the weighted one.
    """

    def loss(logits: Float[Tensor, "R V B k"], y: Int[Tensor, "R B"], s: Int[Tensor, "R B"]) -> Float[Tensor, "R V"]:
        if logits.shape[-1] <= 2 and groups == 2:
            margins = logits.squeeze(-1) if logits.shape[-1] == 1 else logits[..., 1] - logits[..., 0]
            each = [
                torch.as_tensor(strengths.get(name, 0.0)).to(logits).expand(logits.shape[1]) for name in CONSTRAINTS
            ]
            return _BinaryPenalized.apply(margins.mT, y, s, *each, temperature, class_weights)
        if logits.shape[-1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=-1)
        value = cross_entropy(logits, y, class_weights=class_weights)
        for constraint, strength in strengths.items():
            value = value + strength * penalty(
                logits, y, s, constraint=constraint, groups=groups, temperature=temperature, compared=compared
            )
        return value

    return loss


def _row_weights(y: Int[Tensor, "R B"], class_weights: Tensor | None, dtype: torch.dtype) -> Float[Tensor, "R B"]:
    """Return what each row counts in the mean cross-entropy; they sum to one in each replicate."""
    weights = torch.ones(y.shape, dtype=dtype) if class_weights is None else class_weights.to(dtype)[y]
    return weights / weights.sum(dim=-1, keepdim=True)


def _mean_loss(true: Float[Tensor, "R B V"], weights: Float[Tensor, "R B"], *, alike: bool) -> Float[Tensor, "R V"]:
    """Return the weighted mean of −log of the true classes' probabilities; `alike`: all rows weigh the same.

    A logarithm costs as much as two sigmoids, so that it is taken of products of four where rows weigh the same. It
    differs only where a number is too small to be one: where four rows' losses come to more than 87 together.
    """
    if not alike:
        return product(-weights.unsqueeze(1), _logarithm(true)).squeeze(1)
    quarter, remainder = divmod(true.shape[1], 4)
    first, second, third, fourth, rest = true.split([quarter, quarter, quarter, quarter, remainder], dim=1)
    products = _logarithm((first * second).mul_(third * fourth)), _logarithm(rest)
    each = -weights[:, None, :1]  # R, 1, 1
    sums = [product(each.expand(-1, 1, part.shape[1]), part) for part in products]
    return (sums[0] + sums[1]).squeeze(1)


def _logarithm(probability: Tensor) -> Tensor:
    return probability.clamp(min=torch.finfo(probability.dtype).tiny).log_()


class _BinaryPenalized(torch.autograd.Function):
    """`penalized` for two classes and two groups, from the margins z₁ − z₀ [R, B, V], with its gradient in closed form.

    Autograd would keep and revisit some twenty arrays of that size; this makes a handful, which is what a step of
    hundreds of heads on all rows costs beside its matrix products.
    """

    @staticmethod
    def forward(
        ctx: Any,
        margins: Tensor,
        y: Tensor,
        s: Tensor,
        dp: Tensor,
        eo: Tensor,
        temperature: float,
        class_weights: Tensor | None,
    ) -> Tensor:
        variants = margins.shape[-1]
        # Padded once, since products would pad it several times (counterpoise.nn.linalg).
        surplus = (0, -variants % COLUMN_BLOCK)
        z = functional.pad(margins, surplus) if surplus[1] else margins
        sign = (2 * y - 1).to(z.dtype).unsqueeze(-1)
        weights = _row_weights(y, class_weights, z.dtype)
        true = (z * sign).sigmoid_()  # probability of the true class
        value = _mean_loss(true, weights, alike=class_weights is None)
        gradient = true.sub_(1).mul_(sign * weights.unsqueeze(-1))

        soft = (z * temperature).sigmoid_()
        # Rows of two groups within class 0, within class 1, and of both classes together: the gaps are their contrasts.
        member = torch.stack([(y == 0), (y == 1), torch.ones_like(y, dtype=torch.bool)], dim=1)  # R, 3, B
        member = torch.stack([member & (s == group).unsqueeze(1) for group in (0, 1)]).to(z.dtype)  # G, R, 3, B
        rows = member.sum(dim=-1, keepdim=True)
        first, second = member / rows.clamp(min=1) * (rows > 0).all(dim=0)
        contrast = first - second
        gaps = product(contrast, soft)  # R, 3, V
        strengths = functional.pad(torch.stack([eo, eo, dp]), surplus)
        value = value + (strengths * gaps.abs()).sum(dim=1)

        pull = product(contrast.mT, strengths * gaps.sign() * temperature)  # R, B, V
        gradient.add_(torch.ops.aten.sigmoid_backward.grad_input(pull, soft, grad_input=pull))  # · soft (1 − soft)
        ctx.save_for_backward(gradient[..., :variants])
        return value[:, :variants]

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        if not bool((upstream[0] == 1).all()):  # all ones where the losses are summed up
            gradient = gradient * upstream[0].unsqueeze(1)
        return gradient, None, None, None, None, None, None
