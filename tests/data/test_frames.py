"""Frames to features: as scikit-learn's encoder would, whatever the columns hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
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


def test_missing_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="missing or infinite"):
        Encoder.of(FRAME)(FRAME.assign(age=[1.0, np.nan, 2, 3]))


def test_what_is_described_names_every_feature() -> None:
    encoder = Encoder.of(FRAME)
    features = [name for entry in encoder.described["columns"] for name in entry["features"]]
    assert len(features) == encoder(FRAME).shape[1]
    assert features[1:4] == ["town=a", "town=b", "town=c"]
