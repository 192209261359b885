"""Which rows are scored only."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from counterpoise.data.apart import UNKNOWN, is_apart, names_apart
from counterpoise.errors import InputError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["b"], [False, True, False, False]),
        ([None], [False, False, True, False]),
        ([None, "c"], [False, False, True, True]),
    ],
)
def test_rows_of_some_values_and_of_none(values: list[Any], expected: list[bool]) -> None:
    column = pd.Series(["a", "b", None, "c"], name="group")
    assert is_apart(column, values).tolist() == expected


def test_a_value_that_never_occurs_is_named() -> None:
    with pytest.raises(InputError, match="scored_only: column 'group' never is 'blakc'"):
        is_apart(pd.Series(["black", "white"], name="group"), ["blakc"])


def test_rows_without_a_group_have_a_name() -> None:
    assert names_apart(pd.Series([1, None, 2], dtype="Int64")).tolist() == ["1", UNKNOWN, "2"]
