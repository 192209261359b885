"""Delimited text, read strictly: a short line, an open quote or a byte of another encoding is an error, never a gap.

All fields are read as texts; a column becomes numbers only if every one of its values is a number in the notation that
was said. pandas alone would fill short lines, replace bytes, and read "1.017" as 1.017 where it is 1017.

A file is read in several passes and a part of its rows at a time, so that its texts are never in memory all at once.
"""

from __future__ import annotations

import codecs
import csv
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from counterpoise.data.boundary import LIMITS, Limits, decoding, require_at_most
from counterpoise.data.notations import as_numbers
from counterpoise.data.texts import ENCODINGS, Text, checked_text, count_plain_lines, read_plain
from counterpoise.data.values import settled, with_columns
from counterpoise.errors import InputError, shown

_log = logging.getLogger(__name__)

#: What separates fields, tried in this order where a file does not say.
SEPARATORS = (",", ";", "\t", "|")

UNNAMED = "Unnamed: "
"""What a column without a name is called, with its position from 0, as pandas does."""

_ROWS_AT_ONCE = 2**16
_LINES_COMPARED = 20
_TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}


@dataclass(frozen=True)
class Notation:
    """How a file is written.

    Attributes:
        separator: between two fields; None takes the one of `SEPARATORS` that gives every line equally many fields.
        decimal: the sign before decimals.
        thousands: the sign between groups of three digits, if there is one.
        units: signs before or behind the numbers of a column that are no part of them, such as % and $.
        encoding: of the text.
        sheet: of a workbook; None takes the only one that is not empty.
    """

    separator: str | None = ","
    decimal: str = "."
    thousands: str | None = None
    units: Sequence[str] = ()
    encoding: str = "utf-8"
    sheet: str | None = None

    def __post_init__(self) -> None:
        signs = {name: getattr(self, name) for name in ("separator", "decimal", "thousands")}
        for name, sign in [*signs.items(), *(("units", unit) for unit in self.units)]:
            if sign is not None and (len(sign) != 1 or sign.isalnum() or sign in '"\r\n'):
                raise InputError(f"{name} is {shown(sign)}, expected one sign that is neither a letter nor a digit")
        if self.decimal == self.thousands:
            raise InputError(f"decimal and thousands are both {shown(self.decimal)}, expected two different signs")
        try:
            "a".encode(self.encoding)  # of nothing at all Python does not even look the name up
        except (LookupError, ValueError):
            raise InputError(
                f"encoding is {shown(self.encoding)}, expected the name of one, such as utf-8, latin-1 or cp1252"
            ) from None


COMMAS = Notation()

WRITTEN = tuple(field.name for field in fields_of(Notation))
"""Options of readers that say how files are written."""


