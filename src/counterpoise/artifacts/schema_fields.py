"""Columns that many tables have; see `counterpoise.artifacts.schemas`."""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import pandas as pd
import pandera.pandas as pa

_PASSED: WeakValueDictionary[type[Schema], pd.DataFrame] = WeakValueDictionary()
"""The last frame that passed each schema, or that a file which holds such a frame was read into; until it is asked for,
since whoever has it may change it."""


class Schema(pa.DataFrameModel):
    """A schema that does not check a frame twice: one that was saved in this run is checked already when it is read."""

    @classmethod
    def validate(cls, check_obj: pd.DataFrame, *args: Any, **options: Any) -> Any:
        """Check a frame as pandera does, without a copy of its values; the frame that was given stays as it is."""
        if _PASSED.pop(cls, None) is check_obj:
            return check_obj
        passed: pd.DataFrame = super().validate(check_obj.copy(deep=False), *args, **options | {"inplace": True})
        _PASSED[cls] = passed
        return passed


def passed_schema(frame: object) -> type[Schema] | None:
    """Return the schema that this very frame was the last to pass, once."""
    schema = next((schema for schema, passed in _PASSED.items() if passed is frame), None)
    if schema is not None:
        del _PASSED[schema]
    return schema


def note_passed(frame: pd.DataFrame, schema: type[Schema]) -> None:
    """Note that a frame is read from a file that was written from one which had passed a schema."""
    _PASSED[schema] = frame


class Table(Schema):
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
