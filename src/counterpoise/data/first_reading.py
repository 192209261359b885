"""Read a file whose notation nobody has said: encoding, signs in numbers, units, signs for missing values."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import pandas as pd
from pandas.api import types

from counterpoise.data.boundary import decoding
from counterpoise.data.delimited import SEPARATORS, Notation
from counterpoise.data.notations import (
    MAX_NUMERIC_CATEGORIES,
    UNITS,
    are_numbers,
    foreign_numbers,
    is_number,
    unit_of,
    without_unit,
)
from counterpoise.data.table import DELIMITED, TEXTUAL, WORKBOOKS, format_of, read_rows
from counterpoise.data.texts import OtherEncodingError, Text, checked_text
from counterpoise.data.values import MISSING, distinct
from counterpoise.errors import InputError, suggest

MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""How a file of another encoding than UTF-8 begins, where it says so."""
GAPS = {"-", "--", "–", "—", ".", "n/a", "n.a.", "#n/a", "null", "<na>", "nat", "missing", "unknown"}
"""What stands for a missing value among numbers, in small letters; elsewhere it may be a category, as `none` may be."""
POINT_DECIMAL = "$£¥"
"""Units of countries where a comma stands between thousands."""

ROWS_LOOKED_AT = 10_000
"""Of a file that may hold codes with leading zeros."""

_ZERO = re.compile("0[0-9]")


def read_as_it_is(
    path: Path, apart: Set[str] = frozenset(), sheet: str | None = None
) -> tuple[pd.DataFrame, Notation, tuple[str, ...]]:
    """Read a file whose notation nobody has said: UTF-8 or what its first bytes say, else cp1252 (latin-1 where that
    fails); numbers with a decimal comma where most texts of a column are such numbers, with commas between thousands
    or a unit where all are.

    Args:
        apart: names of columns whose values are classes or groups: none of them stands for a missing one.
        sheet: of a workbook that has several.

    Returns:
        The table, its notation, and the texts that stand for a missing value beside those of `values.MISSING`.

    Raises:
        InputError: there is no such file, it is a folder, or it cannot be read as a table.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected the file of a table")
    if not path.is_file():
        near = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"{path}: no such file{suggest(path.name, near) if near else ''}, expected a table")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty, expected a header line with column names, and rows")
    if sheet is not None and format_of(path) not in WORKBOOKS:
        raise InputError(
            f"--sheet: {path} is no workbook, expected the option for {', '.join(sorted(WORKBOOKS))} alone"
        )
    encoding = _encoding(path) if format_of(path) in TEXTUAL else "utf-8"
    notation = Notation(separator=None, encoding=encoding, sheet=sheet)
    table = read_rows(path.parent, files=path.name, notation=notation)
    columns = _text_columns(table)
    gaps = _gaps([column for column in columns if column.name not in apart], table[[*apart & {*table}]])
    texts, units = _without_units([column[~column.isin(gaps)] for column in columns])
    if _decimal_commas(texts):
        notation = replace(notation, decimal=",", thousands="." if _has_points(texts) else None)
    elif _has_commas(texts, units):
        notation = replace(notation, thousands=",")
    notation = replace(notation, units=_of_numbers(texts, units, notation))
    if notation.decimal != "." or notation.thousands or notation.units or gaps:
        missing = (*MISSING, *gaps)
        table = read_rows(path.parent, files=path.name, missing=missing, notation=notation)
    return table, notation, gaps


def leading_zeros(path: Path, table: pd.DataFrame, notation: Notation) -> frozenset[str]:
    """Return the columns of whole numbers some of whose first values are written with a 0 before them, such as 01067:
    these are codes, of places for instance.

    Args:
        table: what the file has become.
    """
    whole = [place for place, name in enumerate(table) if types.is_integer_dtype(table[name])]
    if not whole or format_of(path) not in DELIMITED:
        return frozenset()
    for separator in SEPARATORS:
        with Text(path, notation.encoding).open() as text:
            header, *rows = islice(csv.reader(text, delimiter=separator, skipinitialspace=True), ROWS_LOOKED_AT)
        if len(header) == len(table.columns):
            break
    rows = [fields for fields in rows if len(fields) == len(header)]
    return frozenset(str(table.columns[place]) for place in whole if any(_ZERO.match(fields[place]) for fields in rows))


def _gaps(columns: Sequence[pd.Series], apart: pd.DataFrame) -> tuple[str, ...]:
    """Return the signs among the numbers of columns whose other texts are all such, but for values of other columns."""
    signs: dict[str, None] = {}
    for column in columns:
        texts = [str(text) for text in distinct(column)]
        others = [text for text in texts if not is_number(text)]
        if len(texts) - len(others) > MAX_NUMERIC_CATEGORIES and all(
            text.strip().casefold() in GAPS for text in others
        ):
            signs |= dict.fromkeys(others)
    values = {value for name in apart for value in distinct(apart[name])}
    return tuple(sign for sign in signs if sign not in values)


def _encoding(path: Path) -> str:
    with decoding(path, "a complete file"), Text(path, "utf-8").open_bytes() as stream:
        marked = MARKS.get(stream.read(2))
    for encoding in (marked,) if marked else ("utf-8", "cp1252"):
        with suppress(OtherEncodingError):
            checked_text(path, encoding)
            return encoding
    return marked or "latin-1"


def _text_columns(table: pd.DataFrame) -> list[pd.Series]:
    return [table[name].dropna() for name in table if isinstance(table[name].dtype, pd.StringDtype)]


def _without_units(columns: Sequence[pd.Series]) -> tuple[list[pd.Series], list[str | None]]:
    """Return columns of texts, those that all have a unit without it; and the units."""
    units = [unit_of(column, UNITS) for column in columns]
    return [without_unit(column, unit) if unit else column for column, unit in zip(columns, units, strict=True)], units


def _of_numbers(columns: Sequence[pd.Series], units: Sequence[str | None], notation: Notation) -> tuple[str, ...]:
    """Return the units of the columns that are numbers without them."""
    are = partial(are_numbers, decimal=notation.decimal, thousands=notation.thousands)
    numeric = [unit for column, unit in zip(columns, units, strict=True) if unit and are(column).all()]
    return tuple(dict.fromkeys(numeric))


def _decimal_commas(columns: Sequence[pd.Series]) -> bool:
    """Whether a column of texts holds numbers with a decimal comma."""
    sentences = [foreign_numbers({str(k): int(n) for k, n in c.value_counts().items()}) for c in columns]
    return any(sentence and "decimal ','" in sentence for sentence in sentences)


def _has_commas(columns: Sequence[pd.Series], units: Sequence[str | None]) -> bool:
    """Whether a column of texts is numbers with commas between thousands: some with two of them, with decimals as well,
    or with a unit of countries that write so.
    """
    sure = r"\s*[+-]?[0-9]{1,3}(,[0-9]{3})+(,[0-9]{3}|\.[0-9]+)\s*"
    one = r"\s*[+-]?[0-9]{1,3}(,[0-9]{3})+\s*"
    return any(
        bool(column.str.fullmatch(f"{sure}|{one}" if unit and unit in POINT_DECIMAL else sure).any())
        and bool(are_numbers(column, thousands=",").all())
        for column, unit in zip(columns, units, strict=True)
    )


def _has_points(columns: Sequence[pd.Series]) -> bool:
    return any(bool(column.str.fullmatch(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+,[0-9]+").any()) for column in columns)
