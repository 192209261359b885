"""E-processes: at most 1 in expectation where their null holds, by enumeration; bounds, mixtures and spending."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import beta, binom, multinomial

from counterpoise.errors import InputError
from counterpoise.retraining.sequential import (
    OUTCOMES,
    PAIRED,
    SCALES,
    Budget,
    bets_above,
    bets_below,
    bets_on_rates,
    mean_bounds,
    mixed,
    spent_share,
)

GAP = np.array([1.0, -1.0])
ODDS = np.array([1.0, -1.0, 1.0, -1.0])


def expectation(
    sizes: list[int], rates: list[float], weight: np.ndarray, bound: float, expected: list[float] | None = None
) -> np.ndarray:
    """Return each bet's expected factor, over all hits that can be."""
    hits = np.array(list(product(*(range(n + 1) for n in sizes))))
    probability = np.prod(binom.pmf(hits, sizes, rates), axis=-1)
    guess = None if expected is None else np.broadcast_to(expected, hits.shape)
    factors = bets_on_rates(hits, np.broadcast_to(sizes, hits.shape), weight, bound, guess)
    return probability @ np.exp(factors)


class TestRates:
    @pytest.mark.parametrize("rates", [[0.3, 0.2], [0.1, 0.0], [1.0, 0.9], [0.55, 0.45], [0.9, 0.2], [0.6, 0.5]])
    def test_a_gap_at_or_above_the_bound_earns_nothing(self, rates: list[float]) -> None:
        assert (expectation([9, 23], rates, GAP, 0.1) <= 1 + 1e-12).all()

    @pytest.mark.parametrize("rates", [[0.8, 0.7, 0.2, 0.1], [0.9, 0.6, 0.1, 0.2], [0.2, 0.0, 0.0, 0.0]])
    def test_a_sum_of_gaps_at_the_bound_earns_nothing(self, rates: list[float]) -> None:
        assert (expectation([3, 5, 4, 6], rates, ODDS, 0.2) <= 1 + 1e-12).all()

    @pytest.mark.parametrize("bound", [-1.0, -1.5])
    def test_a_bound_that_no_rates_are_below_earns_nothing(self, bound: float) -> None:
        for rates in ([0.0, 1.0], [0.3, 0.2]):
            assert (expectation([9, 23], rates, GAP, bound) <= 1 + 1e-12).all()
        np.testing.assert_allclose(expectation([9, 23], [0.0, 1.0], GAP, bound), 1)

    @pytest.mark.parametrize("expected", [[0.1, 0.05], [0.5, 0.99], [0.001, 0.999], [0.3, np.nan], [0.02, 0.3]])
    def test_a_gap_at_or_above_the_bound_earns_nothing_whatever_is_expected(self, expected: list[float]) -> None:
        for p in (0.0, 0.03, 0.2, 0.5, 0.9):
            assert (expectation([9, 23], [p + 0.1, p], GAP, 0.1, expected) <= 1 + 1e-12).all()
        assert (expectation([3, 5, 4, 6], [0.8, 0.7, 0.2, 0.1], ODDS, 0.2, expected * 2) <= 1 + 1e-12).all()

    def test_rates_that_are_expected_cost_their_variance_and_not_that_of_a_half(self) -> None:
        """With rates of 5% the least favourable ones without a guess are far away."""
        hits, sizes = np.array([20.0, 20.0]), np.array([400.0, 400.0])
        blind = bets_on_rates(hits, sizes, GAP, 0.08)
        guessed = bets_on_rates(hits, sizes, GAP, 0.08, np.array([0.05, 0.05]))
        wrong = bets_on_rates(hits, sizes, GAP, 0.08, np.array([0.95, 0.95]))
        assert guessed.max() > blind.max() + 1
        assert wrong.max() < blind.max()
        assert (bets_on_rates(hits, sizes, GAP, 0.08, np.full(2, np.nan)) == blind).all()

    def test_nothing_is_given_away_at_the_rates_that_are_expected(self) -> None:
        earned = expectation([150, 200], [0.15, 0.05], GAP, 0.1, [0.15, 0.05])
        assert (earned > 0.999).all()

    def test_nothing_is_given_away_at_the_least_favourable_rates(self) -> None:
        best = max(expectation([40, 60], [p + 0.1, p], GAP, 0.1)[0] for p in np.linspace(0.3, 0.6, 7))
        assert best > 0.99

    def test_a_batch_at_expected_rates_on_the_bound_has_the_ratio_of_their_likelihoods(self) -> None:
        """There the supremum is at these rates, where the factor is a closed form; the tilts are the docstring's."""
        hits, sizes, rates = np.array([6.0, 40.0]), np.array([40.0, 500.0]), np.array([0.15, 0.05])
        factors = bets_on_rates(hits, sizes, GAP, 0.1, rates)
        for scale, factor in zip(SCALES, factors, strict=True):
            stake = scale * (GAP / sizes) / (GAP**2 / sizes).sum()
            tilt = np.log(1 + stake * rates) - np.log(1 - stake * (1 - rates))
            expected = -(tilt * hits + sizes * np.log(1 - rates + rates * np.exp(-tilt))).sum()
            assert factor == pytest.approx(expected, abs=1e-4)

    @pytest.mark.parametrize(("unit", "bound"), [(1.0, 0.15), (0.1, 0.15), (3.0, 0.15), (1.0, -1.9), (1.0, 1.9)])
    def test_the_dual_is_the_supremum(self, unit: float, bound: float) -> None:
        """An independent search over the null; the unit of weights and bound is of no influence but on the tilts."""
        sizes, hits = np.array([30.0, 50.0, 20.0, 80.0]), np.array([20.0, 31.0, 3.0, 9.0])
        factors = bets_on_rates(hits, sizes, unit * ODDS, unit * bound)
        for scale, factor in zip(SCALES, factors, strict=True):
            tilt = scale / unit * (ODDS / sizes) / (ODDS**2 / sizes).sum()

            def negative(p: np.ndarray, tilt: np.ndarray = tilt) -> float:
                return -(sizes * np.log1p(p * np.expm1(-tilt))).sum()

            inside = {"type": "ineq", "fun": lambda p: (ODDS * p).sum() - bound}
            found = minimize(negative, [0.5, 0.3, 0.3, 0.3], bounds=[(0, 1)] * 4, constraints=[inside], tol=1e-12)
            assert factor == pytest.approx(-(tilt * hits).sum() + found.fun, abs=1e-4)

    def test_evidence_grows_with_the_bound_and_is_certain_beyond_what_can_be(self) -> None:
        values = mixed(bets_on_rates(np.full((5, 2), 30), np.full((5, 2), 100), GAP, np.array([0, 0.1, 0.2, 0.9, 1.1])))
        assert (np.diff(values) > 0).all()
        assert values[-1] == np.inf

    def test_evidence_grows_with_the_bound_with_a_guess_too(self) -> None:
        bounds, shape = np.linspace(0, 0.9, 19), (19, 2)
        guess = np.broadcast_to([0.9, 0.1], shape)
        assert (np.diff(mixed(bets_on_rates(np.full(shape, 30), np.full(shape, 100), GAP, bounds, guess))) > 0).all()

    def test_an_empty_cell_is_no_evidence(self) -> None:
        assert (bets_on_rates(np.array([0, 3]), np.array([0, 10]), GAP, 0.1) == 0).all()

    def test_weeks_with_different_base_rates_are_allowed(self) -> None:
        """The gap is at the bound each week while both rates move."""
        weeks = [expectation([8, 12], [p + 0.1, p], GAP, 0.1) for p in (0.0, 0.3, 0.9)]
        assert (np.prod(weeks, axis=0) <= 1).all()


