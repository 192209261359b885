"""Estimates of what lies behind measured gaps, on models whose true rates are known; and how far from ideal is."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from counterpoise.errors import InputError
from counterpoise.fairness import (
    CRITERIA,
    METRICS,
    Neighbours,
    confusion_counts,
    delta_eo,
    disparate_impact,
    eod,
    err,
    evaluate,
    mean_shortfall,
    noise_floor,
    shortfall,
    spd,
    underlying_bias,
    worst_group_accuracy,
)
from counterpoise.fairness.metrics import COUNT_METRICS

SIZES = torch.tensor([[900, 120], [1500, 700]])
"""[group, class], as small as a validation part: few positive rows in group 0."""


def sample(rates: list[list[float]], samples: int, models: int, sizes: torch.Tensor = SIZES) -> torch.Tensor:
    """Draw counts [S, V, G, k, k] of models whose positive rate in each [group, class] is given."""
    drawn = np.random.default_rng(3).binomial(sizes.numpy(), np.array(rates), size=(samples, models, *sizes.shape))
    positive = torch.from_numpy(drawn)
    return torch.stack([sizes - positive, positive], dim=-1)


def less_the_floor(metric: str, counts: torch.Tensor) -> torch.Tensor:
    """The simpler estimate: the whole metric less its noise floor, in quadrature."""
    floor = noise_floor(metric, counts)
    assert floor is not None
    return (COUNT_METRICS[metric](counts).abs().mean(dim=-2) ** 2 - floor.mean(dim=-2) ** 2).clamp(min=0).sqrt()


class TestUnderlyingBias:
    @pytest.mark.parametrize(
        ("metric", "zero"), [("delta_eo", 0.2), ("equalized_odds_difference", 0.2), ("eod", 0.4), ("aod", 0.4)]
    )
    def test_a_fair_model_shows_the_floor_and_is_estimated_near_zero(self, metric: str, zero: float) -> None:
        counts = sample([[0.1, 0.6], [0.1, 0.6]], samples=100, models=200)
        floor = noise_floor(metric, counts)
        assert floor is not None
        measured = COUNT_METRICS[metric](counts).abs()
        assert float(measured.mean()) == pytest.approx(float(floor.mean()), rel=0.05)
        assert float(underlying_bias(metric, counts).mean()) < 0.4 * float(floor.mean())
        few = underlying_bias(metric, counts[:10])
        assert (few == 0).float().mean() > zero, "each gap is estimated too low as often as too high, where it is 0"

    @pytest.mark.parametrize("metric", ["delta_eo", "equalized_odds_difference", "eod"])
    def test_a_large_bias_is_left_alone(self, metric: str) -> None:
        counts = sample([[0.1, 0.3], [0.1, 0.9]], samples=100, models=50)
        floor = noise_floor("delta_eo", counts)
        assert floor is not None
        assert float(floor.mean()) > 0.04
        torch.testing.assert_close(
            underlying_bias(metric, counts), torch.full((50,), 0.6, dtype=torch.float64), rtol=0.0, atol=0.02
        )

    @pytest.mark.parametrize("times", [0.5, 1.0, 2.0, 4.0])
    def test_between_the_two_it_is_near_the_truth(self, times: float) -> None:
        fair = noise_floor("eod", sample([[0.1, 0.6], [0.1, 0.6]], samples=1, models=1))
        assert fair is not None
        true = times * float(fair)
        estimate = underlying_bias("eod", sample([[0.1, 0.6 - true], [0.1, 0.6]], samples=400, models=20))
        assert float(estimate.mean()) == pytest.approx(true, abs=0.1 * float(fair))

    def test_a_fair_gap_beside_an_unfair_one(self) -> None:
        """A true ΔEO of 0.05, all of it in the false positive rates: noise of the true positive rates is no bias."""
        rates = [[0.15, 0.6], [0.1, 0.6]]
        many = sample(rates, samples=400, models=20)
        assert float(underlying_bias("delta_eo", many).mean()) == pytest.approx(0.05, abs=0.01)
        few = sample(rates, samples=10, models=400)
        ours, simpler = (float(estimate("delta_eo", few).mean()) for estimate in (underlying_bias, less_the_floor))
        assert 0.05 < ours < 0.065 < simpler

    def test_more_groups(self) -> None:
        """The largest gap of any two groups, of which each is estimated by itself."""
        sizes = torch.tensor([[900, 120], [1500, 700], [400, 300]])
        rates = [[0.1, 0.5], [0.1, 0.6], [0.2, 0.6]]
        true = max(sum(abs(a - b) for a, b in zip(one, other, strict=True)) for one, other in combinations(rates, 2))
        estimate = underlying_bias("delta_eo", sample(rates, samples=400, models=20, sizes=sizes))
        assert float(estimate.mean()) == pytest.approx(true, abs=0.01)
        fair = underlying_bias("spd", sample([[0.3, 0.3]] * 3, samples=400, models=20, sizes=sizes))
        assert float(fair.mean()) < 0.01

    @pytest.mark.parametrize(("apart", "within"), [(0.0, 0.08), (0.06, 0.04), (0.12, 0.04), (0.24, 0.06), (0.36, 0.09)])
    def test_the_largest_of_many_gaps_is_not_mostly_chance(self, apart: float, within: float) -> None:
        """Eight groups, of which one has higher rates: pair by pair, the largest gap is 0.17 where all are equal."""
        rows = torch.tensor([4000, 2500, 800, 600, 300, 250, 200, 160])
        sizes = torch.stack([rows * 17 // 20, rows * 3 // 20], dim=1)
        rates = [[0.1 + 0.2 * apart, 0.5 + 0.8 * apart], *[[0.1, 0.5]] * 7]
        estimate = underlying_bias("delta_eo", sample(rates, samples=1, models=600, sizes=sizes))
        assert float(estimate.mean()) == pytest.approx(apart, abs=within)

    def test_a_group_that_a_sample_lacks_says_nothing_of_the_others(self) -> None:
        sizes = torch.tensor([[900, 120], [1500, 700], [400, 300]])
        counts = sample([[0.1, 0.5], [0.1, 0.6], [0.3, 0.9]], samples=3, models=2, sizes=sizes)
        lacking = counts.clone()
        lacking[1, :, 2] = 0
        estimates = [underlying_bias("eod", each) for each in (counts, lacking, counts[[0, 2]])]
        assert not torch.stack(estimates).isnan().any()
        torch.testing.assert_close(estimates[1], estimates[2], rtol=0.05, atol=0.02)

    def test_more_classes(self) -> None:
        """Every class against the rest, as the metric has it: with many rows the estimate is the metric."""
        generator = torch.Generator().manual_seed(0)
        s, y, prediction = (torch.randint(high, (50_000,), generator=generator) for high in (2, 3, 3))
        prediction = torch.where((s == 0) & (torch.rand(50_000, generator=generator) < 0.3), y, prediction)
        counts = confusion_counts(y, prediction.unsqueeze(0), s, groups=2, classes=3)
        for metric in ("delta_eo", "delta_dp", "eod", "aod", "equalized_odds_difference"):
            measured = COUNT_METRICS[metric](counts).abs()
            torch.testing.assert_close(underlying_bias(metric, counts.unsqueeze(0)), measured, rtol=0.02, atol=0.01)

    def test_it_is_smaller_than_what_is_measured_and_keeps_the_order(self) -> None:
        gaps = (0.0, 0.1, 0.2, 0.3)
        counts = torch.cat([sample([[0.1, 0.6 - gap], [0.1, 0.6]], samples=50, models=1) for gap in gaps], dim=1)
        estimate = underlying_bias("delta_eo", counts)
        assert (estimate.diff() > 0).all()
        assert (estimate[:2] < delta_eo(counts).mean(dim=0)[:2]).all()

    @pytest.mark.parametrize("metric", ["eod", "spd"])
    def test_one_sample_and_signed_metrics(self, metric: str) -> None:
        counts = sample([[0.1, 0.3], [0.1, 0.9]], samples=1, models=3)
        measured = {"eod": eod, "spd": spd}[metric](counts)[0]
        assert (measured < 0).all()
        predicted = {"eod": counts[0, :, :, 1], "spd": counts[0].sum(-2)}[metric].double()  # [V, G, predicted class]
        n, p = predicted.sum(-1), predicted[..., 1] / predicted.sum(-1)
        variance = (p * (1 - p) / (n - 1)).sum(-1)
        torch.testing.assert_close(underlying_bias(metric, counts), (measured**2 - variance).sqrt())

    @pytest.mark.parametrize("metric", ["disparate_impact", "worst_group_accuracy", "err"])
    def test_a_metric_that_is_no_gap_is_as_measured(self, metric: str) -> None:
        counts = sample([[0.1, 0.3], [0.1, 0.9]], samples=4, models=3)
        expected = {
            "disparate_impact": 1 - disparate_impact(counts),
            "worst_group_accuracy": 1 - worst_group_accuracy(counts),
            "err": err(counts) / 100,
        }[metric]
        torch.testing.assert_close(underlying_bias(metric, counts), expected.mean(dim=0))

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("metric", ["delta_eo", "eod", "worst_group_accuracy", "balanced_accuracy"])
    def test_a_sample_that_lacks_what_the_metric_needs_says_nothing(self, metric: str) -> None:
        counts = sample([[0.1, 0.3], [0.1, 0.9]], samples=3, models=2)
        lacking = counts.clone()
        if metric == "worst_group_accuracy":
            lacking[1, :, 0] = 0
        else:
            lacking[1, :, :, 1] = 0
        torch.testing.assert_close(underlying_bias(metric, lacking), underlying_bias(metric, counts[[0, 2]]))
        assert underlying_bias(metric, lacking[[1]]).isnan().all()

    def test_what_cannot_be_counted(self) -> None:
        counts = sample([[0.1, 0.3], [0.1, 0.9]], samples=1, models=1)
        with pytest.raises(InputError, match="'auc' cannot be computed from counts"):
            underlying_bias("auc", counts)
        with pytest.raises(
            InputError, match=r"No metric with an ideal value is called 'delta_oe'.*did you mean 'delta_eo'"
        ):
            underlying_bias("delta_oe", counts)


class TestNeighbours:
    every = Neighbours(torch.tensor([[0, 1], [0, 1]]), torch.tensor([[0.5, 0.5], [0.0, 1.0]]))

    @pytest.mark.parametrize("metric", ["eod", "spd", "disparate_impact"])
    def test_of_equal_models_nothing_changes(self, metric: str) -> None:
        counts = sample([[0.1, 0.3], [0.1, 0.9]], samples=4, models=1).expand(-1, 2, -1, -1, -1)
        torch.testing.assert_close(underlying_bias(metric, counts, self.every), underlying_bias(metric, counts))

    def test_squares_are_averaged_where_a_gap_is_estimated(self) -> None:
        counts = torch.cat([sample([[0.1, r], [0.1, 0.9]], samples=9, models=1) for r in (0.3, 0.5)], dim=1)
        alone, together = underlying_bias("eod", counts), underlying_bias("eod", counts, self.every)
        torch.testing.assert_close(together[0] ** 2, (alone**2).mean())
        torch.testing.assert_close(together[1], alone[1])

    def test_one_without_a_value_has_no_say_and_gets_none(self) -> None:
        values = torch.tensor([[0.1, float("nan")], [0.3, float("nan")]], dtype=torch.float64)
        found = mean_shortfall(values, self.every)
        assert found[0] == pytest.approx(0.2)
        assert found[1].isnan()

    def test_estimates_of_fair_models_scatter_less(self) -> None:
        """Independent samples of the same: the mean of sixteen has less noise than each."""
        counts = sample([[0.15, 0.6], [0.1, 0.5]], samples=10, models=64)
        blocks = torch.arange(64).unflatten(0, (4, 16)).repeat_interleave(16, dim=0)
        alone = underlying_bias("delta_eo", counts)
        together = underlying_bias("delta_eo", counts, Neighbours(blocks, torch.ones(64, 16)))
        assert together.std() < 0.5 * alone.std()
        assert float(together.mean()) == pytest.approx(0.15, abs=0.02)


class TestShortfall:
    @pytest.mark.parametrize(
        ("metric", "value", "expected"),
        [
            ("delta_eo", 0.2, 0.2),
            ("spd", -0.2, 0.2),
            ("mean_bias", 0.1, 0.1),
            ("err", 16.0, 0.16),
            ("accuracy", 0.8, 0.2),
            ("auc", 0.9, 0.1),
            ("disparate_impact", 0.8, 0.2),
            ("worst_group_accuracy", 0.75, 0.25),
        ],
    )
    def test_by_hand(self, metric: str, value: float, expected: float) -> None:
        assert float(shortfall(metric, torch.tensor(value, dtype=torch.float64))) == pytest.approx(expected)

    def test_a_perfect_model_falls_short_of_nothing(self) -> None:
        generator = torch.Generator().manual_seed(0)
        y, s = (torch.randint(2, (400,), generator=generator) for _ in range(2))
        y[:4], s[:4] = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
        # as many positives in each group, so that a perfect model has parity too
        y, s = torch.cat([y, y]), torch.cat([s, 1 - s])
        found = evaluate(y, s, y, y.float(), groups=2, classes=2)
        assert set(found) == set(CRITERIA)
        for metric, value in found.items():
            assert float(shortfall(metric, value)) == pytest.approx(0.0, abs=1e-12), metric

    def test_leakage_belongs_to_the_features(self) -> None:
        assert set(METRICS) - set(CRITERIA) == {
            "leakage",
            "information",
            "conflict_gap",
            "conflicting_accuracy",
            "unbiased_average",
        }
        with pytest.raises(InputError, match="No metric with an ideal value is called 'leakage'"):
            shortfall("leakage", torch.tensor(0.6))
