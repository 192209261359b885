"""Tables whose cells have types: workbooks of Excel, records of JSON and Parquet files, read as CSV files are.

Every cell of a workbook or of JSON becomes the text that it would be in a CSV file, and a column what all its texts
are, so that signs, units, dates and missing values are found alike. Only a text such as 01067 stays one: here a number
is not written so. Parquet is bounded before it is unpacked, checked, and read in types that a table can have.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from counterpoise.data.boundary import LIMITS, Limits, decoding, require_at_most, require_size
from counterpoise.data.delimited import COMMAS, Notation, column_names, typed
from counterpoise.data.texts import checked_text
from counterpoise.data.values import listed, name_of, settled
from counterpoise.errors import InputError, shown

_BYTES = 8  # what a cell or value takes in memory, at least
_LARGEST_SHEET = 2**20  # rows, of Excel's
_ERRORS = {"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A"}
"""What a formula of Excel's without a result is."""
_LEADING_ZERO = "0[0-9]"
_RECORDS = "expected JSON records: a list of objects, or an object in each line"


def read_workbook(
    path: Path, *, missing: Sequence[str], notation: Notation = COMMAS, limits: Limits = LIMITS
) -> pd.DataFrame:
    """Read a sheet of a workbook, whose first row names the columns; blank rows and unnamed blank columns are skipped.

    Formulas are what they were when the file was saved, and missing where that is an error. Dates become
    year-month-day, percentages shares (0.5 for 50%).

    Raises:
        InputError: openpyxl is not installed, the file is damaged or passes a limit, the sheet is not there or none is
            named among several, its first row is no header, or there is no other row.
    """
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise InputError(
            f"{path}: needs the package 'openpyxl', expected it from `pip install \"counterpoise[excel]\"`, or the "
            "sheet saved as 'CSV UTF-8'"
        ) from None
    require_size(path, limits)
    expected = "a workbook of Excel's (.xlsx) without a password"
    with decoding(path, expected), path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and validations that are no part of the values
        unpacked = sum(entry.file_size for entry in zipfile.ZipFile(stream).infolist())  # no entry unpacks to more
        require_at_most(unpacked, limits.unpacked_bytes, f"{path}: unpacks to", "bytes", "unpacked_bytes")
        sheet = _sheet(load_workbook(stream, read_only=True, data_only=True), notation.sheet, path)
        header, *rows = _rows(sheet, path, limits)
    width = max(map(len, [header, *rows]))
    names = [_text(cell) or "" for cell in header] + [""] * (width - len(header))
    columns = {place: [row[place] if place < len(row) else None for row in rows] for place in range(width)}
    used = [place for place in columns if names[place] or any(cell is not None for cell in columns[place])]
    if sum(not names[place] for place in used) > len(used) / 2:
        raise InputError(
            f"{path}: row 1 of the sheet {shown(sheet.title)} names {sum(map(bool, names))} of {len(used)} columns, "
            "expected all names there: delete the rows above them"
        )
    named = column_names(path, names)
    return _table(path, {named[place]: columns[place] for place in used}, missing, notation)


def _sheet(book: Any, name: str | None, path: Path) -> Any:
    """Return the sheet of this name; without a name the only one that begins with a header."""
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    for sheet in sheets.values():
        sheet.reset_dimensions()  # of which a file may say anything
    if name is not None:
        if name not in sheets:
            raise InputError(f"{path}: there is no sheet {shown(name)}, expected one of {listed(list(sheets))}")
        return sheets[name]
    filled = [title for title, sheet in sheets.items() if any(next(sheet.iter_rows(values_only=True), ()))]
    if not filled:
        raise InputError(f"{path}: row 1 is blank in every sheet, expected the names of the columns there")
    if len(filled) > 1:
        raise InputError(
            f"{path}: has the sheets {listed(filled)}, expected the name of one (the reader's option sheet, or --sheet "
            "of `counterpoise init`)"
        )
    return sheets[filled[0]]


def _rows(sheet: Any, path: Path, limits: Limits) -> Iterator[list[Any]]:
    """Yield the cells of the first row, and of all others that are not blank, without blank ones at their end."""
    size = 0
    for number, row in enumerate(sheet.iter_rows(values_only=True)):
        if number >= _LARGEST_SHEET:  # a file may say so of its next row
            raise InputError(f"{path}: the sheet has more than {_LARGEST_SHEET:,} rows, expected no more, as in Excel")
        require_at_most(len(row), limits.columns, f"{path}: the table has", "columns", "columns")
        cells = list(row)
        while cells and cells[-1] is None:
            cells.pop()
        if number == 0 or cells:
            size += sum(_BYTES + (len(cell) if isinstance(cell, str) else 0) for cell in cells)
            require_at_most(size, limits.unpacked_bytes, f"{path}: unpacks to at least", "bytes", "unpacked_bytes")
            yield cells


