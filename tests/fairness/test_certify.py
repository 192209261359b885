"""Certified tolerances: wrong as rarely as they say, on simulated candidates whose true bias is known."""

from __future__ import annotations

from importlib import import_module
from math import sqrt

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from scipy.stats import binom
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.fairness import certify, rows_needed
from counterpoise.fairness import metrics as metrics_of_counts
from counterpoise.fairness.certify import CERTIFIABLE, GRID, _signed_root, _suprema, linear_parts, p_values

MODULE = import_module("counterpoise.fairness.certify")  # the room has a function of this name
DELTA = 0.1
DRAWS = 1000
SIZES = torch.tensor([[900, 220], [1300, 500]])

BOUNDARY = {
    "balanced cells": (torch.tensor([[400, 400], [400, 400]]), [[0.20, 0.75], [0.26, 0.85]]),
    "few positives": (SIZES, [[0.04, 0.50], [0.10, 0.68]]),
    "rates near 0 and 1": (torch.tensor([[150, 40], [300, 60]]), [[0.02, 0.97], [0.14, 0.85]]),
    "gaps of opposite sign": (SIZES, [[0.30, 0.60], [0.22, 0.72]]),
}
"""(group, true class): rows, and rates of class 1."""


def rates(table: list[list[float]]) -> Tensor:
    return torch.tensor(table, dtype=torch.float64)


def draw(sizes: Tensor, rate: Tensor, generator: torch.Generator, draws: int = DRAWS) -> Tensor:
    """Return counts of candidates with these true rates, [draws, G, k, 2]."""
    n = sizes.double().expand(draws, *sizes.shape)
    hits = torch.binomial(n, rate.expand_as(n), generator=generator)
    return torch.stack([n - hits, hits], dim=-1)


def expected(sizes: Tensor, rate: Tensor) -> Tensor:
    hits = (sizes * rate).round()
    return torch.stack([sizes - hits, hits], dim=-1)


def true_bias(metric: str, sizes: Tensor, rate: Tensor) -> float:
    return abs(float(getattr(metrics_of_counts, metric)(torch.stack([sizes * (1 - rate), sizes * rate], dim=-1))))


