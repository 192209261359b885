"""Models of known truth for `retraining_simulation`: rates, changes of them, and the counts that weeks of rows show.

A model is four error rates, by group and class. Each row is hard or easy for all models alike, so that models tend to
err on the same rows; given that, they err independently.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = np.array([[0.40 * 0.75, 0.40 * 0.25], [0.60 * 0.70, 0.60 * 0.30]])
"""Share of rows of each group and class."""
FIRST = np.array([[0.10, 0.32], [0.10, 0.30]])
"""Error rates of the first champion."""
HARD = 1.6 * FIRST
EASY_ERROR = 0.01
WITHIN_GROUP = CELLS / CELLS.sum(1, keepdims=True)
Rates = NDArray[np.float64]


def error(rates: Rates) -> Rates:
    return (rates * CELLS).sum((-2, -1))


def group_errors(rates: Rates) -> Rates:
    return (rates * WITHIN_GROUP).sum(-1)


def biases(rates: Rates) -> dict[str, Rates]:
    """Return ΔDP and ΔEO."""
    selection = (WITHIN_GROUP * np.stack([rates[..., 0], 1 - rates[..., 1]], axis=-1)).sum(-1)
    gaps = np.abs(rates[..., 0, :] - rates[..., 1, :])
    return {"delta_dp": np.abs(selection[..., 0] - selection[..., 1]), "delta_eo": gaps.sum(-1)}


def shifted(rates: Rates, change: Rates | float) -> Rates:
    """Return rates whose error differs by so much, each cell in proportion."""
    factor = 1 + np.asarray(change) / error(rates)
    return np.clip(rates * factor[..., None, None], 0.005, 0.95)


def drawn(
    rng: np.random.Generator, rows: int, first: Rates, champion: Rates, challenger: Rates, same: NDArray
) -> NDArray:
    """Return counts [N, G, k, 2, 2, 2]: whether the first champion, the champion and the challenger err."""
    years = len(champion)
    sizes = rng.multinomial(rows, CELLS.ravel(), size=years).reshape(years, 2, 2)
    hard = rng.binomial(sizes, HARD)
    counts = np.zeros((years, 2, 2, 8), dtype=np.int64)
    for number, of_hard in ((hard, True), (sizes - hard, False)):
        wrong = [
            stratum_rates(rates, of_hard) for rates in (np.broadcast_to(first, champion.shape), champion, challenger)
        ]
        either = [np.stack([1 - p, p], axis=-1) for p in wrong]
        present = np.where(same[:, None, None, None, None], np.eye(2), either[1][..., None, :])  # given the first
        joint = either[0][..., :, None, None] * present[..., :, :, None] * either[2][..., None, None, :]
        counts += rng.multinomial(number, joint.reshape(*joint.shape[:3], 8))
    return counts.reshape(years, 2, 2, 2, 2, 2)


def stratum_rates(rates: Rates, of_hard: bool) -> Rates:
    hard = np.clip((rates - (1 - HARD) * EASY_ERROR) / HARD, 0.01, 0.9)
    return hard if of_hard else np.clip((rates - HARD * hard) / (1 - HARD), 1e-4, 1)


def paired(table: NDArray) -> NDArray:
    """Return how often the challenger alone is right, both or neither, the other alone; of [other errs, it errs]."""
    return np.stack([table[..., 1, 0], table[..., 0, 0] + table[..., 1, 1], table[..., 0, 1]], axis=-1)


def confusion(tally: NDArray) -> NDArray:
    """Return [group, true class, predicted class] from [group, true class, errs]."""
    return np.stack([tally[..., 0, :], tally[..., 1, ::-1]], axis=-2)


def group_harm(points: float) -> Rates:
    """Return the first champion's rates with group 0's error higher, and group 1's lower so that the error stays."""
    rates = FIRST.copy()
    rates[0] += points
    rates[1] -= points * CELLS[0].sum() / CELLS[1].sum()
    return rates


def biased(gap: float) -> Rates:
    """Return rates with a demographic parity gap, at the first champion's error, whose other quantities are within."""
    rates = FIRST.copy()
    low, high = 0.0, 0.3
    for _ in range(60):
        shift = (low + high) / 2
        moved = rates + np.array([[-0.2 * shift, shift], [0.2 * shift, -0.3 * shift]])
        low, high = (shift, high) if biases(moved)["delta_dp"] < gap else (low, shift)
    return moved
