"""A user's own table: one or more files with the same columns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pandas.api import types

from counterpoise.data.boundary import LIMITS, Limits, require_size
from counterpoise.data.cells import read_parquet, read_records, read_workbook
from counterpoise.data.delimited import WRITTEN, Notation, complete_rows, is_complete, read_delimited
from counterpoise.data.files import verify
from counterpoise.data.notations import MOST, are_numbers
from counterpoise.data.texts import PACKED
from counterpoise.data.values import MISSING, Value, distinct, mismatch, name_of, names_of, with_columns
from counterpoise.errors import InputError, shorten, shown, suggest

_log = logging.getLogger(__name__)

ANY_SEPARATOR = Notation(separator=None)


def notation_of(options: Mapping[str, Any]) -> Notation:
    """Return how files are written, of the options of a reader."""
    return replace(ANY_SEPARATOR, **{name: options[name] for name in WRITTEN if name in options})


Exclusion = Sequence[Value] | Mapping[Literal["below", "above"], float | int]
"""Rows that are not read: those with one of some values, or with numbers outside of bounds."""

Treated = dict[str, dict[str, int]]
"""What was done about rows and gaps → column → how many rows, or values."""


def read(
    folder: Path,
    *,
    files: str | Sequence[str],
    checksums: Mapping[str, str] | None = None,
    missing: Value | Sequence[Value] = MISSING,
    missing_values: Mapping[str, Value | Sequence[Value]] | None = None,
    missing_category: str | Mapping[str, str] | None = None,
    impute: Sequence[str] = (),
    exclude: Mapping[str, Exclusion] | None = None,
    separator: str | None = None,
    decimal: str = ".",
    thousands: str | None = None,
    units: Sequence[str] = (),
    encoding: str = "utf-8",
    sheet: str | None = None,
    source: str = "",
    limits: Limits = LIMITS,
    left_out: list[pd.DataFrame] | None = None,
    unused: Sequence[str] = (),
    treated: Treated | None = None,
    untreated: list[pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Read the complete rows of `files`, one below the other, in the order given.

    Args:
        folder: holds the files.
        files: names relative to `folder`, with an ending of `_READERS`; texts may be packed.
        checksums: file name → SHA-256; None, or a file left out, asks only that it exists.
        missing: the values that stand for a missing one, beside the empty values of Parquet.
        missing_values: column → values that stand for a missing one in it alone, such as 999.
        missing_category: the category that a missing value becomes where a column's others are texts, in all such
            columns or, as a mapping, in those that it names; None leaves such rows out.
        impute: columns of numbers whose missing values become the median of the others, with a truth value beside it,
            `<column>_missing`.
        exclude: column → values whose rows are not read, or bounds of numbers, `below` and `above` which none is read.
        separator: between the fields of a line; None finds it.
        decimal: the sign before decimals.
        thousands: the sign between groups of three digits.
        units: signs before or behind the numbers of a column that are no part of them, such as % and $.
        encoding: of the text.
        sheet: of a workbook; None takes the only one that is not empty.
        source: where the files come from and in what form they belong there; ends the sentence about a missing one.
        limits: bounds files, columns, and what compressed files unpack to.
        left_out: gets the rows that are not complete, if it is given.
        unused: columns that become no features: what they miss leaves no row out.
        treated: gets how many rows are `excluded`, and how many values become a `category` or the `median`, by column.
        untreated: gets the rows that are returned with the gaps that the files have, if it is given.

    Returns:
        One row per sample, the files' columns in the first file's order, index 0 to N−1.

    Raises:
        InputError: no file is named, one is missing, altered, unreadable or of another kind, the columns of two files
            differ in name or kind, or no row is complete.
    """
    rows = read_rows(
        folder,
        files=files,
        checksums=checksums,
        missing=missing,
        missing_values=missing_values,
        notation=Notation(separator, decimal, thousands, units, encoding, sheet),
        source=source,
        limits=limits,
    )
    done: Treated = {} if treated is None else treated
    rows = before = _without_rows(rows, exclude or {}, done)
    if missing_category is not None:
        rows = _with_category(rows, missing_category, done)
    rows = _imputed(rows, impute, done)
    if untreated is not None:
        untreated.append(before[is_complete(rows, unused).to_numpy()].reset_index(drop=True))
    names = [files] if isinstance(files, str) else list(files)
    rows = complete_rows(rows, shorten(", ".join(str(folder / name) for name in names), 300), left_out, unused)
    return without_idle_indicators(rows, impute)