class TestValidity:
    @pytest.mark.parametrize("metric", ["delta_dp", "equalized_odds_difference", "delta_eo", "aod"])
    @pytest.mark.parametrize("case", BOUNDARY)
    def test_a_model_at_the_tolerance_is_certified_as_rarely_as_they_say(
        self, metric: str, case: str, generator: torch.Generator
    ) -> None:
        sizes, rate = BOUNDARY[case][0], rates(BOUNDARY[case][1])
        bias = true_bias(metric, sizes, rate)
        p = p_values(draw(sizes, rate, generator), metric, bias, significance=DELTA)
        for level in (0.02, 0.1, 0.3):
            noise = 3 * sqrt(level * (1 - level) / DRAWS)
            assert (p <= level).double().mean() <= level + noise

    def test_it_is_not_far_from_the_level_where_one_gap_decides(self, generator: torch.Generator) -> None:
        sizes, rate = torch.full((2, 2), 3000), rates([[0.2, 0.6], [0.2, 0.7]])
        p = p_values(draw(sizes, rate, generator), "eod", 0.1, significance=DELTA)
        assert 0.05 < (p <= DELTA).double().mean() <= 0.12

    def test_of_many_at_the_boundary_none_is_certified_but_once_in_ten(self, generator: torch.Generator) -> None:
        sizes, rate = BOUNDARY["balanced cells"][0], rates(BOUNDARY["balanced cells"][1])
        counts = draw(sizes, rate, generator, draws=120 * 4).reshape(120, 4, 2, 2, 2)
        bias = true_bias("delta_dp", sizes, rate)
        for order in (None, [0, 1, 2, 3]):
            wrong = [certify(four, "delta_dp", bias, level=0.9, order=order).certified.any() for four in counts]
            assert torch.stack(wrong).double().mean() <= 0.1 + 3 * sqrt(0.09 / 120)

    def test_the_inequality_that_it_rests_on(self) -> None:
        """Zubkov and Serov: P(X ≤ k) lies between Φ of the signed roots of k and of k + 1."""
        for n in (1, 2, 7, 60, 800):
            k = torch.arange(n, dtype=torch.float64)
            for p in (0.001, 0.03, 0.3, 0.5, 0.9, 0.999):
                cumulated = torch.tensor(binom.cdf(k.numpy(), n, p))
                n_, p_ = torch.tensor(float(n), dtype=torch.float64), torch.tensor(p, dtype=torch.float64)
                below, above = (torch.special.ndtr(_signed_root(k + shift, n_, p_)) for shift in (0, 1))
                assert (below <= cumulated + 1e-12).all()
                assert (cumulated <= above + 1e-12).all()

    @pytest.mark.parametrize("size", [5, 60, 2000])
    def test_suprema_are_those_over_the_rates_that_rows_do_not_rule_out(self, size: int) -> None:
        """U and the largest σ by the module's definition, on a fine grid of all rates."""
        p, bound = np.linspace(0, 1, 40_001)[1:-1], 2.0
        hits = torch.linspace(0, size, 6, dtype=torch.float64).round()
        sigma = np.sqrt(p * (1 - p) / size)

        def root(k: float) -> np.ndarray:
            if k > size:
                return np.full_like(p, np.inf)
            share = max(k, 0) / size
            return np.sign(share - p) * np.sqrt(2 * size * (rel_entr(share, p) + rel_entr(1 - share, 1 - p)))

        found = torch.stack(_suprema(hits, torch.full_like(hits, size), bound), dim=-1)
        for x, of_rate in zip(hits.tolist(), found.tolist(), strict=True):
            inside = (root(x - 1) <= bound) & (root(x + 1) >= -bound)
            expected = (sigma * np.minimum(root(x + 1), bound) + p)[inside].max(), sigma[inside].max()
            assert of_rate == pytest.approx(expected, abs=1e-4)

    @pytest.mark.parametrize("size", [5, 60, 2000])
    def test_the_grid_misses_next_to_nothing(self, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        hits = torch.linspace(0, size, 6, dtype=torch.float64).round().unsqueeze(0)
        sizes = torch.full_like(hits, size)
        coarse, _ = _suprema(hits, sizes, 3.2)
        monkeypatch.setattr(MODULE, "GRID", 40 * GRID)
        fine, deviation = _suprema(hits, sizes, 3.2)
        assert (fine >= hits / size).all()
        assert ((fine - coarse) / deviation).max() < 2e-3


class TestPower:
    def test_grows_with_the_rows(self) -> None:
        rate = rates([[0.2, 0.6], [0.21, 0.62]])
        p = [float(p_values(expected(SIZES * times, rate), "delta_eo", 0.08)) for times in (1, 3, 10, 40)]
        assert p == sorted(p, reverse=True)
        assert p[0] > DELTA > p[-1]

    def test_falls_with_the_tolerance_and_grows_with_the_bias(self) -> None:
        counts = expected(SIZES * 4, rates([[0.2, 0.6], [0.21, 0.62]]))
        by_tolerance = [float(p_values(counts, "delta_eo", tolerance)) for tolerance in (0.04, 0.06, 0.1, 0.3)]
        assert by_tolerance == sorted(by_tolerance, reverse=True)
        apart = [
            float(p_values(expected(SIZES * 4, rates([[0.2, 0.6], [0.2 + gap, 0.6]])), "delta_dp", 0.1))
            for gap in (0, 0.03, 0.06, 0.2)
        ]
        assert apart == sorted(apart)

    def test_a_bias_that_is_measured_above_the_tolerance_is_no_evidence(self) -> None:
        counts = expected(SIZES, rates([[0.2, 0.6], [0.2, 0.7]]))
        assert p_values(counts, "eod", 0.099) == 1
        assert p_values(counts, "eod", 0.25) < 0.5

    def test_beats_clopper_pearson_bounds_joined_by_bonferroni(self) -> None:
        from scipy.stats import beta

        rate, sizes = rates([[0.2, 0.6], [0.22, 0.63]]), torch.full((2, 2), 1000)
        hits = (sizes * rate).round()
        upper = beta.ppf(1 - DELTA / 4, (hits[1] + 1).numpy(), (1000 - hits[1]).numpy()).sum()
        lower = beta.ppf(DELTA / 4, hits[0].numpy(), (1001 - hits[0]).numpy()).sum()
        assert p_values(expected(sizes, rate), "delta_eo", (upper - lower) * 0.7) < DELTA

    @pytest.mark.parametrize("metric", CERTIFIABLE)
    def test_a_constant_classifier_is_certified_where_rows_suffice(self, metric: str) -> None:
        assert p_values(expected(SIZES, torch.zeros(2, 2)), metric, 0.15) < DELTA
        assert p_values(expected(SIZES, torch.ones(2, 2)), metric, 0.15) < DELTA

    def test_a_tolerance_that_nothing_exceeds_certifies_everything(self) -> None:
        counts = torch.stack([expected(SIZES, rates([[0, 1], [1, 0]])), torch.zeros(2, 2, 2)])
        assert certify(counts, "delta_eo", 2.0).certified.all()
        assert certify(counts, "delta_dp", 1.0).certified.all()
        assert not certify(counts, "delta_eo", 1.9).certified.any()


class TestMetrics:
    def test_the_largest_linear_function_is_the_metric(self, generator: torch.Generator) -> None:
        """On so many rows that p-values are steps: at the true bias."""
        sizes = torch.tensor([[2e9, 1e9, 3e9], [1e9, 2e9, 2e9], [3e9, 3e9, 1e9]], dtype=torch.float64)
        for _ in range(4):
            shares = torch.rand(3, 3, 3, generator=generator, dtype=torch.float64)
            counts = sizes.unsqueeze(-1) * shares / shares.sum(-1, keepdim=True)
            for metric in CERTIFIABLE:
                bias = abs(float(getattr(metrics_of_counts, metric)(counts)))
                assert p_values(counts, metric, bias + 1e-3) < 0.01
                assert p_values(counts, metric, bias - 1e-3) == 1

    def test_groups_and_classes_may_change_places(self) -> None:
        counts = expected(SIZES * 3, rates([[0.2, 0.6], [0.23, 0.62]]))
        for metric in CERTIFIABLE:
            p = p_values(counts, metric, 0.1)
            torch.testing.assert_close(p_values(counts.flip(-3), metric, 0.1), p)
            if metric != "eod":  # of the other class it is another metric
                torch.testing.assert_close(p_values(counts.flip(-2, -1), metric, 0.1), p)

    def test_an_empty_cell_is_never_certified(self) -> None:
        counts = expected(torch.tensor([[900, 0], [900, 500]]), rates([[0.2, 0.6], [0.2, 0.6]]))
        assert p_values(counts, "delta_eo", 0.5) == 1
        assert p_values(counts, "delta_dp", 0.5) < DELTA, "its group has rows"

    def test_batches_equal_a_loop(self, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
        counts = draw(SIZES, rates([[0.2, 0.6], [0.23, 0.62]]), generator, draws=6).reshape(3, 2, 2, 2, 2)
        monkeypatch.setattr(MODULE, "RATES_AT_ONCE", 8)
        p = p_values(counts, "delta_eo", 0.2)
        alone = [[float(p_values(one, "delta_eo", 0.2)) for one in pair] for pair in counts]
        torch.testing.assert_close(p, torch.tensor(alone, dtype=torch.float64))


class TestOrder:
    @pytest.fixture
    def counts(self) -> Tensor:
        """Candidates of falling bias; the last two are within a tolerance of 0.1 beyond doubt."""
        gaps = (0.3, 0.095, 0.02, 0.01)
        return torch.stack([expected(SIZES * 4, rates([[0.2, 0.6], [0.2 + gap, 0.6 + gap]])) for gap in gaps])

    def test_a_fixed_sequence_ends_at_the_first_failure(self, counts: Tensor) -> None:
        assert certify(counts, "delta_dp", 0.1, order=[3, 2, 1, 0]).certified.tolist() == [False, False, True, True]
        assert certify(counts, "delta_dp", 0.1, order=[3, 1, 2]).certified.tolist() == [False, False, False, True]
        assert not certify(counts, "delta_dp", 0.1, order=[0, 3, 2]).certified.any()
        assert not certify(counts, "delta_dp", 0.1, order=[]).certified.any()

    def test_without_an_order_all_are_tested_at_once(self, counts: Tensor) -> None:
        result = certify(counts, "delta_dp", 0.1)
        assert result.certified.tolist() == [False, False, True, True]
        many = torch.cat([counts, counts[:1].expand(500, -1, -1, -1)])
        assert p_values(many, "delta_dp", 0.1, significance=0.1 / 504)[3] < 0.1 / 504
        assert certify(many, "delta_dp", 0.1).certified.tolist()[:4] == [False, False, True, True]


class TestRowsNeeded:
    @pytest.mark.parametrize("metric", ["delta_dp", "delta_eo", "equalized_odds_difference", "eod"])
    def test_so_many_rows_certify_as_often_as_they_say(self, metric: str, generator: torch.Generator) -> None:
        """The model of the question: both groups at the pooled rates, but for the bias."""
        pooled = torch.tensor([0.2, 0.6], dtype=torch.float64)
        needed = rows_needed(expected(SIZES, pooled.expand(2, 2)), metric, 0.1, power=0.8)
        shift = torch.tensor([0.0125, 0.0125] if metric == "delta_eo" else [0.025, 0.025])
        if metric == "equalized_odds_difference":
            shift = torch.tensor([0.0, 0.025])
        rate = torch.stack([pooled - shift, pooled + shift])
        if metric == "delta_dp":
            needed = needed[:1].expand(2, 2)  # equal shares of the classes, or groups differ beside the shift
        p = p_values(draw(needed, rate, generator), metric, 0.1, significance=DELTA)
        assert 0.7 < (p <= DELTA).double().mean() < 0.97

    def test_more_is_needed_for_less(self) -> None:
        counts = expected(SIZES, rates([[0.2, 0.6], [0.2, 0.6]]))
        rows = [rows_needed(counts, "delta_eo", tolerance)[0, 1].item() for tolerance in (0.2, 0.1, 0.05)]
        assert rows[0] < rows[1] < rows[2]
        assert 3.2 < rows[2] / rows[1] < 4.2, "a quarter of the variance"
        said = {"level": 0.9, "bias": 0.05, "power": 0.5, "candidates": 1}
        assert rows_needed(counts, "delta_eo", 0.1).equal(rows_needed(counts, "delta_eo", 0.1, **said))
        assert (rows_needed(counts, "delta_eo", 0.1, candidates=100) > rows_needed(counts, "delta_eo", 0.1)).all()
        assert (rows_needed(counts, "delta_eo", 0.1, level=0.99) > rows_needed(counts, "delta_eo", 0.1)).all()
        assert (rows_needed(counts, "delta_eo", 0.1, bias=0.0) < rows_needed(counts, "delta_eo", 0.1)).all()
        assert rows_needed(counts, "delta_eo", 2.0).tolist() == [[1, 1], [1, 1]]

    def test_proportions_are_those_of_the_counts(self) -> None:
        needed = rows_needed(expected(SIZES, rates([[0.2, 0.6], [0.2, 0.6]])), "delta_eo", 0.02).double()
        torch.testing.assert_close(needed / needed.sum(), SIZES / SIZES.double().sum(), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("groups", "classes"), [(3, 3), (3, 2), (2, 3)])
@pytest.mark.parametrize("metric", CERTIFIABLE)
def test_a_bias_is_the_largest_of_its_linear_functions(
    metric: str, groups: int, classes: int, generator: torch.Generator
) -> None:
    counts = torch.randint(5, 90, (2, 4, groups, classes, classes), generator=generator)
    hits, sizes, weight = linear_parts(counts, metric)
    bias = getattr(metrics_of_counts, metric)(counts).abs()
    torch.testing.assert_close((weight * hits / sizes).sum(-1).amax(-1), bias)


class TestBadInput:
    COUNTS = torch.ones(3, 2, 2, 2, dtype=torch.int64)

    def test_each_is_named(self) -> None:
        with pytest.raises(InputError, match="'err' cannot be certified"):
            certify(self.COUNTS, "err", 0.1)
        with pytest.raises(InputError, match="tolerance is 0, expected a positive number"):
            certify(self.COUNTS, "delta_dp", 0.0)
        with pytest.raises(InputError, match="level is 1, expected a number between 0 and 1"):
            certify(self.COUNTS, "delta_dp", 0.1, level=1.0)
        for order in ([0, 3], [0, 0]):
            with pytest.raises(InputError, match="expected different candidates from 0 to 2"):
                certify(self.COUNTS, "delta_dp", 0.1, order=order)
        with pytest.raises(InputError, match=r"a bias of 0\.2 cannot be certified to be within 0\.1"):
            rows_needed(self.COUNTS, "delta_dp", 0.1, bias=0.2)
        with pytest.raises(InputError, match="delta_eo: a group has no rows of a class"):
            rows_needed(torch.zeros(2, 2, 2), "delta_eo", 0.1)
        with pytest.raises(InputError, match="got counts for 1 group, expected at least 2"):
            p_values(self.COUNTS[:, :1], "delta_dp", 0.1)
