"""Counts by group against the definitions, row by row."""

from __future__ import annotations

import numpy as np
import pytest

from counterpoise.fairness.statistics import wilson
from counterpoise.retraining.measures import biases, by_group, error_sequence


@pytest.fixture
def confusion() -> np.ndarray:
    return np.random.default_rng(3).integers(5, 60, (3, 2, 2, 2))


def test_rates_are_those_of_the_rows(confusion: np.ndarray) -> None:
    counts = confusion.sum(0)
    everyone, women, men = by_group(counts, ["women", "men"])
    assert [row["group"] for row in (everyone, women, men)] == ["all", "women", "men"]
    assert everyone["rows"] == women["rows"] + men["rows"] == counts.sum()
    y, z = np.array([(y, z) for y in (0, 1) for z in (0, 1) for _ in range(counts[0, y, z])]).T
    assert women["error"] == pytest.approx((y != z).mean())
    assert women["selected"] == pytest.approx((z == 1).mean())
    low, high = wilson(np.array([(y != z).sum()]).astype(float), np.array([float(len(y))]), level=0.95)
    assert (women["error_low"], women["error_high"]) == pytest.approx((low[0], high[0]))


def test_a_group_without_rows_has_no_rates() -> None:
    counts = np.zeros((2, 2, 2), dtype=int)
    counts[0] = 5
    _, _, absent = by_group(counts, ["a", "b"])
    assert absent["rows"] == 0
    assert absent["error"] is None


def test_biases_have_bounds_above_their_estimates(confusion: np.ndarray) -> None:
    (bias,) = biases(confusion, {"delta_dp": 0.1}, 0.05)
    rates = confusion.sum(0)[:, :, 1].sum(1) / confusion.sum((0, 2, 3))
    assert bias["estimate"] == pytest.approx(abs(rates[0] - rates[1]))
    assert bias["estimate"] < bias["bound"] <= 1


def test_the_error_lies_within_its_confidence_sequence_which_more_rows_narrow(confusion: np.ndarray) -> None:
    one, many = error_sequence(confusion, 0.05), error_sequence(confusion * 50, 0.05)
    assert one["error"] == pytest.approx(many["error"])
    assert one["low"] < many["low"] < many["error"] < many["high"] < one["high"]