def read_rows(
    folder: Path,
    *,
    files: str | Sequence[str],
    checksums: Mapping[str, str] | None = None,
    missing: Value | Sequence[Value] = MISSING,
    missing_values: Mapping[str, Value | Sequence[Value]] | None = None,
    notation: Notation = ANY_SEPARATOR,
    source: str = "",
    limits: Limits = LIMITS,
) -> pd.DataFrame:
    """Read all rows as `read` does, those that miss a value too."""
    names = [files] if isinstance(files, str) else list(files)
    if not names:
        raise InputError("files: found none, expected the name of at least one table")
    verify(folder, {**dict.fromkeys(names), **(checksums or {})}, source=source)
    tables = dict[str, pd.DataFrame]()
    for path in (folder / name for name in names):
        table = _read_file(path, names_of(missing), notation, limits)
        for earlier, other in tables.items():
            _require_same_columns(other, table, earlier, str(path))
            table = table[list(other.columns)]
            if table.equals(other):
                raise InputError(f"{path}: has the same rows as {earlier}, expected each file once")
        tables[str(path)] = table
    first = tables[str(folder / names[0])]
    for column in first.columns:
        _require_same_kind(column, {name: table[column] for name, table in tables.items()}, notation)
    rows = first if len(tables) == 1 else pd.concat(_alike(list(tables.values())), ignore_index=True)
    for name in missing_values or ():
        _require_column(rows, name, "missing_values")
    gapped = {name: _without(rows[name], names_of(values)) for name, values in (missing_values or {}).items()}
    return with_columns(rows, gapped) if gapped else rows


def read_with_gaps(
    folder: Path, files: str | Sequence[str], options: Mapping[str, Any], limits: Limits
) -> pd.DataFrame:
    """Read all rows, of options of `read` by those alone that say how files are written and what stands for a gap."""
    given = {name: options[name] for name in ("missing", "missing_values") if name in options}
    return read_rows(folder, files=files, notation=notation_of(options), limits=limits, **given)


def _read_file(path: Path, missing: Sequence[str], notation: Notation, limits: Limits) -> pd.DataFrame:
    reader = _READERS.get(format_of(path))
    if reader is None:
        advice = _ADVICE.get(path.suffix.lower(), "")
        raise InputError(
            f"{path}: a file ending in {shown(path.suffix)} cannot be read{advice}, expected {', '.join(_READERS)}"
        )
    return reader(path, missing=missing, notation=notation, limits=limits)


def format_of(path: Path) -> str:
    """Return how a file's name ends that says how it is read, of a packed text without how it is packed."""
    unpacked = Path(path.stem) if path.suffix.lower() in PACKED else path
    ending = unpacked.suffix.lower()
    return ending if unpacked is path or ending in TEXTUAL else path.suffix.lower()


def _read_parquet(path: Path, *, missing: Sequence[str], notation: Notation, limits: Limits) -> pd.DataFrame:
    require_size(path, limits)
    return read_parquet(path, limits).apply(lambda column: _without(column, missing))


_READERS: Mapping[str, Callable[..., pd.DataFrame]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".txt": read_delimited,
    ".json": read_records,
    ".jsonl": read_records,
    ".ndjson": read_records,
    ".xlsx": read_workbook,
    ".xlsm": read_workbook,
    ".parquet": _read_parquet,
}
"""How the names of files end → what reads them."""

