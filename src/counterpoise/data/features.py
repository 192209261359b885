"""Columns of a table to features: numbers as they are, one feature for each category of anything else.

What would become other numbers than the file holds is refused: numbers and dates that are written in a way that makes
every one of them a category, types that are neither numbers nor categories, values that float32 cannot keep apart.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64
from pandas.api import types

from counterpoise.data.boundary import LIMITS, Limits, require_at_most
from counterpoise.data.notations import are_dates, foreign_numbers, looks_like_dates
from counterpoise.data.values import distinct, name_of
from counterpoise.errors import InputError, shown

Feature = Float32[np.ndarray, "N"]
Dates = Literal["refuse", "days"]
Kind = Literal["number", "boolean", "date", "category"]
"""What a column is read as; all but categories are one feature each."""

#: More categories than this are names or free text, not categories; one-hot columns would only learn them by heart.
MAX_CATEGORIES = 1000
#: The category of all that are rare.
RARE = "(rare)"
#: The largest error of rounding to float32, in standard deviations of the column: beyond, rows become the same.
#: Degrees of longitude within a city are rounded by 0.0001 of theirs, seconds since 1970 within a day by 0.003.
MAX_ROUNDING = 1e-2

_BYTES = np.dtype(np.float32).itemsize
_NEITHER = {
    "bytes": "bytes",
    "date": "dates",
    "datetime": "dates with times",
    "period": "periods",
    "time": "times of day",
    "timedelta": "durations",
    "mixed": "lists, structures or values of several types",
    "mixed-integer": "texts and numbers",
}
"""What pandas calls a column of Python objects, and what a sentence calls it."""


def features_of(
    table: pd.DataFrame,
    source: str,
    *,
    reserved: Collection[str],
    categories: Collection[str] = (),
    dates: Dates = "refuse",
    rare: int = 0,
    limits: Limits = LIMITS,
    described: list[dict[str, Any]] | None = None,
) -> dict[str, Feature]:
    """Return the features of a table by name, in the order of its columns; categories are sorted.

    Args:
        table: the columns that are features, no missing values.
        source: what to call the table in a sentence.
        reserved: names that a feature cannot have: a column of that name becomes `<name>_feature`.
        categories: columns whose values are categories, though they look like numbers or dates.
        dates: what becomes of columns of dates: refused, or days since 1970-01-01.
        rare: categories of fewer rows than this are one, `RARE`.
        limits: bounds the number of features, and their memory.
        described: gets what each column became, if it is given: `column`, `kind`, its `features` and, of categories,
            their names in the same order, and which stands for `rare` ones (`data.encoding`).

    Raises:
        InputError: there is no column, or one is constant, missing, infinite or neither numbers nor categories.
    """
    if not len(table.columns):
        raise InputError(
            f"{source}: no feature column is left, expected at least one beside the label, the groups and 'drop'"
        )
    features: dict[str, Feature] = {}
    for name in table.columns:
        where = f"{source}: column {shown(str(name))}"
        kind, columns = _column(table[name], where, name in categories, dates, rare)
        keys = [f"{feature}_feature" if feature in reserved else feature for feature in columns]
        for key, values in zip(keys, columns.values(), strict=True):
            if key in features:
                raise InputError(
                    f"{source}: column {shown(key)} occurs twice once categories have columns, expected distinct names"
                )
            features[key] = values
        if described is not None:
            names = [feature.removeprefix(f"{name}=") for feature in columns] if kind == "category" else []
            together = RARE if rare and RARE in names else None
            described.append(
                {"column": str(name), "kind": kind, "features": keys, "categories": names, "rare": together}
            )
        require_at_most(len(features), limits.columns, f"{source}: with {where} there are", "features", "columns")
        require_at_most(
            len(features) * len(table) * _BYTES,
            limits.unpacked_bytes,
            f"{source}: up to {where} the features take",
            "bytes",
            "unpacked_bytes",
        )
    return features


def require_complete(column: pd.Series, where: str) -> None:
    """Raise InputError if a value is missing."""
    missing = column.isna().to_numpy()
    if missing.any():
        raise InputError(
            f"{where} misses {int(missing.sum()):,} values, the first in row {int(missing.argmax())}, "
            "expected none missing"
        )


def _column(
    column: pd.Series, where: str, is_category: bool, dates: Dates, rare: int
) -> tuple[Kind, dict[str, Feature]]:
    """One column of the table as one feature (numbers) or one per category (anything else)."""
    column = plain_column(column, where, "leave it out with 'drop'")
    kind: Kind = "boolean" if types.is_bool_dtype(column) else "number"
    if dates == "days" and not is_category and not types.is_numeric_dtype(column):
        column, kind = _days(column, where), "date"
    if types.is_numeric_dtype(column) and not is_category:
        return kind, {str(column.name): _numbers(column, where)}
    require_complete(column, where)
    names = column if isinstance(column.dtype, pd.StringDtype) else column.map(name_of)
    if not is_category:
        _require_categories(column, where)
    _require_varied(column, where)
    names = _with_rare_together(names, where, rare)
    values = sorted(distinct(names), key=str)
    if len(values) > MAX_CATEGORIES:
        raise InputError(
            f"{where} has {len(values):,} different values that are not numbers, expected at most "
            f"{MAX_CATEGORIES:,} categories (leave it out with 'drop')"
        )
    return "category", {
        f"{column.name}={category}": (names == category).to_numpy(dtype=np.float32) for category in values
    }


def _with_rare_together(names: pd.Series, where: str, rare: int) -> pd.Series:
    """Return categories, of which those of fewer than `rare` rows have one name."""
    rows = names.value_counts()
    few = rows.index[rows < rare]
    if not len(few):
        return names
    if RARE in rows.index:
        raise InputError(f"{where} has the category {shown(RARE)}, expected none of this name with 'rare_categories'")
    if len(few) == len(rows):
        raise InputError(
            f"{where} has {len(rows):,} categories, all of fewer than {rare} rows ('rare_categories'), expected one of "
            "more (leave it out with 'drop')"
        )
    return names.mask(names.isin(few), RARE)


def plain_column(column: pd.Series, where: str, advice: str) -> pd.Series:
    """Return a column of numbers, texts, truth values or dates, refuse every other kind.

    Python's and Arrow's numbers, decimal ones too, and dates get the types of pandas.

    Args:
        advice: what to do about a column that is refused, in brackets at the end of the sentence.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if types.is_complex_dtype(column) or types.is_timedelta64_dtype(column) or isinstance(column.dtype, pd.PeriodDtype):
        raise InputError(f"{where} holds {column.dtype}, expected numbers or categories ({advice})")
    if column.dtype != object and not isinstance(column.dtype, pd.ArrowDtype):
        return column
    kind = types.infer_dtype(column.astype(object), skipna=True)
    if kind in {"date", "datetime"}:
        return pd.to_datetime(column.astype(object))
    if kind in {"decimal", "floating", "integer", "mixed-integer-float"}:
        return column.astype(object).map(float, na_action="ignore").astype("Float64")
    if kind in _NEITHER:
        raise InputError(f"{where} holds {_NEITHER[kind]}, expected numbers or categories ({advice})")
    return column


