"""Compare values of a table with values in parameters: equal, equal as a text, or different."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from counterpoise.errors import InputError, shown, suggest

Value = str | int | float | bool

#: What a CSV file usually writes for a missing value. A category may well be called "None": it is not in here.
MISSING = ("", "?", "NA", "N/A", "NaN", "nan")

_SHOWN = 5  # values listed in a sentence


def name_of(value: object) -> str:
    """Return the text that stands for a value: `1` for 1 and 1.0, `True` for a truth value, a text as it is."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def names_of(values: Value | Sequence[Value]) -> list[str]:
    """Return the texts that stand for one value, or for several."""
    return [name_of(value) for value in ([values] if isinstance(values, Value) else values)]


def as_pandas(table: Any) -> Any:
    """Return a frame or column of Polars or Arrow as one of pandas, anything else as it is."""
    return table.to_pandas() if hasattr(table, "to_pandas") else table


def kind_of(value: object) -> str:
    """Return what a value is in plain words."""
    if isinstance(value, bool | np.bool_):
        return "a truth value"
    if isinstance(value, int | float | np.number):
        return "a number"
    return "a text" if isinstance(value, str) else f"of type {type(value).__name__}"


def codes_of(name: str, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different values in order, and the number of each row's [n].

    Raises:
        InputError: they cannot be put in order; the sentence begins with the name.
    """
    try:
        return np.unique(values, return_inverse=True)
    except TypeError:
        kinds = sorted({kind_of(value) for value in values})
        raise InputError(f"{name} has values of different kinds ({', '.join(kinds)}), expected one kind") from None


def distinct(column: pd.Series) -> list[object]:
    """Return the values of `column` as plain Python objects, in order of appearance."""
    return list(column.drop_duplicates().tolist())


def with_columns(table: pd.DataFrame, columns: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Return a table with columns replaced or added, whatever they are called; `assign` takes none called `self`."""
    changed = table.copy(deep=False)
    for name, values in columns.items():
        changed[name] = values
    return changed


def settled(table: pd.DataFrame) -> pd.DataFrame:
    """Return `table` with numpy's types in the columns of whole numbers and truth values that miss nothing."""
    plain = {"Int64": "int64", "boolean": "bool"}
    full = [str(name) for name in table.columns[table.notna().all()] if str(table[name].dtype) in plain]
    return table.astype({name: plain[str(table[name].dtype)] for name in full})


def listed(values: Sequence[object]) -> str:
    """Return the first few values as a sentence shows them."""
    return ", ".join(map(shown, values[:_SHOWN])) + (", …" if len(values) > _SHOWN else "")


def mismatch(value: object, expected: Iterable[object]) -> str:
    """Return the part of a sentence that says why `value` is none of `expected`: another type, or what it may mean."""
    candidates = list(expected)
    return type_hint(value, candidates) or suggest(value, candidates)


def type_hint(value: object, expected: Iterable[object]) -> str:
    """Return the part of a sentence that names two types if one of `expected` is written as `value` is, else "".

    YAML has types: `1` is a number and `"1"` a text; `yes`, `no`, `on` and `off` without quotes are truth values.
    """
    for candidate in expected:
        if isinstance(candidate, bool) and isinstance(value, str) and value.lower() in _TRUTH[candidate]:
            return f" (a text, while {candidate} is a truth value: YAML reads {value} so unless it is in quotes)"
        if isinstance(value, bool) and isinstance(candidate, str) and candidate.lower() in _TRUTH[value]:
            return f" (a truth value, while {shown(candidate)} is a text: YAML reads it so unless it is in quotes)"
        if name_of(candidate) == name_of(value) and isinstance(candidate, str) != isinstance(value, str):
            return f" ({kind_of(value)}, while {shown(candidate)} is {kind_of(candidate)}: quotes in YAML make a text)"
    return ""


_TRUTH = {True: {"yes", "true", "on", "y"}, False: {"no", "false", "off", "n"}}
