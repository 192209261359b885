"""Weights that make group and class independent: against the formula, and whether they are used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.support.peers import fit_peer

from counterpoise.methods.peers.estimators import Logistic
from counterpoise.methods.peers.reweighing import independence_weights
from counterpoise.methods.peers.settings import Peer
from counterpoise.nn import Examples


def test_is_the_formula(train: Examples) -> None:
    y, s = train.y.numpy(), train.s.numpy()
    expected = [(s == g).mean() * (y == c).mean() / ((s == g) & (y == c)).mean() for g, c in zip(s, y, strict=True)]
    np.testing.assert_allclose(independence_weights(train.y, train.s), expected)


def test_makes_group_and_class_independent(train: Examples) -> None:
    weight = independence_weights(train.y, train.s)
    for group in train.s.unique():
        members = train.s == group
        assert weight[members].sum().item() == pytest.approx(members.sum().item())
        rate = (weight[members] * train.y[members]).sum() / weight[members].sum()
        assert rate.item() == pytest.approx(train.y.double().mean().item())


def test_is_used(train: Examples, test: Examples) -> None:
    """The weighted regression is the one fitted on rows that are repeated as often as their weights say."""
    counts = (independence_weights(train.y, train.s) * 20).round().long()
    repeated = Examples(*(value.repeat_interleave(counts, dim=0) for value in (train.x, train.y, train.s)))
    expected = fit_peer(Peer("plain"), repeated, estimator=Logistic(1 / 20))(test.x, None)
    outcome = fit_peer(Peer("reweighing"), train, estimator=Logistic(1.0))(test.x, None)
    torch.testing.assert_close(outcome.score, expected.score, atol=0.02, rtol=0)
    assert (outcome.score - fit_peer(Peer("plain"), train)(test.x, None).score).abs().max() > 0.05


def test_an_empty_cell_has_no_weight_to_give() -> None:
    """Nobody of group 1 is of class 1."""
    weight = independence_weights(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 0, 0, 1]))
    torch.testing.assert_close(weight, torch.tensor([1.5, 0.75, 0.75, 0.5], dtype=torch.float64))
