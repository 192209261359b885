"""Columns that many tables have; see `counterpoise.artifacts.schemas`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa


class Table(pa.DataFrameModel):
    """A table with these columns, in this order, and no other; the base of all of them."""

    class Config:
        strict = True
        ordered = True


def text(**checks: Any) -> Any:
    """Return a column of texts that are not empty."""
    return pa.Field(str_length={"min_value": 1}, **checks)


def code(**checks: Any) -> Any:
    """Return a column of counts or codes from 0 on, which must already be whole."""
    return pa.Field(**{"ge": 0, **checks})


def number(**checks: Any) -> Any:
    """Return a column of measured numbers, widened to the type of the column."""
    return pa.Field(coerce=True, **checks)


def share(**checks: Any) -> Any:
    """Return a column of numbers from 0 to 1, such as p-values."""
    return number(in_range={"min_value": 0, "max_value": 1}, **checks)


def finite(values: pd.Series) -> pd.Series:
    """Tell which values are finite or null."""
    return values.isna() | np.isfinite(values)
