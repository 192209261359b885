"""Walking through a frame, and refusing one that lacks what is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from counterpoise.errors import InputError, suggest


def rows_of(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows as named tuples; of any type, because the columns of a frame have no static ones."""
    yield from frame.itertuples(index=False)


def require_columns(frame: pd.DataFrame, columns: Sequence[str], where: str) -> None:
    """Raise InputError, naming the frame by `where`, unless it has all the columns."""
    for column in columns:
        if column not in frame.columns:
            raise InputError(f"{where}: the column {column!r} is missing{suggest(column, frame.columns)}.")


def cells(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return how many rows have each combination of values of `keys` that occurs, in the column `rows`, sorted.

    Args:
        frame: rows, or rows counted already: then `rows` says how many there are of each.
    """
    groups = frame.groupby(list(keys), observed=True, sort=True)
    counts = groups["rows"].sum() if "rows" in frame else groups.size().rename("rows")
    return counts.reset_index()
