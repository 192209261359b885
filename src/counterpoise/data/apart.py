"""Rows that are scored and reported, but neither learnt from nor compared: of groups of few people, or of no group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool

from counterpoise.data.values import Value, distinct, mismatch, name_of
from counterpoise.errors import InputError, shown

UNKNOWN = "(missing)"
"""What the group of rows without one is called."""


def is_apart(column: pd.Series, values: Sequence[Value | None]) -> Bool[np.ndarray, "N"]:
    """Return which rows have one of some values of the sensitive column; None stands for a missing one.

    Raises:
        InputError: no row has one of the values.
    """
    texts = [value for value in values if value is not None]
    present = distinct(column.dropna())
    for value in texts:
        if value not in present:
            raise InputError(
                f"scored_only: column {shown(column.name)} never is {shown(value)}{mismatch(value, present)}"
            )
    among = column.isin(texts)
    return np.asarray(among | column.isna() if None in values else among, dtype=bool)


def names_apart(column: pd.Series) -> pd.Series:
    """Return the names of values, in the words of reports."""
    return column.map(name_of, na_action="ignore").astype(object).fillna(UNKNOWN)
