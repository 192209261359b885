"""Summaries against scipy and hand counts; the order of the input must not matter, nor hide a mistake in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from counterpoise.errors import InputError
from counterpoise.reporting import tables

VALUES = {
    "win_r2_a0.5": {"err": [15.0, 16.0, 17.0, 15.5], "delta_eo": [0.1, np.nan, 0.3, 0.2]},
    "tl": {"err": [14.0, 16.5, 17.5, 15.0]},
}
SELECTOR = {"variant": "win_r2_a0.5", "paper": "win", "table": "T3", "method": "win"}


def test_columns_and_order(metrics: pd.DataFrame) -> None:
    summary = tables.summary(metrics)
    assert list(summary.columns) == [
        *("method", "variant", "metric", "mean", "std", "ci_low", "ci_high", "n", "reported", "reported_std")
    ]
    assert list(summary["variant"].unique()) == ["pretrained", "tl", "svd_r1", "svd_r2", "win_r1_a0.5", "win_r2_a0.5"]
    assert list(summary["metric"][:4]) == ["err", "delta_eo", "delta_dp", "auc"]


def test_summary_by_hand(make_metrics: Any) -> None:
    summary = tables.summary(make_metrics(VALUES), [SELECTOR]).set_index(["variant", "metric"])
    row = summary.loc[("win_r2_a0.5", "err")]
    low, high = stats.t.interval(0.95, 3, loc=15.875, scale=stats.sem(VALUES["win_r2_a0.5"]["err"]))
    assert row["mean"] == pytest.approx(15.875)
    assert row["std"] == pytest.approx(np.std([15, 16, 17, 15.5], ddof=1))
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low), pytest.approx(high))
    assert (row["n"], row["reported"], row["reported_std"]) == (4, 15.829, 0.34)
    gap = summary.loc[("win_r2_a0.5", "delta_eo")]
    assert (gap["mean"], gap["n"]) == (pytest.approx(0.2), 3)
    assert np.isnan(summary.loc[("tl", "err"), "reported"])


def test_only_the_test_split_counts(make_metrics: Any) -> None:
    other = make_metrics({"tl": {"err": [99.0, 99.0]}}, split="validation")
    both = pd.concat([make_metrics(VALUES), other])
    pd.testing.assert_frame_equal(tables.summary(both), tables.summary(make_metrics(VALUES)))


def test_shuffling_the_rows_changes_nothing(metrics: pd.DataFrame) -> None:
    shuffled = metrics.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(tables.summary(shuffled), tables.summary(metrics), check_exact=True)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frame: frame.drop(columns="seed"), "the column 'seed' is missing"),
        (lambda frame: frame.assign(split="train"), r"no rows of the split 'test' .found: train"),
        (lambda frame: pd.concat([frame, frame.head(1)]), "'win_r2_a0.5' has more than one 'err' for seed 0"),
        (lambda frame: frame.assign(variant="one", metric=frame["variant"]), "'one' belongs to the methods"),
    ],
)
def test_bad_metrics_are_refused(make_metrics: Any, spoil: Any, message: str) -> None:
    values = {variant: {"err": by_metric["err"]} for variant, by_metric in VALUES.items()}
    with pytest.raises(InputError, match=message):
        tables.summary(spoil(make_metrics(values)))


def test_a_published_variant_that_was_not_run_is_refused(make_metrics: Any) -> None:
    with pytest.raises(InputError, match=r"the variant 'win_r2' was not run .did you mean 'win_r2_a0.5'"):
        tables.summary(make_metrics(VALUES), [{**SELECTOR, "variant": "win_r2"}])


def test_group_rates_by_hand() -> None:
    y, prediction = [1, 1, 0, 0, 0, 1, 0], [1, 0, 1, 0, 0, 1, 0]
    frame = pd.DataFrame({"y": y, "prediction": prediction, "s": [0, 0, 0, 0, 0, 1, 1]})
    frame = frame.assign(method="tl", variant="tl", seed=0, split="test")
    silent = frame.assign(split="train", prediction=0)
    rates = tables.group_rates(pd.concat([frame, silent]), classes=2)
    assert tuple(rates.columns) == tables.GROUP_RATE_COLUMNS
    found = {(row.group, row.rate): row.mean for row in rates.itertuples(index=False)}
    assert found == {
        (0, "accuracy"): pytest.approx(3 / 5),
        (0, "selection_rate"): pytest.approx(2 / 5),
        (0, "true_positive_rate"): pytest.approx(1 / 2),
        (0, "false_positive_rate"): pytest.approx(1 / 3),
        (1, "accuracy"): 1.0,
        (1, "selection_rate"): 0.5,
        (1, "true_positive_rate"): 1.0,
        (1, "false_positive_rate"): 0.0,
    }


@pytest.mark.parametrize(
    ("events", "has_wilson"),
    [([40, 44, 47], False), ([50, 50, 50], False), ([0, 1, 0, 3], True), ([0, 0, 0], True), ([7], True)],
)
def test_an_interval_of_a_rate_stays_within_zero_and_one(events: list[int], has_wilson: bool) -> None:
    """Where the interval over seeds leaves [0, 1] or has no width, Wilson's joins it; a rate of 1 mirrors one of 0."""
    counted, trials = np.array(events, dtype=float), np.full(len(events), 100.0)
    mean, _, low, high, n, wilson = tables.rate_interval(counted, trials)
    assert (mean, n, wilson) == (pytest.approx(counted.mean() / 100), len(events), has_wilson)
    assert 0 <= low <= mean <= high <= 1
    pooled = stats.binomtest(round(counted.mean()), 100).proportion_ci(method="wilson")
    if has_wilson:
        assert low <= pooled.low + 0.01
        assert high >= pooled.high - 0.01
    mirrored = tables.rate_interval(100 - counted, trials)
    assert (1 - mirrored[3], 1 - mirrored[2], mirrored[5]) == (pytest.approx(low), pytest.approx(high), has_wilson)


