"""Intervals and tests against scipy, Holm against its definition by closure, and the table of verdicts."""

from __future__ import annotations

from inspect import unwrap
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from counterpoise.errors import InputError
from counterpoise.fairness import design_effect, holm, paired_difference, summarize, verdict, verdicts, wilson

few = settings(deadline=None, max_examples=50, derandomize=True)
measured = st.floats(-100, 100).map(lambda value: round(value, 3))
probabilities = st.floats(0, 1)


class TestSummarize:
    @few
    @given(arrays(np.float64, st.integers(2, 12), elements=measured), st.sampled_from([0.8, 0.95, 0.99]))
    def test_as_scipy(self, values, level):
        summary = summarize(values, level=level)
        error = stats.sem(values)
        assert summary.mean == pytest.approx(values.mean())
        assert summary.std == pytest.approx(values.std(ddof=1))
        assert summary.n == len(values)
        if error > 0:
            low, high = stats.t.interval(level, len(values) - 1, values.mean(), error)
            assert (summary.ci_low, summary.ci_high) == (pytest.approx(low), pytest.approx(high))

    def test_batch_axes_equal_a_loop_and_missing_replicates_are_left_out(self):
        values = np.random.default_rng(0).normal(size=(4, 3, 7))
        values[1, 2, :3] = np.nan
        summary = summarize(values)
        for index in np.ndindex(4, 3):
            alone = summarize(values[index][~np.isnan(values[index])])
            for field in ("mean", "std", "ci_low", "ci_high", "n"):
                assert getattr(summary, field)[index] == pytest.approx(getattr(alone, field))
        assert summary.n[1, 2] == 4

    def test_one_value_has_no_spread_and_none_has_no_mean(self):
        one = summarize(np.array([3.0, np.nan]))
        assert (one.mean, one.n) == (3, 1)
        assert np.isnan([one.std, one.ci_low, one.ci_high]).all()
        none = summarize(np.array([np.nan]))
        assert none.n == 0
        assert np.isnan([none.mean, none.std, none.ci_low, none.ci_high]).all()

    def test_covers_the_mean_as_often_as_it_says(self):
        draws = np.random.default_rng(1).normal(loc=2, size=(20_000, 5))
        summary = summarize(draws, level=0.9)
        covered = (summary.ci_low <= 2) & (summary.ci_high >= 2)
        assert covered.mean() == pytest.approx(0.9, abs=0.01)

    def test_nadeau_and_bengio(self):
        values, ratio = np.array([1.0, 4.0, 2.0, 7.0]), 5_000 / 12_287
        summary = summarize(values, correction=ratio)
        half = stats.t.ppf(0.975, 3) * np.sqrt((1 / 4 + ratio) * values.var(ddof=1))
        assert summarize(values, correction=0.0) == summarize(values)
        assert summary.ci_high - summary.mean == pytest.approx(half)
        assert summary.mean - summary.ci_low == pytest.approx(half)
        assert summary.std == pytest.approx(
            values.std(ddof=1)
        )  # the spread is what it is; only the mean's variance grows

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"level": 95.0}, "level is 95"),
            ({"level": 1.0}, "level is 1"),
            ({"level": 0.0}, "level is 0"),
            ({"correction": -0.1}, "correction is -0.1"),
        ],
    )
    def test_settings_out_of_range_are_named(self, wrong, said):
        with pytest.raises(InputError, match=said):
            summarize(np.ones(3), **wrong)

    def test_infinite_values_are_refused(self):
        with pytest.raises(InputError, match="infinite"):
            summarize(np.array([1.0, np.inf]))


