"""Logistic regressions on balanced rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from counterpoise.methods.peers import balanced_refit
from counterpoise.methods.peers.balanced_refit import balanced_rows
from counterpoise.methods.peers.settings import Peer
from counterpoise.nn import Examples

from .conftest import SMALL, draw, setup_of

PEER = Peer("balanced_refit")


def test_every_cell_has_as_many_rows_and_none_twice() -> None:
    cells = np.repeat([0, 1, 2, 3], [50, 7, 30, 9])
    first, second = (balanced_rows(cells, np.random.default_rng(seed)) for seed in (0, 1))
    assert np.bincount(cells[first]).tolist() == [7, 7, 7, 7]
    assert len(set(first.tolist())) == 28
    assert first.tolist() != second.tolist()


def test_the_average_of_many_draws_varies_less_than_one(generator: torch.Generator) -> None:
    train = draw(generator, 2)

    def spread(draws: int) -> float:
        shares = replace(setup_of(train), settings=replace(SMALL, draws=draws, C=1.0))
        scores = [balanced_refit.fit(PEER, replace(shares, seed=seed))(shares.train.x, None)[0] for seed in range(5)]
        return float(np.std(scores, axis=0).mean())

    assert spread(20) < spread(1) / 2


def test_of_cells_of_one_size_it_is_logistic_regression_on_all_rows(generator: torch.Generator) -> None:
    drawn = draw(generator, 2)
    rows = torch.from_numpy(balanced_rows((2 * drawn.s + drawn.y).numpy(), np.random.default_rng(0)))
    train, settings = Examples(drawn.x[rows], drawn.y[rows], drawn.s[rows]), replace(SMALL, C=1e-5)
    for shared in (setup_of(train), setup_of(train, drawn, settings=settings, C=1e-5)):
        score, _ = balanced_refit.fit(PEER, shared)(shared.train.x, None)
        np.testing.assert_allclose(score, shared.plain(shared.train.x)[:, 1], atol=1e-6)
    chosen, _ = balanced_refit.fit(PEER, setup_of(train, drawn, C=1e-5))(shared.train.x, None)
    assert np.std(chosen) > 2 * np.std(score), "validation rows choose the penalty where none is set"


def test_cells_of_all_sizes_count_the_same(generator: torch.Generator) -> None:
    """Where one cell is rare, its rows are classified better than by plain logistic regression."""
    full = draw(generator, 2, 4000)
    rare = (full.s == 0) & (full.y == 1)
    members = torch.cat([(~rare).nonzero()[:, 0], rare.nonzero()[:40, 0]])
    train = Examples(full.x[members], full.y[members], full.s[members])
    shared = setup_of(train, train)
    _, prediction = balanced_refit.fit(PEER, shared)(shared.train.x, None)
    plain = shared.plain(shared.train.x)[:, 1] > 0.5
    few = (shared.train.s == 0) & (shared.train.y == 1)
    assert prediction[few].mean() > plain[few].mean() + 0.1
