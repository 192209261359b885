"""The champion's monitor: rarely a false alarm, soon a true one, and no second thoughts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from counterpoise import fairness
from counterpoise.errors import InputError
from counterpoise.retraining.monitor import Monitor, any_start, watch
from counterpoise.retraining.sequential import mixed, spent_share

SETTINGS = Monitor(tolerances={"delta_dp": 0.1})


def traffic(gaps: np.ndarray, *, errors: np.ndarray | float = 0.1, years: int = 50, rows: int = 600) -> np.ndarray:
    """Return counts [years, W, G, k, k] with these selection rate gaps and errors by week; half of the labels are 1."""
    rng = np.random.default_rng(7)
    error = np.broadcast_to(errors, gaps.shape)
    # Group 0 errs less on class 0 and more on class 1, which moves its selection rate down, and group 1 the reverse.
    shift = gaps[:, None, None] * np.array([[-0.5, 0.5], [0.5, -0.5]])
    wrong = rng.binomial(rows // 4, error[:, None, None] + shift, size=(years, len(gaps), 2, 2))
    right = rows // 4 - wrong
    return np.stack([np.stack([right[..., 0], wrong[..., 0]], -1), np.stack([wrong[..., 1], right[..., 1]], -1)], -2)


def alarms(confusion: np.ndarray) -> dict[str, np.ndarray]:
    return {item.name: item.first_alarm() for item in watch(confusion, SETTINGS, expected_error=0.1)}


def test_a_champion_at_its_limits_raises_an_alarm_as_rarely_as_they_say() -> None:
    found = alarms(traffic(np.full(30, 0.1), errors=0.12, years=400))
    assert np.mean((found["error"] >= 0) | (found["delta_dp"] >= 0)) <= 0.05


def test_a_drift_is_found_after_it_began_and_named() -> None:
    found = alarms(traffic(np.repeat([0.02, 0.18], [10, 15])))
    assert (found["delta_dp"] >= 10).all()
    assert (found["error"] == -1).all()
    found = alarms(traffic(np.zeros(25), errors=np.repeat([0.08, 0.18], [10, 15])))
    assert (found["error"] >= 10).all()
    assert (found["delta_dp"] == -1).all()


def test_the_limit_of_the_error_is_relative_to_what_was_expected() -> None:
    confusion = traffic(np.zeros(20), errors=0.18)
    assert (watch(confusion, SETTINGS, expected_error=0.18)[0].first_alarm() == -1).all()
    assert (watch(confusion, SETTINGS, expected_error=0.10)[0].first_alarm() >= 0).all()


def test_what_was_said_of_a_week_does_not_change_later() -> None:
    confusion = traffic(np.linspace(0, 0.2, 12), years=3)
    for early, late in zip(
        watch(confusion[:, :7], SETTINGS, expected_error=0.1),
        watch(confusion, SETTINGS, expected_error=0.1),
        strict=True,
    ):
        np.testing.assert_allclose(early.log_e, late.log_e[:, :7])
        np.testing.assert_allclose(early.estimate, late.estimate[:, :7])


def test_a_week_without_rows_only_passes() -> None:
    confusion = traffic(np.full(6, 0.2), years=2)
    confusion[:, 3] = 0
    for item in watch(confusion, SETTINGS, expected_error=0.1):
        assert np.isnan(item.estimate[:, 3]).all()
        assert np.isfinite(item.log_e).all()


def test_the_mixture_is_the_sum_over_starts() -> None:
    """The definition, where each start is a product of its own."""
    factors = np.random.default_rng(0).normal(0, 0.5, size=(9, 4))
    weights = np.array([spent_share(week, 5) for week in range(1, 10)])
    for week in range(9):
        processes = [weights[s] * np.exp(factors[s : week + 1].sum(0)).mean() for s in range(week + 1)]
        expected = sum(processes) + 1 - weights[: week + 1].sum()
        assert any_start(factors, 5)[week] == pytest.approx(np.log(expected))
    assert mixed(np.zeros(4)) == 0


def test_estimates_are_those_of_each_weeks_rows_and_alarms_share_the_significance() -> None:
    confusion = traffic(np.linspace(0, 0.2, 4), years=1)[0]
    settings = Monitor(tolerances={"delta_dp": 0.1, "delta_eo": 0.2}, significance=0.02)
    watched = {item.name: item for item in watch(confusion, settings, expected_error=0.1)}
    for week, counts in enumerate(confusion):
        wrong = counts[:, 0, 1].sum() + counts[:, 1, 0].sum()
        assert watched["error"].estimate[week] == pytest.approx(wrong / counts.sum())
        for metric in ("delta_dp", "delta_eo"):
            expected = getattr(fairness, metric)(torch.from_numpy(counts))
            assert watched[metric].estimate[week] == pytest.approx(float(expected))
    assert [item.needed for item in watched.values()] == pytest.approx([np.log(3 / 0.02)] * 3)
    assert [item.limit for item in watched.values()] == pytest.approx([0.1 + settings.error_margin, 0.1, 0.2])


def test_the_evidence_of_an_error_is_of_all_rows_however_they_are_grouped() -> None:
    confusion = traffic(np.zeros(5), errors=0.15, years=1)[0]
    together = np.zeros((5, 3, 2, 2), dtype=confusion.dtype)
    together[:, 2] = confusion.sum(1)
    apart, one = (watch(counts, SETTINGS, expected_error=0.1)[0] for counts in (confusion, together))
    np.testing.assert_array_equal(apart.log_e, one.log_e)
    np.testing.assert_array_equal(apart.estimate, one.estimate)


def test_a_sentence_says_since_when() -> None:
    quiet, loud = (watch(traffic(np.full(8, gap), years=1)[0], SETTINGS, expected_error=0.1)[1] for gap in (0.0, 0.2))
    assert quiet.sentence().endswith("limit 0.1; no alarm.")
    assert f": {loud.estimate[-1]:.3g} in the last week, limit" in loud.sentence()
    assert f"alarm since week {int(loud.first_alarm()) + 1}." in loud.sentence()


class TestBadInput:
    def test_names_an_expected_error_that_is_a_percentage(self) -> None:
        with pytest.raises(InputError, match="expected_error is 12, expected a share"):
            watch(traffic(np.zeros(2)), SETTINGS, expected_error=12.0)

    def test_names_traffic_without_weeks(self) -> None:
        with pytest.raises(InputError, match="no weeks"):
            watch(traffic(np.zeros(2))[:, :0], SETTINGS, expected_error=0.1)

    def test_names_a_metric_without_a_test(self) -> None:
        with pytest.raises(InputError, match="monitor: tolerances names 'err'"):
            Monitor(tolerances={"err": 0.1})


def test_biases_are_watched_of_the_groups_that_are_compared() -> None:
    confusion = traffic(np.full(3, 0.1), years=1)[0][None]
    few = np.zeros_like(confusion[:, :, :1])
    few[..., 0, 1] = 2
    three = np.concatenate([confusion, few], axis=2)
    alone, among = (
        watch(counts, SETTINGS, expected_error=0.1, compared=compared)[1]
        for counts, compared in ((confusion, None), (three, [0, 1]))
    )
    np.testing.assert_array_equal(among.log_e, alone.log_e)
    np.testing.assert_array_equal(among.estimate, alone.estimate)
