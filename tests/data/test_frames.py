"""Frames to features: as scikit-learn's encoder would, whatever the columns hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
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
