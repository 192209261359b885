"""Texts as numbers, beside Python's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.data.notations import as_numbers

DECIMALS = st.from_regex(r"-?(?:[0-9]{1,13}\.[0-9]{0,13}|\.[0-9]{1,13})", fullmatch=True)


@settings(max_examples=200, deadline=None)
@given(st.lists(DECIMALS, min_size=1, max_size=20), st.booleans())
def test_decimals_of_any_length_are_rounded_as_python_rounds_them(texts: list[str], gap: bool) -> None:
    """Of up to 15 characters to the bit; more digits may be one unit in the last place away."""
    short = all(len(text) <= 15 for text in texts)
    column = pd.Series([*texts, *([None] if gap else [])], dtype="str", name="x").iloc[::-1]
    numbers = as_numbers(column)
    expected = pd.Series([float(text) for text in texts] + [np.nan] * gap, name="x").iloc[::-1]
    pd.testing.assert_series_equal(numbers, expected, check_exact=short)


@pytest.mark.parametrize("mistake", ["1.2.3", "-", ".", "--1.5", "1-2.0", "", "1 .5", "nan"])
def test_one_text_that_is_no_number_makes_all_texts(mistake: str) -> None:
    column = pd.Series([mistake, "1.5"], dtype="str")
    assert as_numbers(column) is column