DELIMITED, RECORDS, WORKBOOKS = (
    {ending for ending, function in _READERS.items() if function is reader}
    for reader in (read_delimited, read_records, read_workbook)
)
TEXTUAL = DELIMITED | RECORDS
"""What may be in any encoding, and be packed."""

_ADVICE = {
    **dict.fromkeys((".xls", ".xlsb", ".ods"), " (save it as .xlsx)"),
    **dict.fromkeys(PACKED, " (of a packed text the name says what it is, as in .csv.zip)"),
}
"""What to do about files of some other kinds."""


def _without(column: pd.Series, missing: Sequence[str]) -> pd.Series:
    """Return a column whose values that stand for missing ones are missing."""
    if types.is_bool_dtype(column) or not (types.is_numeric_dtype(column) or holds_texts(column)):
        return column
    markers: list[object] = list(missing)
    if types.is_numeric_dtype(column):
        markers = list(pd.to_numeric(pd.Series(missing, dtype="str"), errors="coerce").dropna())
    return column.mask(column.isin(markers))


def holds_texts(column: pd.Series) -> bool:
    """Whether the values that are there are texts."""
    return isinstance(column.dtype, pd.StringDtype | pd.CategoricalDtype) or (
        column.dtype == object and types.infer_dtype(column, skipna=True) == "string"
    )


def _without_rows(rows: pd.DataFrame, exclude: Mapping[str, Exclusion], treated: Treated) -> pd.DataFrame:
    """Return the rows that have none of the values to exclude, and lie within all bounds."""
    counts = {}
    for name, values in exclude.items():
        _require_column(rows, name, "exclude")
        is_excluded = _beyond(rows[name], values) if isinstance(values, Mapping) else _among(rows[name], values)
        counts[name] = int(is_excluded.sum())
        _log.info("%d of %d rows are excluded by their %s", counts[name], len(rows), name)
        rows = rows[~is_excluded].reset_index(drop=True)
    if rows.empty:
        raise InputError("exclude: no row is left, expected at least one")
    if counts:
        treated["excluded"] = counts
    return rows


def _among(column: pd.Series, values: Sequence[Value]) -> pd.Series:
    present = distinct(column.dropna())
    for value in values:
        if value not in present:
            raise InputError(f"exclude: column {shown(column.name)} never is {shown(value)}{mismatch(value, present)}")
    return column.isin(list(values))


def _beyond(column: pd.Series, bounds: Mapping[Literal["below", "above"], float | int]) -> pd.Series:
    if not types.is_numeric_dtype(column) or types.is_bool_dtype(column):
        raise InputError(f"exclude: column {shown(column.name)} has no numbers, expected numbers for its bounds")
    numbers = column.astype("float64")
    return (numbers < bounds.get("below", -float("inf"))) | (numbers > bounds.get("above", float("inf")))


def _with_category(rows: pd.DataFrame, categories: str | Mapping[str, str], treated: Treated) -> pd.DataFrame:
    if isinstance(categories, Mapping):
        for name in categories:
            _require_column(rows, name, "missing_category")
            if not holds_texts(rows[name]):
                raise InputError(f"missing_category: column {shown(name)} has no texts, expected one of texts")
    filled = {}
    for name in rows.columns[rows.isna().any()]:
        column = rows[name]
        category = categories.get(name) if isinstance(categories, Mapping) else categories
        if category is None or not holds_texts(column):
            continue
        if category in distinct(column):
            raise InputError(
                f"missing_category: {shown(category)} is a value of column {shown(name)}, expected a new one"
            )
        filled[name] = column.astype("str").fillna(category)
    if filled:
        treated["category"] = {name: int(rows[name].isna().sum()) for name in filled}
    return with_columns(rows, filled)


def without_idle_indicators(rows: pd.DataFrame, impute: Sequence[str]) -> pd.DataFrame:
    """Return the rows without what says where a column was imputed, of columns whose gaps are all in other rows."""
    return rows.drop(columns=[flag for flag in map(indicator_name, impute) if flag in rows and not rows[flag].any()])