class TestMeans:
    @pytest.mark.parametrize("mean", [0.1, 0.15, 0.4])
    def test_a_mean_at_or_above_the_bound_earns_nothing(self, mean: float) -> None:
        n = 8
        counts = np.array([c for c in product(range(n + 1), repeat=3) if sum(c) == n])
        probability = multinomial.pmf(counts, n, [0.2, 0.6 - mean, 0.2 + mean])
        earned = probability @ np.exp(bets_below(counts, PAIRED, 0.1))
        assert (earned <= 1 + 1e-12).all()
        if mean == 0.1:
            np.testing.assert_allclose(earned, 1)

    def test_only_the_average_of_the_rows_means_matters(self) -> None:
        """Half of the rows err rarely and half often: on average as often as the bound."""
        hits = np.array(list(product(range(6), range(6))))
        probability = np.prod(binom.pmf(hits, 5, [0.1, 0.5]), axis=-1)
        counts = np.stack([10 - hits.sum(-1), hits.sum(-1)], axis=-1)
        for bets in (bets_below, bets_above):
            earned = probability @ np.exp(bets(counts, OUTCOMES, 0.3))
            assert (earned <= 1 + 1e-12).all()

    def test_above_is_below_with_the_signs_changed(self) -> None:
        counts = np.array([[5, 80, 15], [20, 60, 20]])
        np.testing.assert_allclose(bets_above(counts, PAIRED, 0.02), bets_below(counts[:, ::-1], PAIRED, -0.02))

    def test_batches_multiply(self) -> None:
        counts = np.array([[5, 80, 15], [20, 60, 20]])
        np.testing.assert_allclose(bets_below(counts, PAIRED, 0.1).sum(0), bets_below(counts.sum(0), PAIRED, 0.1))

    def test_a_mean_that_cannot_be_is_refuted(self) -> None:
        assert (bets_below(np.array([1, 1]), OUTCOMES, 1.0) == np.inf).all()
        assert mixed(bets_below(np.array([0, 0]), OUTCOMES, 0.5)) == 0

    @pytest.mark.parametrize("significance", [0.05, 0.001])
    def test_bounds_are_where_evidence_suffices_and_wider_than_those_of_one_look(self, significance: float) -> None:
        wrong = np.array([0.0, 3.0, 20.0, 99.0])
        counts = np.stack([100 - wrong, wrong], axis=-1)
        low, high = mean_bounds(counts, OUTCOMES, significance)
        assert (high[:-1] > beta.isf(significance, wrong[:-1] + 1, 100 - wrong[:-1])).all()
        assert (low[1:] < beta.ppf(significance, wrong[1:], 101 - wrong[1:])).all()
        just = [mixed(bets_below(counts, OUTCOMES, high + step)) for step in (-1e-6, 1e-6)]
        assert (just[0] < -np.log(significance)).all()
        assert (just[1] > -np.log(significance)).all()

    def test_both_bounds_are_where_evidence_suffices_for_any_batch_of_differences(self) -> None:
        counts = np.array([[[5, 80, 15], [20, 60, 20]], [[0, 90, 10], [1, 3, 0]]])
        low, high = mean_bounds(counts, PAIRED, 0.05)
        for bets, bound, inwards in ((bets_above, low, 1e-6), (bets_below, high, -1e-6)):
            assert (mixed(bets(counts, PAIRED, bound + inwards)) < np.log(20)).all()
            assert (mixed(bets(counts, PAIRED, bound - inwards)) > np.log(20)).all()

    def test_looking_after_every_row_is_wrong_as_rarely_as_they_say(self) -> None:
        draws = np.random.default_rng(1).choice(3, size=(1000, 300), p=[0.05, 0.85, 0.10])
        counts = np.stack([(draws == value).cumsum(1) for value in range(3)], axis=-1)
        evidence = np.exp(mixed(bets_below(counts, PAIRED, 0.05)))
        ever = (evidence >= 10).any(1).mean()
        assert 0.01 < ever < 0.1 + 2 * np.sqrt(0.09 / 1000)

    @pytest.mark.parametrize("significance", [0.0, 1.0, -1.0])
    def test_names_a_significance_that_is_none(self, significance: float) -> None:
        with pytest.raises(InputError, match="significance is"):
            mean_bounds(np.array([1, 1]), OUTCOMES, significance)