def read_delimited(
    path: Path,
    names: Sequence[str] | None = None,
    *,
    missing: Sequence[str],
    comment: str | None = None,
    repeated: Sequence[str] = (),
    notation: Notation = COMMAS,
    limits: Limits = LIMITS,
) -> pd.DataFrame:
    """Read one delimited file, one row per line that is neither blank nor a comment.

    Args:
        path: the file; of a name that ends as one of `texts.PACKED`, what it unpacks to.
        names: the columns, in order; None takes them from the first line, where a column without a name is called
            `Unnamed: 0`, as pandas does, whose files of a table with its index begin with one.
        missing: what stands for a missing value; nothing else does ("None" and "NA" may be categories).
        comment: lines that begin with this character are skipped.
        repeated: names that the first line may have again; the later ones become `name.1`, `name.2`.
        notation: how fields and numbers are written.
        limits: bounds the file's size, packed and unpacked, and the number of columns.

    Returns:
        int64, float64 and bool columns, Int64 and boolean ones where values are missing; else str. A whole number
        beyond 64 bits makes its column one of texts.

    Raises:
        InputError: a line has too many or too few fields (the sentence gives its number), a quote is not closed, the
            text has another encoding, the header names a column twice, a limit is passed, or there is no row.
    """
    text = checked_text(path, notation.encoding, limits)
    separator = notation.separator or _find_separator(text)
    has_header = names is None
    if names is None:
        names = _header(text, separator, repeated)
    require_at_most(len(names), limits.columns, f"{path}: the table has", "columns", "columns")
    plain = _count_plain_lines(text, len(names), separator) if comment is None else None
    lines, comments = _scan(text, len(names), separator, comment) if plain is None else (plain, [])
    if lines - has_header < 1:
        raise InputError(f"{path}: found no row, expected at least one")

    def fields(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        if plain is not None:
            with decoding(path, "delimited text"), text.open_bytes() as content:
                skip = int(has_header)
                yield from read_plain(content, names, columns, separator=separator, missing=missing, skip=skip)
            return
        with decoding(path, "delimited text"), text.open() as stream:
            yield from pd.read_csv(
                stream,
                sep=separator,
                names=list(names),
                usecols=list(columns),
                header=0 if has_header else None,
                index_col=False,
                skiprows=comments,
                dtype="str",
                na_values=list(missing),
                keep_default_na=False,
                skipinitialspace=True,
                chunksize=_ROWS_AT_ONCE,
            )

    table = _typed_table(fields, names, notation)
    if len(table) != lines - has_header:
        raise InputError(
            f"{path}: has {lines - has_header:,} lines of fields, of which {len(table):,} could be read, expected no "
            "line that is blank or empty in quotes"
        )
    return table


def complete_rows(
    table: pd.DataFrame, source: str, left_out: list[pd.DataFrame] | None = None, unused: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the rows without a missing value, numbered from 0, and log how many were left out.

    Args:
        table: columns of any types.
        source: what to call the table in a sentence.
        left_out: gets the other rows, if it is given.
        unused: columns that may miss values all the same.

    Raises:
        InputError: no row is complete; the sentence names the column with the most missing values.
    """
    is_used = is_complete(table, unused)
    complete = table if is_used.all() else table[is_used]  # a copy of a large table is large
    complete = complete.reset_index(drop=True)
    if complete.empty:
        gaps = table.drop(columns=[name for name in unused if name in table]).isna().sum()
        raise InputError(
            f"{source}: none of {len(table):,} rows is complete, expected at least one; column {shown(gaps.idxmax())} "
            f"alone misses {gaps.max():,} values"
        )
    _log.info("%s: %d of %d rows are complete", source, len(complete), len(table))
    if left_out is not None:
        left_out.append(table[~is_used])
    return settled(complete)


def is_complete(table: pd.DataFrame, unused: Sequence[str] = ()) -> pd.Series:
    """Return which rows miss no value, beside those of unused columns."""
    return table.drop(columns=[name for name in unused if name in table]).notna().all(axis=1)


def require_numbers(table: pd.DataFrame, columns: Sequence[str], source: str) -> pd.DataFrame:
    """Return `table` with `columns` as int64, for complete rows.

    Raises:
        InputError: a value is not a whole number of 64 bits; the sentence names the column, the row and the value.
    """
    converted = {}
    for name in columns:
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = ~((numbers % 1 == 0) & (numbers.abs() < 2**63))  # NaN and infinities are not whole either
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise InputError(
                f"{source}: column {name!r} has {shown(table[name].iloc[row])} in row {row} (of the complete rows, "
                "from 0), expected a whole number"
            )
        converted[name] = numbers.astype("int64")
    return with_columns(table, converted)


def _count_plain_lines(text: Text, expected: int, separator: str) -> int | None:
    """Count the lines, None where only a strict reader can tell fields."""
    if codecs.lookup(text.encoding).name not in ENCODINGS:
        return None
    with decoding(text.path, "a complete file"), text.open_bytes() as stream:
        return count_plain_lines(stream, expected, separator)


def _header(text: Text, separator: str, repeated: Sequence[str]) -> list[str]:
    path = text.path
    try:
        with text.open() as stream:
            names = next(csv.reader(stream, delimiter=separator, skipinitialspace=True), [])
    except csv.Error as error:
        raise InputError(f"{path}: line 1 cannot be read ({error}), expected column names") from error
    if not names:
        raise InputError(f"{path}: the file is empty, expected a header line with column names")
    return column_names(path, names, repeated)


def column_names(path: Path, names: Sequence[str], repeated: Sequence[str] = ()) -> list[str]:
    """Return the names of a header, those that are not there as `Unnamed: 0`.

    Args:
        repeated: names that the header may have again; the later ones become `name.1`, `name.2`.

    Raises:
        InputError: another name is there twice.
    """
    names = [name or f"{UNNAMED}{position}" for position, name in enumerate(names)]
    twice = sorted({name for name in names if names.count(name) > 1 and name not in repeated})
    if twice:
        raise InputError(f"{path}: the header names {shown(twice[0])} more than once, expected distinct column names")
    earlier = [names[:position].count(name) for position, name in enumerate(names)]
    return [f"{name}.{times}" if times else name for name, times in zip(names, earlier, strict=True)]


def _find_separator(text: Text) -> str:
    """Return the first separator that gives the first lines equally many fields, more than one; else a comma."""
    widths = {separator: _widths(text, separator) for separator in SEPARATORS}
    same = [separator for separator, counts in widths.items() if len(set(counts)) == 1 and counts[0] > 1]
    several = [separator for separator, counts in widths.items() if counts and counts[0] > 1]
    return (same or several or [","])[0]


def _widths(text: Text, separator: str) -> list[int]:
    """Return the numbers of fields of the first lines."""
    widths: list[int] = []
    with text.open() as stream:
        reader = csv.reader(stream, delimiter=separator, skipinitialspace=True)
        try:
            while len(widths) < _LINES_COMPARED and (fields := next(reader, None)) is not None:
                widths += [len(fields)] if fields else []
        except csv.Error:
            return []
    return widths


def _scan(text: Text, expected: int, separator: str, comment: str | None) -> tuple[int, list[int]]:
    """Count the lines that hold data and list those (from 0) that hold a comment.

    This pass exists because pandas fills a short line with missing values and says nothing.
    """
    path, begin, lines, comments = text.path, 1, 0, []
    try:
        with text.open() as stream:
            reader = csv.reader(stream, delimiter=separator, skipinitialspace=True, strict=True)
            for fields in reader:
                if len(fields) == expected and not (comment is not None and fields[0].startswith(comment)):
                    lines += fields != [""]
                elif fields in ([], [""]):
                    pass
                elif comment is not None and fields[0].startswith(comment):
                    comments.append(reader.line_num - 1)
                else:
                    others = [sign for sign in SEPARATORS if sign != separator and fields[0].count(sign)]
                    hint = f"; fields may be separated by {others[0]!r}" if others and len(fields) == 1 else ""
                    raise InputError(
                        f"{path}: line {reader.line_num} has {len(fields)} fields, expected {expected}; "
                        f"the file is truncated or altered{hint}"
                    )
                begin = reader.line_num + 1
    except csv.Error as error:
        what = "a quote is not closed" if "unexpected end" in str(error) else str(error)
        raise InputError(f"{path}: line {begin} cannot be read ({what}), expected CSV") from error
    return lines, comments


def _typed_table(
    fields: Callable[[Sequence[str]], Iterator[pd.DataFrame]], names: Sequence[str], notation: Notation
) -> pd.DataFrame:
    """Return the fields of a file as a table of typed columns.

    Each part of the rows is typed on its own. A column that is of different types in different parts is read again as a
    whole: what it is all its texts decide together.
    """
    parts: dict[str, list[pd.Series]] = {name: [] for name in names}
    for part in fields(names):
        for name in names:
            parts[name].append(typed(part[name], notation))
    joined = {name: _joined(parts.pop(name)) for name in names}
    if mixed := [name for name, column in joined.items() if column is None]:
        again = pd.concat(list(fields(mixed)), ignore_index=True)
        joined |= {name: typed(again[name], notation) for name in mixed}
    return pd.DataFrame(joined, columns=list(names), copy=False)


def _joined(parts: Sequence[pd.Series]) -> pd.Series | None:
    """Return parts of a column as one, None if they are of different types; parts without a value are of any."""
    if len(parts) == 1:
        return parts[0]
    present = {part.dtype.kind if _istyped(part) else "text" for part in parts if part.notna().any()}
    if present <= {"text"}:
        return pd.concat(parts, ignore_index=True)
    if not (present <= {"i", "f"} or present == {"b"}):
        return None
    is_complete = all(part.notna().all() for part in parts)
    if "f" in present:
        numbers = [part.to_numpy(dtype=np.float64, na_value=np.nan) for part in parts]
        return pd.Series(np.concatenate(numbers), name=parts[0].name)
    plain, with_gaps = ("bool", "boolean") if present == {"b"} else ("int64", "Int64")
    dtype: Any = plain if is_complete else with_gaps
    typed = [part if _istyped(part) else pd.Series(pd.NA, part.index, dtype=with_gaps) for part in parts]
    return pd.concat([part.astype(dtype) for part in typed], ignore_index=True)


def _istyped(part: pd.Series) -> bool:
    """Whether a part has become numbers or truth values."""
    return not isinstance(part.dtype, pd.StringDtype)


def typed(column: pd.Series, notation: Notation) -> pd.Series:
    """Return a column of texts as numbers or truth values if all of them are such, else as it is."""
    is_there = column.notna().to_numpy()
    if not is_there.any():
        return column
    if column.iloc[int(is_there.argmax())] in _TRUTH and column.dropna().isin(list(_TRUTH)).all():
        return column.map(_TRUTH).astype("boolean" if not is_there.all() else "bool")
    return as_numbers(column, decimal=notation.decimal, thousands=notation.thousands, units=notation.units)