def _days(column: pd.Series, where: str) -> pd.Series:
    """Return a column of dates as days since 1970-01-01, UTC; any other as it is."""
    if not types.is_datetime64_any_dtype(column):
        if types.is_numeric_dtype(column) or not are_dates(distinct(column)):
            return column
        require_complete(column, where)
        try:
            column = pd.to_datetime(column.astype("str"), format="ISO8601", utc=True)
        except ValueError:
            raise InputError(
                f"{where} holds dates such as {shown(column.iloc[0])}, expected all of them as year-month-day "
                "(2024-12-31) to turn them into days"
            ) from None
    return days_of(column)


def days_of(dates: pd.Series) -> pd.Series:
    """Return points in time as days since 1970-01-01, UTC; what is missing is NaN."""
    utc = pd.to_datetime(dates, utc=True)
    return pd.Series((utc - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1), name=dates.name)


def _require_categories(column: pd.Series, where: str) -> None:
    """Raise InputError if what would be categories are dates, or numbers in another notation."""
    if types.is_datetime64_any_dtype(column) or looks_like_dates(distinct(column)):
        raise InputError(
            f"{where} holds dates such as {shown(str(column.iloc[0]))}, expected numbers or categories (set 'dates: "
            "days', leave it out with 'drop', or name it in 'categories')"
        )
    rows = {name_of(value): int(number) for value, number in column.value_counts().items()}
    if sentence := foreign_numbers(rows):
        raise InputError(f"{where} {sentence}")


def _require_varied(column: pd.Series, where: str) -> None:
    values = distinct(column.head(1)) if column.nunique(dropna=False) == 1 else []
    if values:
        raise InputError(
            f"{where} is {shown(values[0])} in every row, expected different values (leave it out with 'drop')"
        )


def is_too_fine(column: pd.Series) -> bool:
    """Whether rounding to single precision changes numbers by `MAX_ROUNDING` of their standard deviation or more."""
    return _differ(*_rounded(column))


def _rounded(column: pd.Series) -> tuple[Float64[np.ndarray, "N"], Feature]:
    """Return numbers in double and in single precision; what the latter cannot hold is infinite there."""
    exact = column.to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(over="ignore"):
        return exact, exact.astype(np.float32)


def _differ(exact: Float64[np.ndarray, "N"], rounded: Feature) -> bool:
    return bool(np.abs(exact - rounded).max() >= MAX_ROUNDING * exact.std())  # both are 0 where all are the same


def _numbers(column: pd.Series, where: str) -> Feature:
    exact, values = _rounded(column)
    wrong = ~np.isfinite(values)
    if wrong.any():
        first = int(wrong.argmax())
        raise InputError(
            f"{where} has {int(wrong.sum()):,} values that are missing or infinite, the first ({column.iloc[first]}) "
            f"in row {first}, expected finite numbers"
        )
    _require_varied(column, where)
    if _differ(exact, values):
        raise InputError(
            f"{where} has {len(np.unique(exact)):,} different numbers between {exact.min():.17g} and "
            f"{exact.max():.17g}, which single precision keeps apart as {len(np.unique(values)):,}; expected numbers "
            "that differ more from one another, for their size (subtract the smallest)"
        )
    return values
