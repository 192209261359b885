"""Frames and arrays to features: numbers and truth values as they are, dates as days, all else by category.

As in a run (`data.features`), what would become other numbers than the frame holds is refused: numbers and dates that
are written as texts, durations, lists, and numbers that float32 cannot keep apart. Columns of categories are never.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64
from pandas.api import types

from counterpoise.data.encoding import EXAMPLE_ROWS, numbers
from counterpoise.data.features import days_of, is_too_fine, plain_column
from counterpoise.data.notations import foreign_numbers, looks_like_dates
from counterpoise.data.table import indicator_name
from counterpoise.data.values import distinct, name_of, with_columns
from counterpoise.errors import InputError, reason, shown

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
            InputError: a column of numbers has none, or one is of a kind that is neither numbers nor dates nor
                categories.
        """
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        columns = [entry for name in frame for entry in _entries(frame[name])]
        kinds = {entry["column"]: entry["kind"] for entry in columns if not entry["indicator"]}
        example = frame.head(EXAMPLE_ROWS).reset_index(drop=True)
        example = with_columns(example, {name: _shown(example[name], kind) for name, kind in kinds.items()})
        return cls(numbers([]) | {"columns": columns, "missing": []}, example)

    @classmethod
    def of_matrix(cls, matrix: Float64[np.ndarray, "n D"]) -> Encoder:
        """Call the columns of an array x0, x1, …."""
        names = [f"x{place}" for place in range(matrix.shape[1])]
        frame = pd.DataFrame(matrix, columns=names)
        for name in names:
            _require_apart(frame[name])
        return cls(numbers(names), frame.head(EXAMPLE_ROWS))

    def __call__(self, frame: pd.DataFrame) -> Float32[np.ndarray, "n D"]:
        """Return the features; a category that is not among those that were taken is none of them.

        Raises:
            InputError: a number is infinite, missing in a column that missed none, or something else than a number.
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
    column = _plain(column)
    if types.is_bool_dtype(column):
        entry["kind"] = "boolean"
    elif types.is_datetime64_any_dtype(column):
        entry["kind"] = DATE
    elif not types.is_numeric_dtype(column):
        _require_categories(column)
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
    finite = _numbers(column, entry["kind"])
    finite = finite[np.isfinite(finite)]
    if len(finite):
        _require_apart(pd.Series(finite, name=column.name))
    if not column.isna().any():
        return [entry]
    if not len(finite):
        raise InputError(f"X: the column {shown(str(column.name))} has no finite number, expected some")
    indicator = entry | {"kind": "boolean", "features": [indicator_name(str(column.name))], "indicator": True}
    return [entry | {"fill": float(np.median(finite))}, indicator]


def _plain(column: pd.Series) -> pd.Series:
    """Return a column in a type of pandas; what is of categories stays so."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column
    return plain_column(column, f"X: the column {shown(str(column.name))}", "leave it out, or make it numbers")


def _shown(column: pd.Series, kind: str) -> pd.Series:
    """Return values as JSON can hold them: dates and categories as texts, whatever they are."""
    if kind == "category":
        return column.astype(object).map(name_of, na_action="ignore").astype("str")
    plain = _plain(column)
    return plain.map(pd.Timestamp.isoformat, na_action="ignore").astype("str") if kind == DATE else plain


def _require_categories(column: pd.Series) -> None:
    """Raise InputError if texts are numbers or dates, of which each would be a category."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return
    rows = {name_of(value): int(number) for value, number in column.value_counts().items()}
    for what, makes, are_such in (
        ("dates", "pandas.to_datetime", looks_like_dates(list(rows))),
        ("numbers", "pandas.to_numeric", foreign_numbers(rows) is not None),
    ):
        if are_such:
            such = next(text for text in rows if any(sign.isdigit() for sign in text))
            raise InputError(
                f"X: the column {shown(str(column.name))} holds {what} as texts such as {shown(such)}, "
                f"expected {what} ({makes}), or categories (astype('category')) if it names things"
            )


def _require_apart(column: pd.Series) -> None:
    """Raise InputError if numbers, none of them missing, are nearly the same once they are in single precision."""
    if column.max() > column.min() and is_too_fine(column):
        raise InputError(
            f"X: the numbers of the column {shown(str(column.name))} are too close together for their size, in single "
            "precision, expected some that differ more (subtract the smallest)"
        )


def _numbers(column: pd.Series, kind: str) -> np.ndarray:
    """Return numbers, truth values as 0 or 1, or dates as days since 1970-01-01, UTC; what is missing is NaN.

    Raises:
        InputError: a value is something else, or a date as a text that is not year-month-day.
    """
    try:
        if kind == DATE:
            if types.is_numeric_dtype(column := _plain(column)):
                raise TypeError("numbers")
            is_text = not types.is_datetime64_any_dtype(column)
            column = days_of(pd.to_datetime(column, format="ISO8601", utc=True) if is_text else column)
        return column.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    except (TypeError, ValueError) as error:
        expected = "dates" if kind == DATE else "numbers"
        raise InputError(
            f"X: the column {shown(str(column.name))} holds values that are no {expected} ({reason(error)}), expected "
            f"{expected} as when the model was fitted"
        ) from None


def _names(column: pd.Series) -> pd.Series:
    return column.astype(object).map(name_of, na_action="ignore").fillna(MISSING).astype("str")
