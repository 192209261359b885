"""The association of class and group among rows: an unbiased sample should have none."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.special import chdtri

CHANCE = 0.99
"""Of independent samples, the share that stays at or below `Association.by_chance`."""


class Association(NamedTuple):
    """Bias-corrected Cramér's V: 0 for independence, 1 if each variable determines the other.

    Attributes:
        cramers_v: the estimate.
        by_chance: what 99 of 100 samples of the same size and margins stay below although the two are independent.
    """

    cramers_v: float
    by_chance: float


def association(y: Int[np.ndarray, "n"], s: Int[np.ndarray, "n"]) -> Association:
    r"""Measure the association of `y` and `s`.

    .. math:: \tilde V = \sqrt{\tilde\varphi^2 / \min(\tilde r - 1, \tilde c - 1)}, \quad
        \tilde\varphi^2 = \max(0, \chi^2/n - \tfrac{(r-1)(c-1)}{n-1}), \quad \tilde r = r - \tfrac{(r-1)^2}{n-1}

    (Bergsma, "A bias-correction for Cramér's V and Tschuprow's T", 2013.) Unlike normalised mutual information, whose
    expectation under independence is about (r−1)(c−1)/2n above zero, it is comparable between parts of different sizes.

    Args:
        y, s: codes; values that do not occur count for nothing.

    Returns:
        The estimate, and what chance gives. Both are 0 if there is no row or one variable is constant: then nothing can
        be associated.
    """
    rows, columns = (np.unique(codes, return_inverse=True)[1] for codes in (y, s))
    if len(rows) < 2 or rows.max() == 0 or columns.max() == 0:
        return Association(0.0, 0.0)
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    quantile = float(chdtri((table.shape[0] - 1) * (table.shape[1] - 1), 1 - CHANCE))  # of χ²
    return Association(_corrected(statistic, len(y), table.shape), _corrected(quantile, len(y), table.shape))


def _corrected(statistic: float, n: int, shape: tuple[int, ...]) -> float:
    rows, columns = shape
    phi = max(0.0, statistic / n - (rows - 1) * (columns - 1) / (n - 1))
    smaller = min(levels - (levels - 1) ** 2 / (n - 1) for levels in (rows, columns)) - 1
    return float(min(1.0, np.sqrt(phi / smaller))) if smaller > 0 else 0.0
