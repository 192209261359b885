"""Numbers as they are printed."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from counterpoise.reporting import wording


@pytest.mark.parametrize(
    ("value", "metric", "signed", "text"),
    [
        (15.826, "err", False, "15.83"),
        (0.1969, "delta_eo", False, "0.197"),
        (-0.0012, "delta_eo", True, "−0.001"),
        (0.0012, "delta_eo", True, "+0.001"),
        (-0.0001, "delta_eo", True, "0.000"),
        (float("nan"), "err", False, "n/a"),
        (None, "err", False, "n/a"),
        (pd.NA, "err", False, "n/a"),
    ],
)
def test_number(value: Any, metric: str, signed: bool, text: str) -> None:
    assert wording.number(value, metric, signed=signed) == text


def test_a_papers_number_keeps_its_digits() -> None:
    assert wording.reported(16.165, float("nan"), "err") == "16.165"
    assert wording.reported(15.829, 0.34, "err") == "15.829 ± 0.340"
    assert wording.reported(0.3637, float("nan"), "accuracy") == "0.3637"


@pytest.mark.parametrize(("p", "text"), [(0.0004, "< 0.001"), (0.0123, "0.012"), (1.0, "1.000"), (float("nan"), "n/a")])
def test_p_value(p: float, text: str) -> None:
    assert wording.p_value(p) == text


def test_metrics_keep_one_order() -> None:
    shuffled = ["zeta", "auc", "delta_dp", "alpha", "err", "delta_eo"]
    assert wording.metric_order(shuffled) == ["err", "delta_eo", "delta_dp", "auc", "alpha", "zeta"]


@pytest.mark.parametrize(
    ("words", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_enumerate_words(words: list[str], text: str) -> None:
    assert wording.enumerate_words(words) == text


def test_methods_keep_one_order() -> None:
    shuffled = ["theirs", "threshold_optimizer", "chosen_leaves", "win", "theirs", "chosen", "tl"]
    expected = ["tl", "win", "chosen", "chosen_leaves", "threshold_optimizer", "theirs"]
    assert wording.method_order(shuffled) == expected


@pytest.mark.parametrize(
    ("part", "title"),
    [("eo_0.1", "EO 0.1"), ("dp_0.9", "DP 0.9"), ("mlp3", "MLP-3"), ("sgd", "SGD"), ("resnet50", "resnet50")],
)
def test_part_title(part: str, title: str) -> None:
    assert wording.part_title(part) == title


@pytest.mark.parametrize(("variant", "parts"), [("eo_0.1/win_r2", ("eo_0.1", "win_r2")), ("tl", ("", "tl"))])
def test_a_variant_is_its_part_and_the_rest(variant: str, parts: tuple[str, str]) -> None:
    assert wording.split_part(variant) == parts
    assert wording.join_part(*parts) == variant


def test_a_method_with_several_variants_names_them() -> None:
    titles = wording.variant_titles({"tl": "tl", "svd_r1": "svd", "svd_r2": "svd"})
    assert titles == {"tl": "TL (plain fine-tuning)", "svd_r1": "f+SVD: svd_r1", "svd_r2": "f+SVD: svd_r2"}


def test_only_a_signed_gap_needs_its_absolute_value() -> None:
    assert (wording.gap_symbol("spd"), wording.gap_symbol("delta_eo")) == ("|SPD|", "ΔEO")


@pytest.mark.parametrize(
    ("metric", "symbol"),
    [
        ("delta_eo", "ΔEO"),
        ("spd", "|SPD|"),
        ("worst_group_accuracy", "1 − worst-group accuracy"),
        ("auc", "1 − AUC"),
        ("err", "error / 100"),
    ],
)
def test_a_tolerance_bounds_what_is_missing_from_the_ideal(metric: str, symbol: str) -> None:
    assert wording.shortfall_symbol(metric) == symbol


@pytest.mark.parametrize(
    ("seconds", "exact", "rough"),
    [
        (0.04, "0.0 s", "1 s"),
        (7.26, "7.3 s", "7 s"),
        (59.4, "59 s", "59 s"),
        (59.6, "1 min", "1 min"),
        (185.0, "3 min 5 s", "3 min"),
        (3599.6, "1 h", "1 h"),
        (7510.0, "2 h 5 min", "2 h 5 min"),
    ],
)
def test_a_time_has_two_units_at_most(seconds: float, exact: str, rough: str) -> None:
    assert wording.duration(seconds) == exact
    assert wording.duration(seconds, rough=True) == rough