class TestSpending:
    def test_shares_sum_as_they_say(self) -> None:
        shares = spent_share(np.arange(1, 1001), 26)
        np.testing.assert_allclose(shares.cumsum(), np.arange(1, 1001) / (np.arange(1, 1001) + 26))
        assert (np.diff(shares) < 0).all()

    def test_what_refused_challengers_had_is_at_most_the_total_whatever_is_promoted(self) -> None:
        rng = np.random.default_rng(0)
        budget, refused = Budget(np.zeros(50, dtype=int), np.zeros(50)), np.zeros(50)
        chance = rng.random(50)
        for _ in range(200):
            entering, promoted = rng.random(50) < 0.7, rng.random(50) < chance
            level, budget = budget.enter(0.05, 10, entering)
            assert ((level > 0) == entering).all()
            budget = budget.release(np.where(promoted, level, 0))
            refused += np.where(promoted, 0, level)
            assert (refused + budget.released <= 0.05).all()

    def test_a_promoted_challengers_significance_passes_to_the_next(self) -> None:
        first, budget = Budget().enter(0.05, 4)
        second, _ = budget.release(first).enter(0.05, 4)
        alone, _ = budget.enter(0.05, 4)
        assert first == pytest.approx(0.05 / 5)
        assert second == pytest.approx(first + alone)
