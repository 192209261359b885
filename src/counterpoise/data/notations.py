"""Texts that are numbers or dates in some notation: as categories, each would be a feature of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from counterpoise.data.values import MISSING
from counterpoise.errors import shown

#: A column with more different numbers than this, among at least as many other texts, was meant to be numbers.
MAX_NUMERIC_CATEGORIES = 10
MOST = 0.5
"""The share of different values that decides what a column was meant to be."""

_SAFE_DIGITS = 18  # of a whole number, with its sign: it fits into 64 bits
NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_EXACT_DIGITS = 15  # of a number that is a float64 without rounding
_OF_DECIMALS = np.isin(np.arange(256), [ord(character) for character in "0123456789.-"])
_INTEGER = re.compile(r"[+-]?[0-9]+")
UNITS = "%‰$€£¥"
"""Signs that stand before or behind a number and are no part of it."""
_SPACES = "\u0020\u00a0\u202f\u2009"
_DOUBTFUL = "numbers with ',' before groups of three digits or decimals"
#: Notation → its pattern, and what to set. Where several fit, the first counts.
_NOTATIONS: dict[str, tuple[str, str]] = {
    "numbers in full": (NUMBER, ""),
    _DOUBTFUL: (
        r"[+-]?[1-9][0-9]{0,2},[0-9]{3}",
        "set the reader's option thousands: ',' or decimal: ','",
    ),
    "numbers with ',' between thousands": (
        r"[+-]?[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+\.[0-9]+|(?:,[0-9]{3}){2,})",
        "set the reader's option thousands: ','",
    ),
    "numbers with a decimal ','": (
        rf"[+-]?(?:[0-9]+|[0-9]{{1,3}}(?:[.'’{_SPACES}][0-9]{{3}})+),[0-9]+(?:[eE][+-]?[0-9]+)?",
        "set the reader's options decimal: ',' and, if need be, thousands",
    ),
    "numbers with signs between thousands": (
        rf"[+-]?[0-9]{{1,3}}(?:([.'’_{_SPACES}])[0-9]{{3}})(?:\1[0-9]{{3}})*(?:[.,][0-9]+)?",
        "set the reader's option thousands",
    ),
    "numbers with a unit": (
        rf"(?:[+-]?[{UNITS}]\s?{NUMBER}|{NUMBER}\s?[{UNITS}])",
        "name the sign in the reader's option units",
    ),
}
_PATTERNS = {name: re.compile(pattern) for name, (pattern, _) in _NOTATIONS.items()}
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    r"(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}([-/.])[0-9]{1,2}\1[0-9]{2,4}"
    rf"|[0-9]{{1,2}}\.?[ -]{_MONTH}[ ,-]+[0-9]{{2,4}}|{_MONTH} [0-9]{{1,2}},? [0-9]{{2,4}}"
    r"|[0-9]{1,2}:[0-9]{2}(?::[0-9.]+)?|[0-9]{4}-[0-9]{2})"
    r"(?:[T ,]+[0-9]{1,2}:[0-9]{2}.*)?",
    re.IGNORECASE,
)

_MONTH_NUMBER, _DAY_NUMBER = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_DAY = re.compile(
    rf"(?:[0-9]{{4}}([-/.]){_MONTH_NUMBER}\1{_DAY_NUMBER}|{_DAY_NUMBER}([-/.]){_MONTH_NUMBER}\2[0-9]{{4}}"
    rf"|{_MONTH_NUMBER}/{_DAY_NUMBER}/[0-9]{{4}})(?:[T ][0-9]{{1,2}}:[0-9]{{2}}.*)?"
)


def are_numbers(texts: pd.Series, *, decimal: str = ".", thousands: str | None = None) -> pd.Series:
    """Tell which texts, none of them missing, are numbers with these signs, infinity among them."""
    groups = rf"|[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+" if thousands else ""
    point = re.escape(decimal)
    number = rf"[+-]?(?:(?:[0-9]+{groups})(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    return texts.str.strip().str.fullmatch(rf"(?:{number}|[+-]?(?i:inf(?:inity)?))").astype("bool")


def unit_of(texts: pd.Series, units: Iterable[str]) -> str | None:
    """Return the sign among these that all texts, none of them missing, begin or end with; None if there is none."""
    for unit in units if len(texts) else ():
        if unit not in texts.iloc[0]:  # most columns are told by their first value
            continue
        if texts.str.count(re.escape(unit)).eq(1).all() and texts.str.fullmatch(_with_unit(unit)).all():
            return unit
    return None


def _with_unit(unit: str) -> str:
    sign = re.escape(unit)
    return rf"\s*(?:[+-]?{sign}.*|.*{sign})\s*"


def without_unit(texts: pd.Series, unit: str) -> pd.Series:
    """Return what is left of texts without their unit."""
    return texts.str.replace(rf"\s?{re.escape(unit)}\s?", "", regex=True)


def as_numbers(
    column: pd.Series, *, decimal: str = ".", thousands: str | None = None, units: Sequence[str] = ()
) -> pd.Series:
    """Return a column of texts as int64 or float64 if every one that is not missing is a number, else as it is.

    Whole numbers beyond 64 bits stay texts. Where values are missing, whole numbers are Int64. Texts that all have the
    same one of `units` are numbers without it: 5.5 for "5.5%".
    """
    if decimal == "." and not thousands and not units and (plain := _plain_decimals(column)) is not None:
        return plain
    codes, texts_once = pd.factorize(column)  # a value that occurs often is looked at once
    texts = pd.Series(texts_once, dtype="str")
    if units and (unit := unit_of(texts, units)):
        texts = without_unit(texts, unit)
    parts = (texts.head(1), texts)  # most columns of texts are told by their first value
    if not all(are_numbers(part, decimal=decimal, thousands=thousands).all() for part in parts):
        return column
    texts = texts.str.strip()
    if thousands:
        texts = texts.str.replace(thousands, "", regex=False)
    if decimal != ".":
        texts = texts.str.replace(decimal, ".", regex=False)
    if not texts.str.fullmatch(r"[+-]?[0-9]+").all():
        values = np.append(pd.to_numeric(texts).to_numpy(dtype=np.float64), np.nan)  # the last is a missing text's
        return pd.Series(values[codes], index=column.index, name=column.name)
    if (texts.str.len() > _SAFE_DIGITS).any() and not all(map(_fits, texts)):
        return column
    integers = pd.Series(np.array([*map(int, texts), 0], dtype=np.int64)[codes], index=column.index, name=column.name)
    return integers if (codes >= 0).all() else integers.astype("Int64").mask(codes < 0)


def _plain_decimals(column: pd.Series) -> pd.Series | None:
    """Return a column of texts as float64 if they are short numbers with a point, such as -3.25; None if some are not.

    Up to 15 digits and the power of ten behind them are floats without rounding, so that their quotient is rounded
    once: there is one result, whoever computes it.
    """
    texts = pa.chunked_array(pa.array(column, type=pa.large_string())).combine_chunks()
    _, offsets, characters = texts.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if not len(texts) or characters is None or np.diff(ends).max() > _EXACT_DIGITS:
        return None
    used = np.frombuffer(characters, dtype=np.uint8)[ends[0] : ends[-1]]
    if not _OF_DECIMALS[used].all() or not (used == ord(".")).any():
        return None
    try:
        numbers = texts.cast(pa.float64())
    except pa.ArrowInvalid:  # 1.2.3, or a sign alone
        return None
    return pd.Series(numbers.to_numpy(zero_copy_only=False), index=column.index, name=column.name)


def _fits(text: str) -> bool:
    """Whether a whole number fits into 64 bits; a text of thousands of digits is not even converted."""
    digits = text.lstrip("+-").lstrip("0")
    return len(digits) <= _SAFE_DIGITS + 1 and -(2**63) <= int(f"{'-' * text.startswith('-')}{digits or '0'}") < 2**63


def looks_like_dates(values: Sequence[object]) -> bool:
    """Whether most of these different values are dates or times of day, and more than a few."""
    return _are_most([_DATE.fullmatch(value.strip()) for value in values if isinstance(value, str)], len(values))


def are_dates(values: Sequence[object]) -> bool:
    """Whether these different values look like dates, or are all days of four-digit years, however few."""
    are_days = [isinstance(value, str) and _DAY.fullmatch(value.strip()) for value in values]
    return looks_like_dates(values) or (len(are_days) > 0 and all(are_days))


def is_number(text: str) -> bool:
    """Whether a text is a number in some notation."""
    return _notation(text.strip()) is not None


def foreign_numbers(rows: Mapping[str, int]) -> str | None:
    """Return what a sentence says of a column whose different texts are mostly numbers, or None.

    Args:
        rows: text → how many rows have it.
    """
    notation = {value: _notation(value.strip()) for value in rows}
    numbers = [value for value, name in notation.items() if name]
    if not _are_most(numbers, len(rows)):
        return None
    plain = "numbers in full"
    foreign = [value for value in numbers if notation[value] != plain]
    others = [value for value, name in notation.items() if name is None]
    if foreign:
        first = next((value for value in foreign if notation[value] != _DOUBTFUL), foreign[0])
        name = str(notation[first])
        content, advice = f"holds {name} such as {shown(first)}", _NOTATIONS[name][1]
    elif others:
        content, advice = "holds numbers", ""
    else:
        longest = max(numbers, key=len)
        beyond = " (beyond 64 bits)" if _INTEGER.fullmatch(longest) and not _fits(longest) else ""
        return (
            f"holds numbers as texts, such as {shown(longest)}{beyond}, expected numbers or categories (leave it out "
            "with 'drop', or name it in 'categories')"
        )
    if others:
        most = max(others, key=rows.__getitem__)
        content += f", and {shown(most)} in {rows[most]:,} rows"
        marker = f"name {shown(most)} in the reader's option missing" + (
            f", beside {', '.join(map(repr, MISSING[1:4]))}" if most not in MISSING else ""
        )
        advice = f"{advice}; {marker}" if advice else marker
    return f"{content}, expected numbers as in 1016.95 ({advice}; or name the column in 'categories')"


def _notation(text: str) -> str | None:
    return next((name for name, pattern in _PATTERNS.items() if pattern.fullmatch(text)), None)


def _are_most(matches: Sequence[object], values: int) -> bool:
    number = sum(match is not None for match in matches)
    return number > MAX_NUMERIC_CATEGORIES and number >= MOST * values
