"""Last-layer refit on group-balanced rows: deep feature reweighting (Kirichenko et al., ICLR 2023)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Int64

from counterpoise.methods.peers.estimators import Estimator, LinearModel, Logistic, choose_logistic
from counterpoise.methods.peers.settings import Peer
from counterpoise.methods.peers.setup import Decide, Setup, decide_by


def fit(peer: Peer, setup: Setup) -> Decide:
    """Average the coefficients of logistic regressions, each on a subsample with as many rows of every group and class.

    The published method averages over ten subsamples and chooses the penalty by groups; here C is that of the lowest
    log loss on validation rows of which every cell counts the same, found on the first subsample.
    """
    generator = np.random.default_rng(setup.seed)
    rows = setup.train
    samples = [balanced_rows(setup.cells, generator) for _ in range(setup.settings.draws)]
    estimator = _estimator(setup, samples[0])
    models = [estimator.fit(rows.x[sample], rows.y[sample]) for sample in samples]
    weight, bias = (np.mean([getattr(model, part) for model in models], axis=0) for part in ("weight", "bias"))
    return decide_by(LinearModel(weight, bias))


def balanced_rows(cells: Int[np.ndarray, "n"], generator: np.random.Generator) -> Int64[np.ndarray, "m"]:
    """Draw as many rows of every cell, without replacement, as the smallest has; in their order."""
    members = [np.flatnonzero(cells == cell) for cell in np.unique(cells)]
    fewest = min(map(len, members))
    return np.sort(np.concatenate([generator.choice(rows, fewest, replace=False) for rows in members]))


def _estimator(setup: Setup, sample: np.ndarray) -> Estimator:
    held = setup.validation
    if held is None or setup.settings.C is not None:
        return Logistic(setup.estimator.complexity["C"])
    cells = 2 * held.s + held.y
    sizes = np.bincount(cells)
    rows = setup.train
    return choose_logistic(rows.x[sample], rows.y[sample], held.x, held.y, held_weight=1 / sizes[cells])
