"""Numbers that seem to stand for missing ones: found where the evidence is strong, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.data.sentinels import sentinels

ROWS = 1000
DRAW = np.random.default_rng(2)
AGES = DRAW.integers(18, 80, ROWS)
DAYS = DRAW.integers(1, 900, ROWS)
SCALE = DRAW.integers(1, 6, ROWS)


def with_value(numbers: Any, value: float, rows: int = 60) -> pd.Series:
    """Return a column some of whose rows, spread among the others, have another number, and one of which has none."""
    column = pd.Series(numbers, dtype="float64")
    column.iloc[5 :: len(column) // rows] = value
    column.iloc[0] = np.nan
    return column


@pytest.mark.parametrize(
    ("numbers", "values"),
    [
        (AGES, [999]),
        (AGES, [-999]),
        (AGES / 100, [99]),
        (SCALE, [99]),
        (SCALE, [88, 99]),
        (SCALE, [-99, -88]),
        (DAYS, [-1]),
        (DAYS / 7, [-9]),
        (DAYS - 1, [9999]),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "Int64", "float32"])
def test_customary_numbers_far_from_all_others_are_found(numbers: Any, values: list[int], dtype: str) -> None:
    column = with_value(numbers, values[0])
    for place, value in enumerate(values[1:]):
        column.iloc[7 + place :: 20] = value
    present = column.dropna()
    found = sentinels(column if (present % 1).any() else column.astype(dtype))
    assert [sentinel.value for sentinel in found] == sorted(values)
    assert [sentinel.rows for sentinel in found] == [(present == value).sum() for value in sorted(values)]
    others = present[~present.isin(values)]
    for sentinel in found:
        assert (sentinel.low, sentinel.high) == pytest.approx((others.min(), others.max()), rel=1e-6)


@pytest.mark.parametrize(
    ("numbers", "value", "rows"),
    [
        pytest.param(AGES, 99, 60, id="an age"),
        pytest.param(AGES, 100, 60, id="no customary number"),
        pytest.param(AGES, 999, 9, id="a few rows"),
        pytest.param(AGES * 500, 99999, 60, id="where a scale was cut off"),
        pytest.param(AGES - 40, -1, 60, id="negative beside others"),
        pytest.param(SCALE, -1, 60, id="a step below a scale"),
        pytest.param(np.zeros(ROWS), 999, 60, id="beside a constant"),
        pytest.param(DRAW.poisson(3, ROWS) * 7, -1, 60, id="beside low numbers that are frequent"),
        pytest.param(DRAW.choice([7, 77, 777], ROWS), 7777, 60, id="customary numbers alone"),
    ],
)
def test_numbers_that_may_be_meant_are_not(numbers: Any, value: float, rows: int) -> None:
    assert sentinels(with_value(numbers, value, rows)) == ()


@pytest.mark.parametrize(
    "column", [pd.Series([], dtype="float64"), pd.Series([np.nan, np.inf, -np.inf, 1.0, 1e300] * 9)]
)
def test_a_column_of_hardly_any_numbers_has_none(column: pd.Series) -> None:
    assert sentinels(column) == ()


def column_of(rows: dict[float, int]) -> pd.Series:
    return pd.Series([value for value, number in rows.items() for _ in range(number)], dtype="float64")


@pytest.mark.parametrize(
    ("rows", "is_one"),
    [
        ({10: 9, 20: 9, 32.24: 9, 99: 10}, True),
        ({10: 9, 20: 9, 32.25: 9, 99: 10}, False),  # 66.75 is three times 22.25
        ({1: 9, 20: 9, 33.9: 9, -99: 10}, True),
        ({1: 9, 20: 9, 34.4: 9, -99: 10}, False),
        ({1: 9, 20: 9, 30: 9, 999: 10}, True),
        ({1: 9, 20: 9, 30: 9, 999: 9}, False),
        ({1: 9, 30: 9, 999: 10}, False),
        ({**dict.fromkeys(range(20), 4), -1: 12}, True),
        ({**dict.fromkeys(range(20), 4), -1: 11}, False),
        ({**dict.fromkeys(range(19), 4), -1: 12}, False),
        ({**dict.fromkeys(range(20), 4), 4: 5, -1: 12}, False),
        ({**dict.fromkeys(range(20), 4), 5: 500, -1: 12}, True),
        ({**dict.fromkeys(range(-2, 20), 4), -1: 12}, False),
    ],
)
def test_the_evidence_has_bounds(rows: dict[float, int], is_one: bool) -> None:
    assert len(sentinels(column_of(rows))) == is_one
