"""Association of class and group: none, complete, what chance gives, and an independent formulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2 as chi2_law
from scipy.stats import chi2_contingency
from scipy.stats.contingency import association as uncorrected

from counterpoise.fairness import association


def test_independent_and_determined_codes() -> None:
    y, s = (axis.ravel() for axis in np.meshgrid(np.arange(10), np.arange(10)))
    assert association(np.tile(y, 5), np.tile(s, 5)).cramers_v == 0
    assert association(np.tile(y, 5), (np.tile(y, 5) * 3 + 1) % 10).cramers_v == pytest.approx(1)


def test_in_large_samples_the_correction_vanishes() -> None:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 200_000)
    s = np.where(generator.random(len(y)) < 0.3, y, generator.integers(0, 3, len(y)))
    table = np.zeros((3, 3), dtype=int)
    np.add.at(table, (y, s), 1)
    assert association(y, s).cramers_v == pytest.approx(uncorrected(table, method="cramer"), abs=1e-4)
    assert association(y, s).cramers_v == pytest.approx(0.3, abs=0.01)
    assert association(s, y) == pytest.approx(association(y, s))


@pytest.mark.parametrize("counts", [[[30, 10], [20, 40]], [[12, 3, 5], [4, 9, 7]], [[5, 1], [2, 6], [3, 3]]])
def test_bergsmas_correction_of_a_small_table(counts: list[list[int]]) -> None:
    table = np.array(counts)
    y, s = (codes.repeat(table.ravel()) for codes in (axis.ravel() for axis in np.indices(table.shape)))
    n, (r, c) = table.sum(), table.shape
    freedom = (r - 1) * (c - 1)
    chi2 = chi2_contingency(table, correction=False).statistic
    limit = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    expected = [np.sqrt(max(0, value / n - freedom / (n - 1)) / limit) for value in (chi2, chi2_law.ppf(0.99, freedom))]
    assert association(y, s) == pytest.approx(expected)


def test_chance_stays_below_its_bound_in_99_of_100_samples() -> None:
    generator = np.random.default_rng(1)
    drawn = [association(generator.integers(0, 4, 300), generator.integers(0, 4, 300)) for _ in range(1000)]
    exceeding = np.mean([found.cramers_v > found.by_chance for found in drawn])
    assert 0.003 < exceeding < 0.02


@pytest.mark.parametrize("s", [np.zeros(50, dtype=int), np.full(50, 3)])
def test_a_constant_is_associated_with_nothing(s: np.ndarray) -> None:
    assert association(np.arange(50) % 2, s) == (0, 0)
    assert association(s[:0], s[:0]) == (0, 0)


def test_values_that_do_not_occur_count_for_nothing() -> None:
    generator = np.random.default_rng(2)
    y, s = generator.integers(0, 3, 100), generator.integers(0, 2, 100)
    assert association(y * 7, s * 5 + 1) == association(y, s)
