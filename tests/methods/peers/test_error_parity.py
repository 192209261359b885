"""A threshold for each group: against all rules of that kind, and the gaps that it promises."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from counterpoise.fairness import confusion_counts, delta_dp, delta_eo
from counterpoise.methods.heads.penalties import Constraint
from counterpoise.methods.peers import error_parity
from counterpoise.methods.peers.error_parity import group_thresholds
from counterpoise.methods.peers.settings import Peer
from counterpoise.nn import Examples

from .conftest import setup_of


def measured(
    prediction: np.ndarray, y: np.ndarray, s: np.ndarray, groups: int, constraint: Constraint
) -> tuple[float, float]:
    """Return the share of errors, and the gap as the metrics define it."""
    counts = confusion_counts(
        *(torch.from_numpy(value.astype(np.int64)) for value in (y, prediction, s)), groups=groups, classes=2
    )
    gap = delta_dp(counts) if constraint == "dp" else delta_eo(counts)
    return float((prediction != y).mean()), float(gap)


@pytest.mark.parametrize("constraint", ["dp", "eo"])
@pytest.mark.parametrize("tolerance", [0.01, 0.1, 0.4])
def test_gaps_are_within_the_tolerance(train: Examples, constraint: Constraint, tolerance: float) -> None:
    score, y, s = setup_of(train).held_out, train.y.numpy(), train.s.numpy()
    groups = int(s.max()) + 1
    thresholds = group_thresholds(score, y, s, groups=groups, constraint=constraint, tolerance=tolerance)
    assert measured(score > thresholds[s], y, s, groups, constraint)[1] <= tolerance + 1e-9


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_no_thresholds_within_the_tolerance_err_less(constraint: Constraint) -> None:
    """Brute force, with tied scores."""
    generator = np.random.default_rng(1)
    s = np.arange(24) % 2
    y = np.where(np.arange(24) < 4, np.arange(24) // 2 % 2, generator.integers(0, 2, 24))
    score = (generator.integers(0, 6, 24) + 2 * y + s) / 10
    for tolerance in (0.05, 0.2, 0.4, 2.0):
        thresholds = group_thresholds(score, y, s, groups=2, constraint=constraint, tolerance=tolerance)
        error, gap = measured(score > thresholds[s], y, s, 2, constraint)
        assert gap <= tolerance
        cuts = np.append(np.unique(score), -1)
        others = (measured(score > np.array(pair)[s], y, s, 2, constraint) for pair in product(cuts, cuts))
        assert error == pytest.approx(min(other for other, further in others if further <= tolerance))


def test_a_wide_tolerance_costs_nothing(train: Examples) -> None:
    shared = setup_of(train)
    decide = error_parity.fit(Peer("error_parity", constraint="eo", strength=2.0), shared)
    score, prediction = decide(shared.train.x, shared.train.s)
    np.testing.assert_array_equal(score, shared.plain(shared.train.x)[:, 1])
    assert (prediction != shared.train.y).mean() <= ((score > 0.5) != shared.train.y).mean() + 0.01


def test_many_rows_are_cut_at_quantiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer thresholds than scores: nearly the same rule."""
    generator = np.random.default_rng(0)
    y, s = generator.integers(0, 2, 3000), generator.integers(0, 2, 3000)
    score = generator.standard_normal(3000) + y + s
    given = {"groups": 2, "constraint": "dp", "tolerance": 0.05}
    fine = group_thresholds(score, y, s, **given)
    monkeypatch.setattr(error_parity, "COMBINATIONS", 100**2)
    coarse = group_thresholds(score, y, s, **given)
    results = [measured(score > thresholds[s], y, s, 2, "dp") for thresholds in (fine, coarse)]
    assert results[0][0] <= results[1][0] < results[0][0] + 0.01
    assert max(gap for _, gap in results) <= 0.05


def test_thresholds_lie_midway_between_scores_or_of_many_scores_at_quantiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a cut of each group makes no error at all, it is the one."""
    given = {"groups": 2, "constraint": "dp", "tolerance": 1.0}
    few, of_few = np.array([0.2, 0.4, 0.8, 0.1, 0.3, 0.7]), np.array([0, 0, 0, 1, 1, 1])
    cuts = group_thresholds(few, np.array([0, 0, 1, 0, 1, 1]), of_few, **given)
    np.testing.assert_allclose(cuts, [(0.4 + 0.8) / 2, (0.1 + 0.3) / 2])
    monkeypatch.setattr(error_parity, "COMBINATIONS", 5**2)
    score, s = np.random.default_rng(2).standard_normal(400), np.arange(400) % 2
    quartiles = np.array([np.quantile(score[s == group], share) for group, share in enumerate((0.25, 0.75))])
    np.testing.assert_allclose(group_thresholds(score, (score > quartiles[s]).astype(int), s, **given), quartiles)