class TestPairedDifference:
    @few
    @given(arrays(np.float64, (2, 8), elements=measured))
    def test_as_scipy(self, pair):
        a, b = pair
        if np.ptp(a - b) < 1e-6:
            return
        found, expected = paired_difference(a, b, level=0.9), stats.ttest_rel(a, b)
        interval = expected.confidence_interval(0.9)
        assert found.difference == pytest.approx((a - b).mean())
        assert found.p == pytest.approx(expected.pvalue)
        assert (found.ci_low, found.ci_high) == (pytest.approx(interval.low), pytest.approx(interval.high))

    def test_sign_and_missing_pairs(self):
        a, b = np.array([1.0, 2.0, np.nan, 4.0]), np.array([2.0, np.nan, 3.0, 7.0])
        found, mirrored = paired_difference(a, b), paired_difference(b, a)
        assert (found.difference, found.n) == (-2, 2)
        assert mirrored.difference == 2
        assert (mirrored.ci_low, mirrored.ci_high) == (-found.ci_high, -found.ci_low)
        assert mirrored.p == found.p

    @pytest.mark.parametrize("values", [[0.1, 0.2, 0.7], [-0.1, -0.2, -0.7], [0.3, 0.4], [0.0, 0.0, 0.0]])
    @pytest.mark.parametrize("noise", [0, 1e-15])
    @pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
    def test_identical_values_do_not_differ(self, values, noise, unit):
        a = unit * np.array(values)
        found = paired_difference(a, a * (1 + noise * np.arange(len(a))))
        assert (found.difference, found.ci_low, found.ci_high, found.p, found.n) == (0, 0, 0, 1, len(a))

    @pytest.mark.parametrize("noise", [0, 1e-16])
    @pytest.mark.parametrize("unit", [1e-6, 1.0, -1e6])
    def test_differences_without_spread_cannot_be_judged(self, noise, unit):
        a, b = unit * np.array([0.1, 0.2, 0.3]), unit * np.array([0.2 + noise, 0.3, 0.4])
        for replicates in (2, 3):
            found = paired_difference(a[:replicates], b[:replicates])
            assert (found.difference, found.n) == (pytest.approx(-0.1 * unit), replicates)
            assert np.isnan([found.ci_low, found.ci_high, found.p]).all()
            assert verdict(found.difference, holm(np.array([found.p]))[0], "lower") == "not distinguishable"

    @pytest.mark.parametrize("n", [0, 1])
    def test_too_few_pairs_say_nothing(self, n):
        for other in (np.zeros(n), np.ones(n)):
            found = paired_difference(np.ones(n), other)
            assert found.n == n
            assert np.isnan([found.ci_low, found.ci_high, found.p]).all()

    def test_corrected_resampled_t_test(self):
        a, b, ratio = np.array([3.0, 5.0, 4.0, 6.5]), np.array([2.5, 3.0, 4.5, 4.0]), 0.25
        d = a - b
        t = d.mean() / np.sqrt((1 / 4 + ratio) * d.var(ddof=1))
        found = paired_difference(a, b, correction=ratio)
        assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 3))
        assert found.p > paired_difference(a, b).p

    def test_lengths_that_differ_are_named(self):
        with pytest.raises(InputError, match="3 and 4 replicates"):
            unwrap(paired_difference)(np.ones(3), np.ones(4))  # without the tests' shape checks


class TestHolm:
    @few
    @given(arrays(np.float64, st.integers(1, 6), elements=probabilities))
    def test_is_the_closed_test_of_bonferroni(self, p):
        """Holm rejects H_i just where Bonferroni rejects every intersection of hypotheses with H_i in it."""
        m = len(p)
        subsets = [subset for size in range(1, m + 1) for subset in combinations(range(m), size)]
        expected = [max(min(1, len(sub) * p[list(sub)].min()) for sub in subsets if i in sub) for i in range(m)]
        np.testing.assert_allclose(holm(p), expected)

    def test_worked_example(self):
        np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])

    def test_a_test_that_was_not_made_does_not_count(self):
        adjusted = holm(np.array([0.01, np.nan, 0.04]))
        np.testing.assert_allclose(adjusted, [0.02, np.nan, 0.04])
        assert holm(np.array([])).shape == (0,)
        assert holm(np.array([0.0, 1.0])).tolist() == [0, 1], "both are probabilities"

    def test_what_is_no_probability_is_refused(self):
        with pytest.raises(InputError, match=r"between 0.1 and 1.5"):
            holm(np.array([0.1, 1.5]))


