"""Batched products whose columns do not notice each other, and functions of numbers that do not notice their place."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

COLUMN_BLOCK = 16
"""Columns of a matrix product are padded to a multiple of this.

A BLAS picks its kernel by the number of columns left over, and kernels differ in the order of their sums: with 3 models
side by side a model's last bits differ from those it gets with 5. At whole blocks every column goes through the same
kernel, so adding a model changes no other one, to the bit. It is also faster for narrow matrices (docs/performance.md).
"""

ROWS_TOGETHER = 4
"""Rows of a product that BLAS takes in one step; those left over go through other code."""

VECTOR_BLOCK = 32
"""Numbers that the widest vector unit takes in a step; those left over at the end go through other code."""


def in_full_blocks(function: Callable[..., Tensor], *tensors: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Return an elementwise function's values, each number's bits independent of how many `b` there are."""
    columns = tensors[0].shape[1]
    surplus = -columns % VECTOR_BLOCK
    if not surplus:
        return function(*(tensor.contiguous() for tensor in tensors))
    return function(*(pad(tensor, (0, surplus)) for tensor in tensors))[:, :columns]


def product(x: Float[Tensor, "b n d"], w: Float[Tensor, "b d c"]) -> Float[Tensor, "b n c"]:
    """Return `x @ w` for each `b`, each column's bits independent of how many columns stand beside it."""
    columns = w.shape[-1]
    surplus = -columns % COLUMN_BLOCK
    if not surplus:
        return torch.bmm(x, w)
    return torch.bmm(x, pad(w, (0, surplus)))[..., :columns]


def affine(x: Float[Tensor, "b n d"], w: Float[Tensor, "b d c"], bias: Float[Tensor, "b c"]) -> Float[Tensor, "b n c"]:
    """Return `x @ w + bias` for each `b`, as independent of other columns as `product`, and so are its gradients.

    The bias is spread over the rows by a product with ones: the gradient of a broadcast is a sum over rows, in an order
    that depends on the number of columns.
    """
    columns = w.shape[-1]
    surplus = (0, -columns % COLUMN_BLOCK)
    spread = torch.bmm(x.new_ones(*x.shape[:2], 1), pad(bias.unsqueeze(1), surplus))
    return spread.baddbmm_(x, pad(w, surplus))[..., :columns]


def weighted(
    bias: Float[Tensor, "b o 1"], w: Float[Tensor, "b o d"], x: Float[Tensor, "b d n"]
) -> Float[Tensor, "b o n"]:
    """Return `w @ x + bias` for each `b`, each one's bits independent of how many stand beside it.

    Products of one row, or of rows that are no multiple of four, have their sums in an order that depends on where in
    memory they begin. So outputs are padded to a block of them, and one column is summed element by element, which is
    also ten times faster.
    """
    outputs, columns = w.shape[1], x.shape[2]
    if columns == 1:
        return (w * x.mT).sum(dim=2, keepdim=True) + bias
    if outputs % ROWS_TOGETHER:
        surplus = (0, 0, 0, -outputs % COLUMN_BLOCK)
        bias, w = pad(bias, surplus), pad(w, surplus)
    return torch.baddbmm(bias, w, x)[:, :outputs]
