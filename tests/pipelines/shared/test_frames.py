"""Frames as JSON can hold them, and codes under their names."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from counterpoise.pipelines.shared.frames import named, records


def test_rows_are_plain_values() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": ["x", None], 3: [np.inf, 1.0]})
    expected = [{"a": 1, "b": 0.5, "c": "x", "3": None}, {"a": 2, "b": None, "3": 1.0}]
    rows = json.loads(json.dumps(records(frame), allow_nan=False))
    assert [{key: row[key] for key in wanted} for row, wanted in zip(rows, expected, strict=True)] == expected


def test_names_that_no_code_has_stay() -> None:
    for codes in (np.array([1, 0, 1]), pd.Series([1, 0, 1], index=[5, 6, 7])):
        categories = named(codes, ["f", "m", "other"])
        assert list(categories) == ["m", "f", "m"]
        assert list(categories.categories) == ["f", "m", "other"]