@pytest.mark.parametrize(
    ("difference", "p", "lower", "higher", "equal"),
    [
        (-0.1, 0.01, "supported", "contradicted", "contradicted"),
        (+0.1, 0.01, "contradicted", "supported", "contradicted"),
        (-0.1, 0.20, *["not distinguishable"] * 3),
        (+0.1, 0.20, *["not distinguishable"] * 3),
        (0.0, 1.0, *["not distinguishable"] * 3),
        (np.nan, np.nan, *["not distinguishable"] * 3),
        (-1.0, np.nan, *["not distinguishable"] * 3),
    ],
)
def test_verdicts(difference, p, lower, higher, equal):
    assert verdict(difference, p, "lower") == lower
    assert verdict(difference, p, "higher") == higher
    assert verdict(difference, p, "equal") == equal


def test_the_verdict_follows_the_level():
    assert verdict(-1.0, 0.03, "lower", level=0.95) == "supported"
    assert verdict(-1.0, 0.03, "lower", level=0.99) == "not distinguishable"


def test_verdicts_share_one_correction() -> None:
    """Three differences, of which one alone would pass by itself and does not among three."""
    rng = np.random.default_rng(0)
    differences = [paired_difference(rng.normal(shift, 1, 8), np.zeros(8)) for shift in (0.0, 1.1, 9.0)]
    claimed = ["lower", "lower", "higher"]
    found = verdicts(differences, claimed)
    assert [p for p, _ in found] == pytest.approx(holm(np.array([difference.p for difference in differences])))
    for difference, direction, (p, name) in zip(differences, claimed, found, strict=True):
        assert name == verdict(difference.difference, p, direction)
    assert verdicts([], []) == []


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_wilson_agrees_with_scipy_and_stays_within_zero_and_one(level: float) -> None:
    for trials in (1, 7, 100):
        events = np.arange(trials + 1.0)
        low, high = wilson(events, np.full(trials + 1, float(trials)), level=level)
        for event, left, right in zip(events, low, high, strict=True):
            expected = stats.binomtest(int(event), trials).proportion_ci(level, method="wilson")
            assert (left, right) == (pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high, abs=1e-12))
            assert 0 <= left <= event / trials <= right <= 1
        assert low[0] == 0
        assert high[-1] == 1


def test_wilson_without_trials_is_missing_and_bad_counts_are_refused() -> None:
    assert np.isnan(wilson(np.array([0.0]), np.array([0.0]))).all()
    for events in (-1.0, 3.0):
        with pytest.raises(InputError, match="more events than trials"):
            wilson(np.array([events, 1.0]), np.array([2.0, 2.0]))
    with pytest.raises(InputError, match="level is 95"):
        wilson(np.array([1.0]), np.array([2.0]), level=95.0)


def test_design_effect_is_that_of_drawing_units_again() -> None:
    generator = np.random.default_rng(0)
    unit = np.sort(generator.integers(400, size=3000))
    inclined = generator.beta(0.5, 0.5, size=400)
    events = (generator.random(3000) < inclined[unit]).astype(float)
    sums, sizes = np.bincount(unit, weights=events, minlength=400), np.bincount(unit, minlength=400)
    drawn = generator.integers(400, size=(4000, 400))
    shares = sums[drawn].sum(1) / sizes[drawn].sum(1)
    independent = events.mean() * (1 - events.mean()) / len(events)
    assert design_effect(events, unit) == pytest.approx(shares.var() / independent, rel=0.1)
    assert design_effect(events, unit) > 3
    assert design_effect(events, np.arange(3000)) == pytest.approx(1, abs=0.001)
    assert design_effect(np.repeat(events, 4), np.repeat(np.arange(3000), 4)) == pytest.approx(4, abs=0.01)


def test_design_effect_needs_two_units_and_a_share_that_varies() -> None:
    for events, unit in (([0, 1], [0, 0]), ([1, 1], [0, 1]), ([0, 0, 0], [0, 1, 2])):
        assert np.isnan(design_effect(np.array(events), np.array(unit)))
