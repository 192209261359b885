"""Groups of several sensitive columns at once: their values, or bands of their numbers, joined to one column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from counterpoise.data.values import as_pandas, name_of
from counterpoise.errors import InputError, shown, suggest

SIGN = " × "
"""Between the names of columns that are joined."""
SEPARATOR = ", "
"""Between the values of columns that are joined."""


def joined_name(columns: Sequence[str]) -> str:
    """Return what a column that joins others is called: `gender × race`."""
    return SIGN.join(columns)


def band_names(edges: Sequence[float | int]) -> list[str]:
    """Return the names of bands, from where each but the first begins: `below 25`, `25 to 60`, `from 60`."""
    return [f"below {edges[0]:g}", *(f"{low:g} to {high:g}" for low, high in pairwise(edges)), f"from {edges[-1]:g}"]


def cross(
    table: pd.DataFrame, columns: Sequence[str], bands: Mapping[str, Sequence[float | int]] | None = None
) -> pd.DataFrame:
    """Return the table with one more column, the values of several joined: `female, below 25`.

    Args:
        columns: two or more, in the order in which their values stand.
        bands: column of numbers → where each band but the first begins, an edge belonging to the band above it.

    Returns:
        The table; the new column, texts, is called as `joined_name` says, and misses what any of the columns misses.

    Raises:
        InputError: there is no such column, bands are asked of texts, or the new column's name is taken.
    """
    bands = bands or {}
    for name in columns:
        if name not in table:
            raise InputError(f"sensitive: there is no column {shown(name)}{suggest(name, table.columns)}")
    if (joined := joined_name(columns)) in table:
        raise InputError(f"sensitive: there is a column {shown(joined)} already, expected none of this name")
    return table.assign(**{joined: _joined(named_values(table[name], bands.get(name, ())) for name in columns)})


def _joined(columns: Iterable[pd.Series]) -> pd.Series:
    """Return columns of texts as one, which is missing where any of them is."""
    first, *others = columns
    return first.str.cat(pd.concat(others, axis=1), sep=SEPARATOR)


def group_values(given: Any) -> np.ndarray:
    """Return the group of each row [n]: values as they are, of several columns [n, c] joined texts.

    Raises:
        InputError: a row has no value, nothing is given, or something that has no rows.
    """
    given = as_pandas(given)
    try:
        frame = given.to_frame() if isinstance(given, pd.Series) else pd.DataFrame(given)
    except ValueError:
        raise InputError(f"sensitive_features is {shown(given)}, expected the group of each row") from None
    if not frame.shape[1]:
        raise InputError("sensitive_features have no column, expected the group of each row")
    gaps = int(frame.isna().any(axis=1).sum())
    if gaps:
        raise InputError(
            f"sensitive_features miss a value in {gaps} of {len(frame)} rows, expected one in each: leave those rows "
            "out, or give the unknown a value of its own"
        )
    if frame.shape[1] == 1:
        values: np.ndarray = frame.iloc[:, 0].to_numpy()
        return values
    return _joined(named_values(frame.iloc[:, place]) for place in range(frame.shape[1])).to_numpy()


def named_values(column: pd.Series, edges: Sequence[float | int] = ()) -> pd.Series:
    """Return a column's values as texts, or the names of the bands that its numbers fall into; a gap stays one.

    Raises:
        InputError: bands are asked of texts.
    """
    if not edges:
        return column.map(name_of, na_action="ignore").astype("str")
    if not types.is_numeric_dtype(column) or types.is_bool_dtype(column):
        raise InputError(f"bands: column {shown(str(column.name))} holds no numbers, expected numbers")
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    names = np.array(band_names(edges), dtype=object)[np.digitize(numbers, np.asarray(edges, dtype=np.float64))]
    return pd.Series(names, index=column.index).mask(np.isnan(numbers)).astype("str")
