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


def test_correction_widens_the_interval_and_leaves_the_rest(make_metrics: Any) -> None:
    plain, wide = (tables.summary(make_metrics(VALUES), correction=c).iloc[0] for c in (None, 0.5))
    assert wide["ci_high"] - wide["mean"] == pytest.approx((plain["ci_high"] - plain["mean"]) * np.sqrt(1 + 4 * 0.5))
    assert (wide["mean"], wide["std"]) == (plain["mean"], plain["std"])


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
