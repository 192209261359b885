"""Reweighing: weights that make group and class independent (Kamiran and Calders 2012)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.methods.cells import cell_sizes
from counterpoise.methods.peers.settings import Peer
from counterpoise.methods.peers.setup import Decide, Setup, decide_by


def fit(peer: Peer, setup: Setup) -> Decide:
    """Fit the estimator on weighted rows."""
    rows = setup.train
    weight = independence_weights(torch.from_numpy(rows.y), torch.from_numpy(rows.s)).numpy()
    return decide_by(setup.estimator.fit(rows.x, rows.y, weight=weight, classes=setup.classes))


def independence_weights(y: Int[Tensor, "n"], s: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Return the weight P(s) P(y) / P(s, y) of every row (Kamiran and Calders 2012, Section 4.3), float64.

    Weighted by it, the classes are shared out alike in every group, and neither groups nor classes change their size.
    """
    table = cell_sizes(y, s, groups=int(s.max()) + 1, classes=int(y.max()) + 1).double()
    independent = table.sum(dim=1, keepdim=True) * table.sum(dim=0, keepdim=True) / len(y)
    return independent[s, y] / table[s, y]
