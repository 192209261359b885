"""The share of a bias that the best linear reader explains, against least squares, and at its bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import Tensor
from torch.nn.functional import one_hot

from counterpoise.methods.gates.information import RIDGE, readable_share

B, D = 400, 5


def mixed(b: Tensor, values: int, strength: float, generator: torch.Generator) -> Tensor:
    z = torch.randn(*b.shape, max(D, values), generator=generator, dtype=torch.float64)
    z[..., :values] += strength * one_hot(b, values)
    return z


def test_of_two_values_is_the_variance_that_least_squares_explains(generator: torch.Generator) -> None:
    b = torch.randint(0, 2, (3, B), generator=generator)
    z = mixed(b, 2, 1.0, generator) * torch.tensor([1.0, 2.0, 0.5, 1.0, 1.5])
    for own, values, found in zip(z, b, readable_share(z, b, 2), strict=True):
        known = LinearRegression().fit(own, values).score(own, values)
        assert 0.1 < known < 0.9
        assert found.item() == pytest.approx(known, rel=3 * RIDGE)
        assert found.item() < known  # the ridge takes, and never adds


def test_of_more_values_is_the_mean_of_the_squared_canonical_correlations(generator: torch.Generator) -> None:
    values = 4
    b = torch.randint(0, values, (1, B), generator=generator)
    z = mixed(b, values, 1.5, generator)
    seen = one_hot(b[0], values).double().numpy()[:, 1:]
    left, right = (np.linalg.qr(part - part.mean(axis=0))[0] for part in (z[0].numpy(), seen))
    correlations = np.linalg.svd(left.T @ right, compute_uv=False)
    assert readable_share(z, b, values).item() == pytest.approx((correlations**2).mean(), rel=3 * RIDGE)


def test_is_one_where_features_say_it_all_and_chance_where_they_say_nothing(generator: torch.Generator) -> None:
    b = torch.randint(0, 3, (40, B), generator=generator)
    assert readable_share(one_hot(b, 3).double() * 7 - 2, b, 3).min().item() == pytest.approx(1, abs=3 * RIDGE)
    nothing = readable_share(torch.randn(40, B, D, generator=generator, dtype=torch.float64), b, 3)
    assert nothing.mean().item() == pytest.approx(D / B, rel=0.25)
    assert readable_share(mixed(b, 3, 1.0, generator), b, 3).min() > 10 * D / B


def test_closed_features_count_for_nothing_and_give_numbers(generator: torch.Generator) -> None:
    b = torch.randint(0, 3, (1, 60), generator=generator)
    z = mixed(b, 3, 1.0, generator)
    closed = torch.cat([z, torch.zeros(1, 60, 2, dtype=torch.float64)], dim=-1)
    assert readable_share(closed, b, 3).item() == pytest.approx(readable_share(z, b, 3).item(), rel=RIDGE)
    dead = torch.zeros(1, 60, D, requires_grad=True)
    share = readable_share(dead, b, 3)
    (slope,) = torch.autograd.grad(share.sum(), dead)
    assert share.item() == pytest.approx(0, abs=1e-6)
    assert slope.isfinite().all()


def test_a_value_without_rows_gives_a_number_below_one(generator: torch.Generator) -> None:
    b = torch.randint(0, 3, (1, 60), generator=generator)
    seen = one_hot(b, 3).double()
    assert readable_share(seen, b, 3).item() == pytest.approx(1, abs=3 * RIDGE)
    assert readable_share(seen, b, 5).item() == pytest.approx(2 / 4, abs=3 * RIDGE)  # of four that there could be


def test_can_be_lowered_by_its_gradient(generator: torch.Generator) -> None:
    b = torch.randint(0, 3, (1, 24), generator=generator)
    z = mixed(b, 3, 1.0, generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda own: readable_share(own, b, 3), (z,), atol=1e-6)
    (slope,) = torch.autograd.grad(readable_share(z, b, 3).sum(), z)
    assert readable_share(z - slope, b, 3).item() < readable_share(z, b, 3).item()


@pytest.mark.parametrize("values", [2, 3, 10])
def test_single_precision_is_enough(values: int, generator: torch.Generator) -> None:
    """Indicators sum to one, so that their covariance has no inverse: nothing may hang on how it is rounded."""
    b = torch.randint(0, values, (100, 100), generator=generator)
    z = mixed(b, values, 2.0, generator).relu()
    single, double = z.float().requires_grad_(), z.clone().requires_grad_()
    found, known = (readable_share(own, b, values) for own in (single, double))
    torch.testing.assert_close(found.double(), known, rtol=0, atol=1e-5)
    slopes = [torch.autograd.grad(share.sum(), own)[0] for share, own in ((found, single), (known, double))]
    torch.testing.assert_close(slopes[0].double(), slopes[1], rtol=0, atol=1e-5)
