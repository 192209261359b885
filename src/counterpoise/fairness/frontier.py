"""The trade-off between two things to minimise, such as error and bias: the points on its frontier, and their area."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from counterpoise.errors import InputError


def non_dominated(points: Float[Tensor, "*batch m 2"]) -> Bool[Tensor, "*batch m"]:
    """Mark the points that no other point dominates; both coordinates are to be low. O(m log m).

    A point dominates another if it is at most as high in both coordinates and lower in one. Of equal points none
    dominates the other, so duplicates are kept or dropped together. A point with a NaN is never on the frontier and
    dominates nothing.
    """
    complete = ~points.isnan().any(-1)
    x, y = _without_nan(points, complete).unbind(-1)
    x, order = x.contiguous().sort(-1)
    y = y.gather(-1, order)
    lowest = torch.nn.functional.pad(y.cummin(-1).values, (1, 0), value=torch.inf)  # of the first i points
    smaller = torch.searchsorted(x, x)  # number of points strictly to the left
    lowest_below = lowest.gather(-1, smaller)
    lowest_up_to = lowest.gather(-1, torch.searchsorted(x, x, right=True))
    dominated = ((smaller > 0) & (lowest_below <= y)) | (lowest_up_to < y)
    return torch.empty_like(complete).scatter_(-1, order, ~dominated) & complete


def hypervolume(
    points: Float[Tensor, "*batch m 2"], reference: Float[Tensor, "*#batch 2"]
) -> Float64[Tensor, "*batch"]:
    """Area that the points dominate inside the box below and left of `reference`; more is better.

    Exact, by the staircase of the sorted points. Points outside the box and points with a NaN add nothing. Units: those
    of the two coordinates, multiplied. Source: Zitzler and Thiele (PPSN 1998).

    Raises:
        InputError: if `reference` holds NaN.
    """
    if reference.isnan().any():
        raise InputError("The reference point of a hypervolume holds NaN, expected two numbers.")
    corner = reference.double().unsqueeze(-2)
    inside = torch.minimum(_without_nan(points.double(), ~points.isnan().any(-1)), corner)
    x, y = inside.unbind(-1)
    x, order = x.sort(-1)
    height = corner[..., 1] - y.gather(-1, order).cummin(-1).values
    right_end = corner[..., 0].expand(*x.shape[:-1], 1)
    width = torch.cat([x, right_end], -1).diff(dim=-1)
    return (width * height).sum(-1)


def _without_nan(points: Tensor, complete: Tensor) -> Tensor:
    """Move incomplete points to infinity, where they dominate nothing."""
    return points.masked_fill(~complete.unsqueeze(-1), torch.inf)