def test_group_rates_of_an_absent_class_are_missing_and_not_counted() -> None:
    frame = pd.DataFrame({"y": [0, 0, 0, 1], "prediction": [0, 1, 0, 1], "s": [0, 0, 0, 0], "seed": [0, 0, 1, 1]})
    rates = tables.group_rates(frame.assign(method="tl", variant="tl", split="test"), classes=2).set_index("rate")
    assert (rates.loc["true_positive_rate", "n"], rates.loc["true_positive_rate", "mean"]) == (1, 1.0)
    assert rates.loc["selection_rate", "n"] == 2


def test_group_rates_of_several_classes_are_one_against_the_rest() -> None:
    y, prediction = np.array([0, 1, 2, 2]), np.array([0, 2, 2, 1])
    frame = pd.DataFrame({"y": y, "prediction": prediction, "s": 0, "seed": 0})
    rates = tables.group_rates(frame.assign(method="tl", variant="tl", split="test"), classes=3)
    recalls = rates[rates["rate"] == "true_positive_rate"].set_index("label")["mean"]
    assert recalls.to_dict() == {0: 1.0, 1: 0.0, 2: 0.5}


def rates_of(hits: list[int], rows: int) -> pd.Series:
    """The selection rate of one group, `hits` of `rows` in each seed."""
    counts = [(0, seed, 0, code, count) for seed, hit in enumerate(hits) for code, count in ((1, hit), (0, rows - hit))]
    frame = pd.DataFrame(counts, columns=["s", "seed", "y", "prediction", "rows"]).assign(variant="v")
    return tables.rates_of_counts(frame, ["variant"], classes=2).set_index("rate").loc["selection_rate"]


def test_the_interval_of_a_rate_is_that_over_the_seeds_where_it_can_be() -> None:
    rate = rates_of([40, 50, 45], 100)
    low, high = stats.t.interval(0.95, 2, loc=0.45, scale=stats.sem([0.4, 0.5, 0.45]))
    assert (rate.ci_low, rate.ci_high, rate.wilson) == (pytest.approx(low), pytest.approx(high), False)


@pytest.mark.parametrize("hits", [[0, 0, 0], [100, 100], [0, 1, 3], [99, 100, 92], [7], [0]])
def test_the_interval_of_a_rate_never_leaves_zero_to_one_nor_vanishes(hits: list[int]) -> None:
    rate = rates_of(hits, 100)
    mean = np.mean(hits) / 100
    low, high = stats.binomtest(round(sum(hits)), 100 * len(hits)).proportion_ci(method="wilson")
    assert rate.wilson
    assert 0 <= rate.ci_low <= min(low + 1e-9, mean)
    assert max(high - 1e-9, mean) <= rate.ci_high <= 1  # pooled rows would make it narrower still
    assert rate.ci_high - rate.ci_low > 0.01
    assert rate.n == len(hits)


def test_the_interval_of_a_metric_is_cut_at_its_bounds(make_metrics: Any) -> None:
    values = {"tl": {"delta_eo": [0.0, 0.1, 0.0], "err": [99.0, 100.0, 97.0], "auc": [0.9, 0.8, 0.85]}}
    frame = tables.summary(make_metrics(values)).set_index("metric")
    assert frame.loc["delta_eo", "ci_low"] == 0.0
    assert frame.loc["delta_eo", "ci_high"] == pytest.approx(
        stats.t.interval(0.95, 2, 1 / 30, stats.sem([0, 0.1, 0]))[1]
    )
    assert frame.loc["err", "ci_high"] == 100.0
    assert frame.loc["auc", "ci_low"] == pytest.approx(stats.t.interval(0.95, 2, 0.85, stats.sem([0.9, 0.8, 0.85]))[0])
