"""Frames to features: as scikit-learn's encoder would, whatever the columns hold."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from counterpoise.data.frames import Encoder
from counterpoise.errors import InputError

FRAME = pd.DataFrame(
    {
        "age": [3, 4, 5, 6],
        "town": ["b", "a", "b", "c"],
        "member": [True, False, True, True],
        "code": pd.Categorical([2, 10, 2, 2]),
        "size": pd.array([1.5, 2.5, 0.5, 1.0], dtype="Float64"),
    }
)


def test_categories_are_those_of_scikit_learn() -> None:
    encoded = Encoder.of(FRAME)(FRAME)
    town = OneHotEncoder(sparse_output=False).fit_transform(FRAME[["town"]])
    np.testing.assert_array_equal(encoded[:, 1:4], town)
    np.testing.assert_array_equal(encoded[:, [0, 4, 7]], FRAME[["age", "member", "size"]].to_numpy(dtype=np.float32))
    np.testing.assert_array_equal(encoded[:, 5:7], [[0, 1], [1, 0], [0, 1], [0, 1]])  # names "10", "2"


def test_an_unknown_or_missing_category_is_none_of_them() -> None:
    encoder = Encoder.of(FRAME)
    changed = encoder(FRAME.assign(town=["z", None, "a", "b"]))
    assert changed[:, 1:4].sum(axis=1).tolist() == [0, 0, 1, 1]


def test_a_missing_category_is_one_where_it_was_there() -> None:
    gaps = FRAME.assign(town=["b", None, "b", "?"])
    encoder = Encoder.of(gaps)
    assert encoder.described["columns"][1]["categories"] == ["(missing)", "?", "b"]
    assert encoder(gaps)[:, 1:4].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_numbers_that_are_none_are_refused_where_none_were(value: float) -> None:
    with pytest.raises(InputError, match=r"missed none when the model was fitted, in the columns \['age', 'size'\]"):
        Encoder.of(FRAME)(FRAME.assign(age=[1.0, value, 2, 3], size=[value, 1, 2, 3.0]))


@pytest.mark.parametrize(
    "gaps",
    [
        pd.Series([1.0, np.nan, 4.0, 10.0]),
        pd.array([1, None, 4, 10], dtype="Int64"),
        pd.array([1.0, None, 4.0, 10.0], dtype="float64[pyarrow]"),
    ],
)
def test_missing_numbers_are_the_median_and_a_feature_says_so(gaps: object) -> None:
    frame = FRAME.assign(age=gaps)
    encoder = Encoder.of(frame)
    imputed = SimpleImputer(strategy="median", add_indicator=True).fit_transform(frame[["age"]].astype(float))
    np.testing.assert_array_equal(encoder(frame)[:, :2], imputed)
    np.testing.assert_array_equal(encoder(frame)[:, 2:], Encoder.of(FRAME)(FRAME)[:, 1:])
    later = encoder(frame.assign(age=[np.nan, 2.0, np.nan, 3.0]))
    assert later[:, :2].tolist() == [[4, 1], [2, 0], [4, 1], [3, 0]], "the median of the rows that were learnt from"


def test_missing_truth_values_are_the_median_too() -> None:
    frame = FRAME.assign(member=pd.array([True, None, False, True], dtype="boolean"))
    assert Encoder.of(frame)(frame)[:, 4:6].tolist() == [[1, 0], [1, 1], [0, 0], [1, 0]]


def test_names_of_rows_are_warned_of() -> None:
    names = pd.DataFrame({"name": [f"n{row}" for row in range(40)], "town": ["a", "b"] * 20})
    with pytest.warns(
        UserWarning, match="'name' has 40 different values in 40 rows, and each becomes a feature"
    ) as seen:
        Encoder.of(names)
    assert len(seen) == 1


def test_a_column_without_a_number_is_refused() -> None:
    with pytest.raises(InputError, match="the column 'age' has no finite number"):
        Encoder.of(FRAME.assign(age=np.nan))


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_dates_are_days(zone: str | None) -> None:
    at = pd.Series(pd.to_datetime(["1970-01-02T00:00", "2024-02-29T12:00", None, "1969-12-31T00:00"]))
    frame = FRAME.assign(age=at if zone is None else at.dt.tz_localize("UTC").dt.tz_convert(zone))
    encoder = Encoder.of(frame)
    assert encoder(frame)[:, :2].tolist() == [[1, 0], [19782.5, 0], [1, 1], [-1, 0]]
    texts = encoder.example["age"]
    assert (pd.to_datetime(texts, utc=True, format="ISO8601").dropna() == at.dropna().dt.tz_localize("UTC")).all()


def test_what_is_described_names_every_feature() -> None:
    encoder = Encoder.of(FRAME)
    features = [name for entry in encoder.described["columns"] for name in entry["features"]]
    assert len(features) == encoder(FRAME).shape[1]
    assert features[1:4] == ["town=a", "town=b", "town=c"]


ARROW_DECIMAL = pd.ArrowDtype(pa.decimal128(5, 2))
ARROW_DATE, ARROW_TIME = pd.ArrowDtype(pa.date32()), pd.ArrowDtype(pa.timestamp("us"))
DAYS = [date(1970, 1, 2), date(2024, 2, 29), None, date(1969, 12, 31)]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (pd.Series([Decimal("1.5"), None, Decimal(4), Decimal(10)]), [1.5, np.nan, 4, 10]),
        (pd.Series([1, None, 4.5, 10], dtype="object"), [1, np.nan, 4.5, 10]),
        (pd.Series([Decimal(3), None, Decimal(4), Decimal(9)], dtype=ARROW_DECIMAL), [3, np.nan, 4, 9]),
        (pd.Series(DAYS, dtype="object"), pd.to_datetime(pd.Series(DAYS))),
        (pd.Series(DAYS, dtype=ARROW_DATE), pd.to_datetime(pd.Series(DAYS))),
        (pd.Series(DAYS, dtype=ARROW_TIME), pd.to_datetime(pd.Series(DAYS))),
    ],
)  # fmt: skip
def test_numbers_and_dates_are_those_of_pandas_whatever_holds_them(given: Any, meant: Any) -> None:
    frame, plain = FRAME.assign(age=given), FRAME.assign(age=meant)
    encoder = Encoder.of(frame)
    np.testing.assert_array_equal(encoder(frame), Encoder.of(plain)(plain))
    np.testing.assert_array_equal(encoder(plain), encoder(frame))
    json.loads(encoder.example.to_json(orient="split"))
    assert str(encoder.example["age"].dtype) in {"Float64", "str"}, "what a saved model shows as an example"


TEN = [float(number) for number in range(12)]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([f"{number + 0.5}" for number in TEN], r"holds numbers as texts such as '0\.5', expected numbers \(pandas"),
        ([f"{number:.0f},5" for number in TEN], "holds numbers as texts"),
        ([*map(str, range(11)), "none"], "holds numbers as texts such as '0'"),
        ([f"2024-01-{day + 1:02.0f}" for day in TEN], r"holds dates as texts such as '2024-01-01'"),
        (pd.to_timedelta(TEN, unit="D"), "holds timedelta64"),
        (pd.period_range("2024-01", periods=12, freq="M"), r"holds period\[M\]"),
        ([[1]] * 12, "holds lists, structures or values of several types"),
        (["a", 1] * 6, "holds texts and numbers"),
        (np.array(TEN) * 1j, "holds complex128"),
        (np.array(TEN) * 1e-3 + 1e9, "are too close together for their size, in single precision"),
    ],
)  # fmt: skip
def test_what_would_be_other_values_is_refused(column: Any, message: str) -> None:
    frame = pd.DataFrame({"of": column})
    with pytest.raises(InputError, match=rf"^X: .*column 'of' .*{message}"):
        Encoder.of(frame)
    if isinstance(column, list) and isinstance(column[0], str):
        categories = frame.astype("category")
        assert (Encoder.of(categories)(categories).sum(axis=0) > 0).all()


def test_a_constant_is_never_too_close() -> None:
    frame = pd.DataFrame({"one": [0.1] * 4, "two": [16_777_217] * 4})
    assert Encoder.of(frame)(frame).shape == (4, 2)
    assert Encoder.of_matrix(frame.to_numpy())(frame).shape == (4, 2)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("age", "old"),
        ("member", "True"),
        ("since", "lately"),
        ("since", "03/04/2024"),
        ("since", 19_800),
    ],
)
def test_what_is_no_number_where_numbers_were(column: str, value: Any) -> None:
    frame = FRAME.assign(since=pd.date_range("2024-01-01", periods=4))
    expected = "dates" if column == "since" else "numbers"
    with pytest.raises(InputError, match=rf"'{column}' holds values that are no {expected} .*as when the model was"):
        Encoder.of(frame)(frame.assign(**{column: pd.Series([value] * 4, dtype="object")}))


@pytest.mark.parametrize("name", ["self", "frame", "data", "name"])
def test_a_column_may_have_any_name(name: str) -> None:
    frame = FRAME.rename(columns={"age": name})
    np.testing.assert_array_equal(Encoder.of(frame)(frame), Encoder.of(FRAME)(FRAME))


def test_an_example_is_what_json_holds_and_says_the_same() -> None:
    others = {
        "bands": pd.cut(pd.Series([1.0, 5.0, 9.0, 2.0]), 3),
        "periods": pd.Categorical(pd.period_range("2024-01", periods=4, freq="M")),
        "flags": pd.Series([True, None, False, True], dtype="object"),
        "arrow": pd.Series([True, None, False, True], dtype=pd.ArrowDtype(pa.bool_())),
    }
    frame = FRAME.assign(**others)
    encoder = Encoder.of(frame)
    example = pd.DataFrame(json.loads(encoder.example.to_json(orient="records")))
    np.testing.assert_array_equal(encoder(example), encoder(frame))
    json.dumps(encoder.example.astype(object).where(encoder.example.notna(), None).to_dict(orient="list"))
