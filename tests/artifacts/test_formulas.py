"""No text in a CSV file is a formula; numbers stay numbers; what is read back is what was written."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.artifacts.formulas import LEADS, with_formulas, without_formulas

TEXTS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "-", "'=1", "''-x", "'plain", "plain", "a=b", "", "−1 minus"]


def written(frame: pd.DataFrame) -> str:
    return without_formulas(frame).to_csv(index=False)


@pytest.mark.parametrize("kind", ["object", "str", "string", "category"])
def test_no_text_begins_like_a_formula(kind: str) -> None:
    frame = pd.DataFrame({"name": pd.Series(TEXTS).astype(kind)})
    safe = without_formulas(frame)
    assert safe["name"].dtype == frame["name"].dtype or kind in ("object", "category")  # pandas reads text off objects
    assert not [text for text in safe["name"].astype(object) if text.startswith(LEADS)]
    assert list(with_formulas(safe)["name"].astype(object)) == TEXTS
    assert list(frame["name"].astype(object)) == TEXTS  # the frame itself is not changed


@pytest.mark.parametrize("values", [[-1, 2], [-1.5, np.nan], [True, False]])
def test_numbers_stay_numbers(values: list[float]) -> None:
    frame = pd.DataFrame({"difference": values})
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(written(frame))), frame)


def test_numbers_among_text_and_nulls_are_left_alone() -> None:
    frame = pd.DataFrame({"mixed": pd.Series([-1, "=x", None, np.nan, -2.5], dtype=object)})
    safe = without_formulas(frame)["mixed"].tolist()
    assert safe[:2] == [-1, "'=x"]
    assert safe[4] == -2.5
    assert pd.isna(safe[2]) and pd.isna(safe[3])  # noqa: PT018
    nullable = pd.DataFrame({"rank": pd.array([-1, None], dtype="Int64"), "text": pd.array(["-a", None], dtype="str")})
    assert without_formulas(nullable)["text"].tolist()[0] == "'-a"
    pd.testing.assert_series_equal(without_formulas(nullable)["rank"], nullable["rank"])


def test_heads_and_names_of_rows_count_too() -> None:
    safe = without_formulas(pd.DataFrame({"=cmd": [1], "plain": [2]}, index=["@x"]))
    assert list(safe) == ["'=cmd", "plain"]
    assert list(safe.index) == ["'@x"]
    assert list(without_formulas(pd.DataFrame([[1]], columns=[7]))) == [7]
    assert len(without_formulas(pd.DataFrame(columns=["=a"]))) == 0
    twice = pd.DataFrame([["=a", "=b"]], columns=["x", "x"])
    assert without_formulas(twice).iloc[0].tolist() == ["'=a", "'=b"]


@given(st.lists(st.text(alphabet="=+-@\t\r'a1", max_size=4), max_size=6))
def test_what_is_read_is_what_was_written(texts: list[str]) -> None:
    frame = pd.DataFrame({"name": pd.Series(texts, dtype="object")})
    safe = without_formulas(frame)
    assert not [text for text in safe["name"] if text.startswith(LEADS)]
    assert list(with_formulas(safe)["name"]) == texts
