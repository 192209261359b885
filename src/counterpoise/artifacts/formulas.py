"""CSV files that a spreadsheet opens without executing formulas in their texts.

A spreadsheet takes a cell that begins with one of `LEADS` for a formula, whoever wrote it: the name of a class, a group
or a variant, a claim. An apostrophe before it makes it the text that it is (OWASP, "CSV Injection"). Numbers are no
text, and a minus sign before them stays what it is.
"""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

LEADS: Final = ("=", "+", "-", "@", "\t", "\r")
QUOTE: Final = "'"


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame as it is to be written: no text, head or name of a row begins like a formula.

    Text that begins with apostrophes before such a sign gets one more, so that `with_formulas` is the inverse.
    """
    return _changed(frame, lambda value: f"{QUOTE}{value}" if _begins_like_one(value.lstrip(QUOTE)) else value)


def with_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame that `without_formulas` made safe, as it was."""
    return _changed(
        frame, lambda value: value[1:] if value.startswith(QUOTE) and _begins_like_one(value.lstrip(QUOTE)) else value
    )


def _begins_like_one(text: str) -> bool:
    return text.startswith(LEADS)


def _changed(frame: pd.DataFrame, change: Any) -> pd.DataFrame:
    def of(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    changed = frame.copy()
    for place, kind in enumerate(frame.dtypes):
        column = changed.iloc[:, place]
        if isinstance(kind, pd.CategoricalDtype):
            changed.isetitem(place, column.cat.rename_categories(of).array)
        elif not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind)):
            changed.isetitem(place, pd.Series([of(value) for value in column], index=changed.index, dtype=kind).array)
    return changed.rename(columns=of, index=of)
