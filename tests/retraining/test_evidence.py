"""Counts of rows against a loop over them, and evidence of bias against the metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from counterpoise import fairness
from counterpoise.errors import InputError
from counterpoise.fairness.statistics import wilson
from counterpoise.retraining.evidence import UNLABELLED, BiasEvidence, biases, by_group, collect, error_sequence


def rows(n: int = 300, classes: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    arrays = {name: rng.integers(0, classes, n) for name in ("y", "first", "champion", "challenger")}
    return arrays | {"s": rng.integers(0, 3, n), "batch": rng.integers(0, 4, n)}


@pytest.mark.parametrize("classes", [2, 4])
def test_counts_are_those_of_a_loop(classes: int) -> None:
    data = rows(classes=classes)
    data["y"][:40] = UNLABELLED
    evidence = collect(**data, groups=3, classes=classes)
    expected = {name: np.zeros_like(getattr(evidence, f"against_{name}")) for name in ("first", "champion")}
    confusion = np.zeros_like(evidence.confusion)
    for i, y in enumerate(data["y"]):
        if y < 0:
            continue
        cell = data["batch"][i], data["s"][i], y
        for name, table in expected.items():
            table[(*cell, 1 + int(data["challenger"][i] != y) - int(data[name][i] != y))] += 1
        confusion[(*cell, data["challenger"][i])] += 1
    np.testing.assert_array_equal(evidence.against_first, expected["first"])
    np.testing.assert_array_equal(evidence.against_champion, expected["champion"])
    np.testing.assert_array_equal(evidence.confusion, confusion)
    assert evidence.waiting == 40


def test_a_label_that_arrives_makes_its_row_evidence() -> None:
    data = rows()
    early = {name: array.copy() for name, array in data.items()}
    early["y"][:10] = UNLABELLED
    before, after = (collect(**table, groups=3, classes=2) for table in (early, data))
    assert (before.confusion.sum(), before.waiting) == (290, 10)
    assert (after.confusion.sum(), after.waiting) == (300, 0)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [("y", 2, "y holds 2, expected 0 to 1"), ("s", 3, "s holds 3"), ("challenger", -1, "challenger holds -1")],
)
def test_names_a_value_that_is_outside_its_range(name: str, value: int, sentence: str) -> None:
    data = rows()
    data[name][5] = value
    if name == "y":
        value = UNLABELLED
    with pytest.raises(InputError, match=sentence):
        collect(**data, groups=3, classes=2)


def test_names_rows_that_all_wait() -> None:
    data = rows()
    data["y"][:] = UNLABELLED
    with pytest.raises(InputError, match="None of the 300 rows has a label yet"):
        collect(**data, groups=3, classes=2)


@pytest.mark.parametrize("metric", ["delta_dp", "delta_eo", "equalized_odds_difference"])
def test_the_estimate_is_the_metric(metric: str) -> None:
    data = rows()
    evidence = BiasEvidence.of(collect(**data, groups=3, classes=2).confusion, metric)
    y, prediction, s = (torch.from_numpy(data[name]) for name in ("y", "challenger", "s"))
    counts = fairness.confusion_counts(y, prediction, s, groups=3, classes=2)
    assert evidence.estimate() == pytest.approx(float(getattr(fairness, metric)(counts)))


def test_an_estimate_needs_one_row_of_each_cell() -> None:
    """Of one group a single row of the class."""
    counts = np.array([[[[8, 2], [1, 0]], [[6, 4], [3, 1]]]])
    assert BiasEvidence.of(counts, "eod").estimate() == pytest.approx(0.25)
    counts[0, 0, 1] = 0
    assert np.isnan(BiasEvidence.of(counts, "eod").estimate())


def test_the_upper_bound_is_the_smallest_tolerance_that_is_shown() -> None:
    evidence = BiasEvidence.of(collect(**rows(3000), groups=3, classes=2).confusion, "delta_eo")
    bound = float(evidence.upper_bound(0.01))
    assert evidence.estimate() < bound
    assert evidence.log_e_within(bound + 1e-4) > -np.log(0.01) > evidence.log_e_within(bound - 1e-4)


def test_bets_expect_the_rates_of_earlier_batches() -> None:
    """With a hit and a miss added; so three weeks show more than their sum, in which nothing is earlier."""
    week = np.array([[[90, 10], [30, 70]], [[85, 15], [35, 65]]])
    evidence = BiasEvidence.of(np.stack([week, week, week]), "delta_eo")
    rates = (2 * evidence.hits[0] + 1) / (2 * evidence.sizes[0] + 2)
    expected = evidence._expected()
    assert np.isnan(expected[0]).all()
    np.testing.assert_allclose(expected[2], rates)
    without = BiasEvidence(evidence.hits[:1], evidence.sizes[:1], evidence.weight)
    pooled = BiasEvidence(evidence.hits.sum(0, keepdims=True), evidence.sizes.sum(0, keepdims=True), evidence.weight)
    assert evidence.log_e_within(0.4) > max(without.log_e_within(0.4), pooled.log_e_within(0.4))


def test_a_bias_is_not_shown_to_be_both_within_and_beyond() -> None:
    evidence = BiasEvidence.of(np.array([[[[900, 100], [100, 900]], [[600, 400], [100, 900]]]]), "delta_dp")
    assert evidence.log_e_beyond(0.05) > np.log(100) > evidence.log_e_within(0.05)
    assert evidence.log_e_within(0.3) > np.log(100) > evidence.log_e_beyond(0.3)


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
