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