def with_gaps(rows: pd.DataFrame, options: Mapping[str, Any]) -> pd.DataFrame:
    """Return rows of `read` with the gaps that its options `impute` and `missing_category` have filled, as they were.

    What says where a column was imputed is no column of the file, and left out.
    """
    category = options.get("missing_category")
    gapped = {}
    for name in map(str, rows):
        text = category.get(name) if isinstance(category, Mapping) else category
        if text is not None and holds_texts(rows[name]):
            gapped[name] = rows[name].mask(rows[name] == text)
    flags = {flag: name for name in options.get("impute", ()) if (flag := indicator_name(name)) in rows}
    gapped |= {name: rows[name].mask(rows[flag].astype("bool")) for flag, name in flags.items()}
    return rows.assign(**gapped).drop(columns=list(flags))


def indicator_name(column: str) -> str:
    """Return the name of the truth value that says where a column was imputed."""
    return f"{column}_missing"


def _imputed(rows: pd.DataFrame, names: Sequence[str], treated: Treated) -> pd.DataFrame:
    """Return the rows with the median of all rows for missing numbers, and a column that says which they are."""
    filled, flags = dict[str, pd.Series](), dict[str, pd.Series]()
    counts = {}
    for name in names:
        _require_column(rows, name, "impute")
        column, flag = rows[name], indicator_name(name)
        if not types.is_numeric_dtype(column) or types.is_bool_dtype(column) or column.isna().all():
            raise InputError(f"impute: column {shown(name)} has no numbers, expected a column of numbers")
        if flag in rows:
            raise InputError(f"impute: there is a column {shown(flag)} already, expected none of this name")
        if column.isna().any():
            numbers = column.astype("float64")
            filled[name], flags[flag] = numbers.fillna(numbers.median()), column.isna()
            counts[name] = int(column.isna().sum())
    if counts:
        treated["median"] = counts
    return pd.concat([with_columns(rows, filled), pd.DataFrame(flags, index=rows.index)], axis=1)


def _require_column(rows: pd.DataFrame, name: str, option: str) -> None:
    if name not in rows:
        raise InputError(f"{option}: there is no column {shown(name)}{suggest(name, rows.columns)}")


def _alike(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Return tables whose columns have one kind: one that is texts in any of them is texts in all."""
    mixed = [
        name
        for name in tables[0].columns
        if any(holds_texts(table[name]) for table in tables) and not all(holds_texts(table[name]) for table in tables)
    ]
    return [
        with_columns(table, {name: table[name].map(name_of, na_action="ignore").astype("str") for name in mixed})
        for table in tables
    ]


def _require_same_kind(name: str, columns: Mapping[str, pd.Series], notation: Notation) -> None:
    """Raise InputError if a column is numbers in one file, and in another one numbers with a few texts among them."""
    numeric = [file for file, column in columns.items() if types.is_numeric_dtype(column)]
    for file, column in columns.items():
        if not numeric or not holds_texts(column):
            continue
        texts = column.dropna().astype("str")
        numbers = are_numbers(texts, decimal=notation.decimal, thousands=notation.thousands)
        if len(texts) and numbers.mean() >= MOST and not numbers.all():
            others = texts[~numbers].value_counts()
            raise InputError(
                f"{file}: column {shown(name)} has {shown(others.index[0])} in {others.iloc[0]:,} rows, expected "
                f"numbers as in {numeric[0]} (name it in the reader's option missing, if it stands for a missing value)"
            )


def _require_same_columns(first: pd.DataFrame, other: pd.DataFrame, first_name: str, other_name: str) -> None:
    for column in first.columns.difference(other.columns, sort=False):
        raise InputError(
            f"{other_name}: column {shown(column)} of {first_name} is not there{suggest(column, other.columns)}, "
            "expected the same columns in every file"
        )
    for column in other.columns.difference(first.columns, sort=False):
        raise InputError(
            f"{other_name}: column {shown(column)} is not in {first_name}{suggest(column, first.columns)}, "
            "expected the same columns in every file"
        )
