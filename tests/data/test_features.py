"""Columns that become features: their values, their names, and what is refused because it would be something else."""

from __future__ import annotations

from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.data.boundary import Limits
from counterpoise.data.features import features_of
from counterpoise.errors import InputError

RESERVED = ("image", "y", "s", "official_part")
ROWS = 40
AMOUNTS = np.random.default_rng(3).integers(1_000, 900_000, ROWS).tolist()


def features(column: Any, name: str = "x", **options: Any) -> dict[str, Any]:
    return features_of(pd.DataFrame({name: column}), "t", reserved=RESERVED, **options)


NUMBERS = {
    "decimal comma": ([f"{n},95" for n in AMOUNTS], "with a decimal ','.*decimal: ','"),
    "decimal comma and points": ([f"{n // 1000}.{n % 1000:03},5" for n in AMOUNTS], "decimal ','"),
    "comma between thousands": ([f"{n:,}" for n in AMOUNTS], "thousands: ','"),
    "comma and decimals": ([f"{n:,}.50" for n in AMOUNTS], "thousands: ','"),
    "blank between thousands": ([f"{n:,}".replace(",", " ") for n in AMOUNTS], "thousands"),
    "no-break space": ([f"{n:,}".replace(",", "\u00a0") for n in AMOUNTS], "thousands"),
    "apostrophe": ([f"{n:,}".replace(",", "'") for n in AMOUNTS], "thousands"),
    "unit": ([f"{n}%" for n in AMOUNTS], "unit"),
    "currency": ([f"${n}" for n in AMOUNTS], "unit"),
    "NULL": (["NULL", *map(str, AMOUNTS[1:])], "'NULL' in 1 rows.*missing"),
    "unknown": (["unknown"] * 15 + [str(n) for n in AMOUNTS[15:]], "'unknown' in 15 rows.*missing"),
    "beyond 64 bits": ([str(10**30 + n) for n in AMOUNTS], "beyond 64 bits"),
    "texts": ([str(n) for n in AMOUNTS], "as texts"),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_in_another_notation_are_not_categories(kind: str) -> None:
    column, words = NUMBERS[kind]
    with pytest.raises(InputError, match=rf"^t: column 'x' holds numbers.*(?:{words}).*categories"):
        features(column)
    assert len(features(column, categories=["x"])) == len(set(column)), "by choice"


DATES = {
    "iso": "%Y-%m-%d",
    "iso with time": "%Y-%m-%dT%H:%M:%S",
    "German": "%d.%m.%Y",
    "American": "%m/%d/%y",
    "month's name": "%d %b %Y",
    "American name": "%B %d, %Y",
}


@pytest.mark.parametrize("kind", DATES)
def test_dates_as_texts_are_not_categories(kind: str) -> None:
    days = pd.date_range("2001-01-30", periods=ROWS, freq="17D")
    with pytest.raises(InputError, match=r"column 'x' holds dates such as .* 'dates: days'"):
        features(days.strftime(DATES[kind]))


def test_dates_become_days_by_choice() -> None:
    days = pd.date_range("1970-01-11", periods=ROWS, freq="D")
    for column in (days, days.strftime("%Y-%m-%d"), days.date, days.tz_localize("UTC")):
        np.testing.assert_array_equal(features(column, dates="days")["x"], np.arange(10, 10 + ROWS))
    with pytest.raises(InputError, match=r"holds dates such as '11\.01\.1970', expected all of them as year-month-day"):
        features(days.strftime("%d.%m.%Y"), dates="days")


NEITHER: dict[str, Any] = {
    "bytes": [b"a", b"b"],
    "dates": [date(2024, 1, 1), date(2024, 1, 2)],
    "times": [time(1), time(2)],
    "durations": [timedelta(1), timedelta(2)],
    "durations as objects": pd.Series([timedelta(1), timedelta(2)], dtype="object"),
    "lists": [[1], [2, 3]],
    "arrays": [np.array([1]), np.array([2])],
    "structures": [{"a": 1}, {"a": 2}],
    "texts and numbers": ["1", 1],
    "complex numbers": [1j, 2j],
    "periods": pd.period_range("2024-01", periods=2, freq="M"),
}


@pytest.mark.parametrize("kind", NEITHER)
def test_what_is_neither_a_number_nor_a_category_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match=r"^t: column 'x' holds .*, expected numbers or categories"):
        features(NEITHER[kind])


@pytest.mark.parametrize("values", [[Decimal("1.5"), Decimal(2)], [1.5, 2], np.array([1.5, 2.0]).astype(object)])
def test_numbers_of_python_are_numbers(values: Any) -> None:
    assert features(pd.Series(values, dtype="object"))["x"].tolist() == [1.5, 2]


def test_few_codes_stay_categories() -> None:
    assert list(features(["1", "2", "unknown"] * 5)) == ["x=1", "x=2", "x=unknown"]
    assert list(features(["1990s", "2000s"])) == ["x=1990s", "x=2000s"]
    assert len(features([f"A{n}" for n in range(30)])) == 30


@pytest.mark.parametrize("offset", [0, 10**6, 10**9, 1.7e9, 1e12, 2**62, 1e15])
@pytest.mark.parametrize("step", [1, 60, 86_400])
@pytest.mark.parametrize("number", [2, 60])
def test_numbers_are_kept_apart_or_refused(offset: float, step: int, number: int) -> None:
    column = np.array([int(offset) + n * step for n in range(number)])
    try:
        values = features(column)["x"]
    except InputError as error:
        assert "single precision keeps apart as" in str(error)  # noqa: PT017
        assert len(np.unique(column.astype(np.float32))) < number or offset > 2**24
    else:
        assert len(np.unique(values)) == number


@pytest.mark.parametrize("name", RESERVED)
def test_a_column_may_have_any_name(name: str) -> None:
    assert list(features([1.0, 2.0], name)) == [f"{name}_feature"]
    assert list(features(["a.png", "b.png"], name)) == [f"{name}=a.png", f"{name}=b.png"]


def test_features_are_bounded() -> None:
    column = [f"c{n}" for n in range(30)]
    with pytest.raises(InputError, match=r"with t: column 'x' there are 30 features, expected at most 20 \(limits"):
        features(column, limits=Limits(columns=20))
    with pytest.raises(InputError, match=r"the features take 3,600 bytes, expected at most 1,000"):
        features(column, limits=Limits(unpacked_bytes=1000))


@pytest.mark.parametrize("least", [0, 1, 3, 6])
def test_rare_categories_are_taken_together(least: int) -> None:
    column = ["a"] * 6 + ["b"] * 3 + ["c"] * 2 + ["d"]
    encoded = features(column, rare=least)
    counts = {name: int(values.sum()) for name, values in encoded.items()}
    common = {f"x={name}": column.count(name) for name in "abcd" if column.count(name) >= least}
    rest = len(column) - sum(common.values())
    assert counts == common | ({"x=(rare)": rest} if rest else {})
    assert (sum(encoded.values()) == 1).all()


def test_all_categories_rare_or_one_of_that_name_is_refused() -> None:
    with pytest.raises(InputError, match="3 categories, all of fewer than 4 rows"):
        features(["a", "b", "c"] * 2, rare=4)
    with pytest.raises(InputError, match=r"has the category '\(rare\)'"):
        features(["a", "a", "(rare)"], rare=2)
