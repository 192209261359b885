"""A user's own table: one or more CSV or Parquet files with the same columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from pyarrow import ArrowException

from counterpoise.data.delimited import complete_rows, header, read_delimited
from counterpoise.data.files import verify
from counterpoise.errors import InputError, suggest

#: What a CSV file usually writes for a missing value. A category may well be called "None": it is not in here.
MISSING = ("", "?", "NA", "N/A", "NaN", "nan")

_CSV, _PARQUET = ".csv", ".parquet"


def read(
    folder: Path,
    *,
    files: Sequence[str],
    checksums: Mapping[str, str] | None = None,
    missing: Sequence[str] = MISSING,
) -> pd.DataFrame:
    """Read the complete rows of `files`, one below the other, in the order given.

    Args:
        folder: holds the files.
        files: names relative to `folder`, ending in `.csv` (with a header line) or `.parquet`.
        checksums: file name → SHA-256; None, or a file left out, asks only that it exists.
        missing: the texts that stand for a missing value, beside the empty values of Parquet.

    Returns:
        One row per sample, the files' columns in the first file's order, index 0 to N−1.

    Raises:
        InputError: no file is named, one is missing, altered, unreadable or of another kind, the columns of two files
            differ, or no row is complete.
    """
    if not files:
        raise InputError("files: found none, expected the name of at least one CSV or Parquet file")
    verify(folder, {**dict.fromkeys(files), **(checksums or {})})
    tables = [_read_file(folder / name, missing) for name in files]
    first, *others = tables
    for name, other in zip(files[1:], others, strict=True):
        _require_same_columns(first, other, str(folder / files[0]), str(folder / name))
    return complete_rows(pd.concat(tables, ignore_index=True), ", ".join(str(folder / name) for name in files))


def _read_file(path: Path, missing: Sequence[str]) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix == _CSV:
        return read_delimited(path, header(path), missing=missing, has_header=True)
    if suffix != _PARQUET:
        raise InputError(f"{path}: a file ending in {suffix!r} cannot be read, expected {_CSV} or {_PARQUET}")
    try:
        table = pd.read_parquet(path)
    except (ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error}), expected a complete Parquet file") from error
    texts = table.select_dtypes(["object", "str", "category"]).columns
    return table.assign(**{str(name): table[name].mask(table[name].isin(list(missing))) for name in texts})


def _require_same_columns(first: pd.DataFrame, other: pd.DataFrame, first_name: str, other_name: str) -> None:
    for column in first.columns.difference(other.columns, sort=False):
        raise InputError(
            f"{other_name}: column {column!r} of {first_name} is not there{suggest(column, other.columns)}, "
            "expected the same columns in every file"
        )
    for column in other.columns.difference(first.columns, sort=False):
        raise InputError(
            f"{other_name}: column {column!r} is not in {first_name}{suggest(column, first.columns)}, "
            "expected the same columns in every file"
        )
