"""Rows whose class depends on inputs that depend on the group: the best classifier is an unfair one."""

from __future__ import annotations

import pytest
import torch

from counterpoise.methods.peers.estimators import Logistic
from counterpoise.methods.peers.run import _rows, _Scale
from counterpoise.methods.peers.settings import Boosting, Peers, Reduction, Reductions
from counterpoise.methods.peers.setup import Setup
from counterpoise.nn import Examples

N, D = 400, 4
SMALL = Peers(
    tolerances=(0.05,),
    hsic=(10.0,),
    draws=3,
    boosting=Boosting(leaves=(4,), rounds=20, patience=5),
    exponentiated_gradient=Reductions(
        Reduction(max_iter=3, tolerances=(0.05,)), Reduction(max_iter=2, tolerances=(0.05,))
    ),
)
"""Few settings of every method, each of which takes no time."""


def draw(generator: torch.Generator, groups: int, n: int = N) -> Examples:
    s = torch.arange(n) % groups
    x = torch.randn(n, D, generator=generator)
    x[:, 0] += 2 * s
    noisy = x.sum(dim=1) + torch.randn(n, generator=generator)
    return Examples(100 + 7 * x, (noisy > 1).long(), s)


def setup_of(train: Examples, validation: Examples | None = None, *, settings: Peers = SMALL, C: float = 1.0) -> Setup:
    """Return what peers that stand on logistic regression share."""
    scale = _Scale.of(train.x)
    held = None if validation is None else _rows(validation, scale)
    return Setup(_rows(train, scale), held, Logistic(C), settings, int(train.s.max()) + 1, seed=5)


@pytest.fixture(params=[2, 3], ids=["two groups", "three groups"])
def train(request: pytest.FixtureRequest, generator: torch.Generator) -> Examples:
    return draw(generator, request.param)


@pytest.fixture
def test(train: Examples, generator: torch.Generator) -> Examples:
    return draw(generator, int(train.s.max()) + 1, 300)
