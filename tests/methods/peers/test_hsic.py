"""A penalty on the dependence of score and group: against the kernels' formula, and what it does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from counterpoise.methods.heads.penalties import Constraint
from counterpoise.methods.peers import hsic
from counterpoise.methods.peers.settings import Peer
from counterpoise.nn import Examples

from .conftest import draw, setup_of


def test_is_the_trace_of_the_kernels(generator: torch.Generator) -> None:
    """tr(K H L H) / n², with centring H."""
    a, b = torch.randn(30, 2, generator=generator).double(), torch.randn(30, 3, generator=generator).double()
    centring = torch.eye(30).double() - 1 / 30
    expected = torch.trace(a @ a.T @ centring @ (b @ b.T) @ centring) / 30**2
    torch.testing.assert_close(hsic.hsic(a, b), expected)


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_of_two_groups_it_is_half_the_squared_gap(generator: torch.Generator, constraint: Constraint) -> None:
    """Of equalised odds, within each class, summed."""
    data = draw(generator, 2)
    logits = torch.randn(len(data.y), generator=generator).double() + data.s * (1 + data.y)
    given = {"constraint": constraint, "groups": 2}
    plain, full = (hsic.penalised_loss(logits, data.y, data.s, strength=strength, **given) for strength in (0.0, 1.0))
    strata = [data.y >= 0] if constraint == "dp" else [data.y == 0, data.y == 1]
    means = torch.stack(
        [torch.stack([logits.sigmoid()[rows & (data.s == g)].mean() for g in (0, 1)]) for rows in strata]
    )
    torch.testing.assert_close(full - plain, means.diff(dim=1).square().sum() / 2)


def test_without_strength_it_is_plain_logistic_regression(train: Examples) -> None:
    shared = setup_of(train)
    score, _ = hsic.fit(Peer("hsic", constraint="eo", strength=0.0), shared)(shared.train.x, None)
    np.testing.assert_allclose(score, shared.plain(shared.train.x)[:, 1], atol=2e-3)


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_a_stronger_penalty_leaves_a_smaller_gap(train: Examples, constraint: Constraint) -> None:
    shared = setup_of(train)
    gaps = []
    for strength in (0.0, 3.0, 100.0):
        score, _ = hsic.fit(Peer("hsic", constraint=constraint, strength=strength), shared)(shared.train.x, None)
        cells = [
            [score[(train.s == group).numpy() & rows].mean() for group in train.s.unique()]
            for rows in ([train.y.numpy() >= 0] if constraint == "dp" else [train.y.numpy() == c for c in (0, 1)])
        ]
        gaps.append(sum(max(means) - min(means) for means in cells))
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < gaps[0] / 3


def test_rows_of_a_class_that_only_one_group_has(generator: torch.Generator) -> None:
    data = draw(generator, 2)
    y = torch.where(data.s == 1, 0, data.y)
    loss = hsic.penalised_loss(torch.zeros(len(y)).double(), y, data.s, constraint="eo", strength=5.0, groups=2)
    assert loss.item() == pytest.approx(np.log(2))
