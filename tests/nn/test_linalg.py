"""Products are what they say, and no column or model has other bits for those that stand beside it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from counterpoise.nn.linalg import COLUMN_BLOCK, affine, in_full_blocks, product, weighted

B, N, D = 3, 50, 7


def drawn(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator)


@pytest.mark.parametrize("columns", [1, 5, COLUMN_BLOCK, COLUMN_BLOCK + 1])
def test_products_are_those_of_each_column(generator: torch.Generator, columns: int) -> None:
    x, w, bias = (drawn(generator, B, N, D), drawn(generator, B, D, columns), drawn(generator, B, columns))
    expected = torch.stack([torch.stack([x[b] @ w[b, :, c] for c in range(columns)], dim=1) for b in range(B)])
    torch.testing.assert_close(product(x, w), expected)
    torch.testing.assert_close(affine(x, w, bias), expected + bias.unsqueeze(1))
    assert torch.equal(product(x, w[..., :1]), product(x, w)[..., :1])
    assert torch.equal(affine(x, w[..., :1], bias[:, :1]), affine(x, w, bias)[..., :1])


def test_gradients_of_affine_maps_do_not_notice_other_columns(generator: torch.Generator) -> None:
    x, w, bias = drawn(generator, B, N, D), drawn(generator, B, D, 5), drawn(generator, B, 5)
    upstream = drawn(generator, B, N, 5)

    def gradients(columns: int) -> tuple[Tensor, ...]:
        leaves = [w[..., :columns].clone().requires_grad_(), bias[:, :columns].clone().requires_grad_()]
        return torch.autograd.grad((affine(x, *leaves) * upstream[..., :columns]).sum(), leaves)

    of_one, of_all = gradients(1), gradients(5)
    assert torch.equal(of_one[0], of_all[0][..., :1])
    assert torch.equal(of_one[1], of_all[1][:, :1])
    torch.testing.assert_close(of_all[0], x.mT @ upstream)
    torch.testing.assert_close(of_all[1], upstream.sum(dim=1))


@pytest.mark.parametrize("outputs", [1, 3, 4, COLUMN_BLOCK + 2])
@pytest.mark.parametrize("columns", [1, 6])
def test_weighted_sums_do_not_notice_other_models(generator: torch.Generator, outputs: int, columns: int) -> None:
    bias, w, x = drawn(generator, B, outputs, 1), drawn(generator, B, outputs, D), drawn(generator, B, D, columns)
    together = weighted(bias, w, x)
    torch.testing.assert_close(together, torch.einsum("bod,bdn->bon", w, x) + bias)
    for b in range(B):
        place = slice(b, b + 1)
        assert torch.equal(weighted(bias[place], w[place], x[place]), together[place])


@pytest.mark.parametrize("columns", [3, 32, 45])
def test_functions_of_numbers_do_not_notice_their_place(generator: torch.Generator, columns: int) -> None:
    one, other = drawn(generator, B, columns), drawn(generator, B, columns)
    values = in_full_blocks(lambda a, b: a.sigmoid() * b, one, other)
    torch.testing.assert_close(values, torch.sigmoid(one) * other)
    for b in range(B):
        alone = in_full_blocks(lambda a, b: a.sigmoid() * b, one[b : b + 1], other[b : b + 1])
        assert torch.equal(alone[0], values[b])
