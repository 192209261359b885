"""Frames and arrays to features: numbers and truth values as they are, dates as days, all else by category."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32
from pandas.api import types

from counterpoise.data.encoding import EXAMPLE_ROWS, numbers
from counterpoise.data.features import days_of
from counterpoise.data.table import indicator_name
from counterpoise.data.values import distinct, name_of
from counterpoise.errors import InputError, shown

MISSING = "(missing)"
"""The category of missing values."""

DATE = "date"

FEW, NEARLY_UNIQUE = 20, 0.5
"""A column with more categories than this number, and than this share of the rows, is warned of."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """How the columns of one frame become features, so that those of another do in the same way.

    Attributes:
        described: the encoding as plain data (`data.encoding`). example: a few rows.
    """

    described: Mapping[str, Any]
    example: pd.DataFrame

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Encoder:
        """Take the categories of a frame, sorted by their names, where a missing one is a category too, and what stands
        for missing numbers: the median, with a feature that says where.

        Raises:
            InputError: a column of numbers has none.
        """
        columns = [entry for name in frame for entry in _entries(frame[name])]
        example = frame.head(EXAMPLE_ROWS).reset_index(drop=True)
        dates = [entry["column"] for entry in columns if entry["kind"] == DATE and not entry["indicator"]]
        texts = {name: example[name].map(pd.Timestamp.isoformat, na_action="ignore").astype("str") for name in dates}
        return cls(numbers([]) | {"columns": columns, "missing": []}, example.assign(**texts))

    @classmethod
    def of_matrix(cls, matrix: Float32[np.ndarray, "n D"]) -> Encoder:
        """Call the columns of an array x0, x1, …."""
        names = [f"x{place}" for place in range(matrix.shape[1])]
        return cls(numbers(names), pd.DataFrame(matrix[:EXAMPLE_ROWS].astype(np.float64), columns=names))

    def __call__(self, frame: pd.DataFrame) -> Float32[np.ndarray, "n D"]:
        """Return the features; a category that is not among those that were taken is none of them.

        Raises:
            InputError: a number is infinite, or missing in a column that missed none.
        """
        features: list[np.ndarray] = []
        faults: dict[str, None] = {}
        place = -1
        for entry in self.described["columns"]:
            place += not entry["indicator"]  # which stands behind the column that it is of
            column = frame.iloc[:, place]
            if entry["kind"] == "category":
                names = _names(column)
                features += [(names == category).to_numpy(dtype=np.float32) for category in entry["categories"]]
                continue
            if entry["indicator"]:
                values = column.isna().to_numpy(dtype=np.float32)
            else:
                exact = _numbers(column, entry["kind"])
                if entry["fill"] is not None:
                    exact[np.isnan(exact)] = entry["fill"]
                with np.errstate(over="ignore"):
                    values = exact.astype(np.float32)
                if not np.isfinite(values).all():
                    faults[str(column.name)] = None
            features.append(values)
        if faults:
            raise InputError(
                "X has infinite numbers, or misses some where it missed none when the model was fitted, in the "
                f"columns {shown(list(faults))}, expected finite ones"
            )
        return np.stack(features, axis=1) if features else np.empty((len(frame), 0), dtype=np.float32)


def _entries(column: pd.Series) -> list[dict[str, Any]]:
    """Return what becomes of a column; of one that misses numbers also the feature that says where."""
    (entry,) = numbers([str(column.name)])["columns"]
    if types.is_bool_dtype(column):
        entry["kind"] = "boolean"
    elif types.is_datetime64_any_dtype(column):
        entry["kind"] = DATE
    elif not types.is_numeric_dtype(column):
        categories: Sequence[str] = sorted(str(name) for name in distinct(_names(column)))
        if len(categories) > max(FEW, NEARLY_UNIQUE * len(column)):
            warnings.warn(
                f"X: the column {shown(str(column.name))} has {len(categories):,} different values in "
                f"{len(column):,} rows, and each becomes a feature: leave it out if it names rows",
                UserWarning,
                stacklevel=5,
            )
        return [
            entry
            | {
                "kind": "category",
                "fill": MISSING,
                "categories": list(categories),
                "features": [f"{column.name}={category}" for category in categories],
            }
        ]
    if not column.isna().any():
        return [entry]
    finite = _numbers(column, entry["kind"])
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        raise InputError(f"X: the column {shown(str(column.name))} has no finite number, expected some")
    indicator = entry | {"kind": "boolean", "features": [indicator_name(str(column.name))], "indicator": True}
    return [entry | {"fill": float(np.median(finite))}, indicator]


def _numbers(column: pd.Series, kind: str) -> np.ndarray:
    """Return numbers, truth values as 0 or 1, or dates as days since 1970-01-01, UTC; what is missing is NaN."""
    if kind == DATE:
        column = days_of(column)
    return column.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)


def _names(column: pd.Series) -> pd.Series:
    return column.astype(object).map(name_of, na_action="ignore").fillna(MISSING).astype("str")