def read_records(
    path: Path, *, missing: Sequence[str], notation: Notation = COMMAS, limits: Limits = LIMITS
) -> pd.DataFrame:
    """Read JSON records: a list of objects, or an object in each line. What an object does not have is missing.

    A column that holds lists or objects stays what it is, so that it may be there and be left out.

    Raises:
        InputError: the file is no such JSON, has another encoding, passes a limit, or holds no object.
    """
    text = checked_text(path, notation.encoding, limits)
    with decoding(path, "a complete file"), text.open() as stream:
        content = stream.read()
    if content.lstrip().startswith("["):
        records = _parsed(content, str(path))
    else:
        lines = enumerate(content.split("\n"), start=1)
        records = [_parsed(line, f"{path}: line {number}") for number, line in lines if line.strip()]
    if others := [record for record in records if not isinstance(record, dict)]:
        raise InputError(f"{path}: holds {shown(others[0])}, {_RECORDS}")
    keys = list(dict.fromkeys(key for record in records for key in record))
    require_at_most(len(keys), limits.columns, f"{path}: the table has", "columns", "columns")
    size = len(keys) * len(records) * _BYTES
    require_at_most(size, limits.unpacked_bytes, f"{path}: unpacks to about", "bytes", "unpacked_bytes")
    columns = [[record.get(key) for record in records] for key in keys]
    return _table(path, dict(zip(column_names(path, keys), columns, strict=True)), missing, notation)


def _parsed(text: str, where: str) -> Any:
    """Return what JSON says."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(record := dict(pairs)) < len(pairs):
            raise InputError(f"{where}: an object names a key more than once ({shown(pairs)}), expected distinct ones")
        return record

    with decoding(where, _RECORDS.removeprefix("expected ")):
        return json.loads(text, object_pairs_hook=members)


def _table(
    path: Path, columns: Mapping[str, Sequence[Any]], missing: Sequence[str], notation: Notation
) -> pd.DataFrame:
    if not any(columns.values()):
        raise InputError(f"{path}: found no row, expected at least one")
    return pd.DataFrame({name: _column(cells, missing, notation) for name, cells in columns.items()})


def _column(cells: Sequence[Any], missing: Sequence[str], notation: Notation) -> pd.Series:
    if any(isinstance(cell, list | dict) for cell in cells):
        return pd.Series(cells, dtype=object)
    texts = pd.Series([_text(cell, notation.decimal) for cell in cells], dtype="str")
    texts = texts.mask(texts.isin(missing))
    return texts if texts.str.match(_LEADING_ZERO, na=False).any() else typed(texts, notation)


def _text(cell: Any, decimal: str = ".") -> str | None:
    """Return what a cell is in a file of CSV with this sign before decimals, None where it has no value."""
    if isinstance(cell, str):
        return None if cell in _ERRORS else cell.lstrip(" ")
    if isinstance(cell, datetime) and cell.time() == time():
        cell = cell.date()
    if isinstance(cell, date | time):  # a datetime is a date
        return cell.isoformat()
    is_missing = cell is None or cell != cell  # NaN, which JSON may have
    return None if is_missing else name_of(cell).replace(".", decimal)


_NULLABLE = {
    pa.int8(): pd.Int64Dtype(),
    pa.int16(): pd.Int64Dtype(),
    pa.int32(): pd.Int64Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.Int64Dtype(),
    pa.uint16(): pd.Int64Dtype(),
    pa.uint32(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
"""Types that keep whole numbers and truth values what they are where some are missing."""


def read_parquet(path: Path, limits: Limits = LIMITS) -> pd.DataFrame:
    """Read a Parquet file.

    Decimal numbers become float64; texts have to be valid UTF-8. Dates, durations, bytes, lists and structures stay
    what they are, so that a column of them may be there and be left out.

    Args:
        limits: bounds the number of columns, and the memory of what is unpacked.

    Raises:
        InputError: the file is damaged, passes a limit, or names a column twice.
    """
    expected = "a complete Parquet file"
    with decoding(path, expected), parquet.ParquetFile(path) as file:
        require_at_most(file.metadata.num_columns, limits.columns, f"{path}: the table has", "columns", "columns")
        groups = range(file.metadata.num_row_groups)
        stored = sum(max(file.metadata.row_group(group).total_byte_size, 0) for group in groups)
        cells = file.metadata.num_rows * file.metadata.num_columns
        unpacked = max(stored, cells * _BYTES)
        require_at_most(unpacked, limits.unpacked_bytes, f"{path}: unpacks to about", "bytes", "unpacked_bytes")
        stored_table = file.read(use_pandas_metadata=True)
        stored_table.validate(full=True)
    names = stored_table.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}: column {shown(twice[0])} occurs more than once, expected distinct names")
    for field in stored_table.schema:
        if pa.types.is_map(field.type) or pa.types.is_union(field.type):
            raise InputError(f"{path}: column {shown(field.name)} holds {field.type}, expected numbers or texts")
    with decoding(path, expected):
        fields = [field.with_type(_simpler(field.type)) for field in stored_table.schema]
        table = stored_table.cast(pa.schema(fields, stored_table.schema.metadata)).to_pandas(types_mapper=_NULLABLE.get)
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    return settled(table.rename(columns=str))


def _simpler(kind: pa.DataType) -> pa.DataType:
    """Return the type in which a column is read."""
    if pa.types.is_dictionary(kind):
        return _simpler(kind.value_type)
    return pa.float64() if pa.types.is_decimal(kind) else kind
