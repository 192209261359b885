"""Comma-separated text, read strictly: a short, a long or a non-numeric line is an error, never a missing value."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from counterpoise.errors import InputError

_log = logging.getLogger(__name__)


def header(path: Path, *, repeated: Sequence[str] = ()) -> list[str]:
    """Return the column names in the first line of `path`.

    Args:
        path: the file, UTF-8.
        repeated: names that may occur again; the later ones become `name.1`, `name.2`, as pandas calls them.

    Raises:
        InputError: the file is empty, or a name is empty or occurs twice.
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        names = next(csv.reader(stream, skipinitialspace=True), [])
    if not names:
        raise InputError(f"{path}: the file is empty, expected a header line with column names")
    twice = sorted({name for name in names if names.count(name) > 1 and name not in repeated})
    if twice:
        raise InputError(f"{path}: the header names {twice[0]!r} more than once, expected distinct column names")
    if "" in names:
        raise InputError(
            f"{path}: column {names.index('') + 1} of the header has no name, expected one for each column"
        )
    earlier = [names[:position].count(name) for position, name in enumerate(names)]
    return [f"{name}.{times}" if times else name for name, times in zip(names, earlier, strict=True)]


def read_delimited(
    path: Path, names: Sequence[str], *, missing: Sequence[str], has_header: bool, comment: str | None = None
) -> pd.DataFrame:
    """Read one comma-separated file, one row per line that is neither blank nor a comment.

    Args:
        path: the file, UTF-8.
        names: the columns, in order.
        missing: what stands for a missing value; nothing else does ("None" and "NA" may be categories).
        has_header: whether the first line repeats `names`.
        comment: lines that begin with this character are skipped.

    Raises:
        InputError: a line does not have `len(names)` fields (the sentence gives its number), or there is no row.
    """
    lines, comments = _scan(path, len(names), comment)
    if lines - has_header < 1:
        raise InputError(f"{path}: found no row, expected at least one")
    return pd.read_csv(
        path,
        names=list(names),
        header=0 if has_header else None,
        skiprows=comments,
        na_values=list(missing),
        keep_default_na=False,
        skipinitialspace=True,
        encoding="utf-8-sig",
        encoding_errors="replace",
        low_memory=False,  # one type per column, whatever the file's size
    )


def complete_rows(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the rows without a missing value, numbered from 0, and log how many were left out.

    Raises:
        InputError: no row is complete; the sentence names the column with the most missing values.
    """
    complete = table.dropna(ignore_index=True)
    if complete.empty:
        gaps = table.isna().sum()
        raise InputError(
            f"{source}: none of {len(table):,} rows is complete, expected at least one; column {gaps.idxmax()!r} alone "
            f"misses {gaps.max():,} values"
        )
    _log.info("%s: %d of %d rows are complete", source, len(complete), len(table))
    return complete


def require_numbers(table: pd.DataFrame, columns: Sequence[str], source: str) -> pd.DataFrame:
    """Return `table` with `columns` as int64, for complete rows.

    Raises:
        InputError: a value is not a whole number; the sentence names the column, the row and the value.
    """
    converted = {}
    for name in columns:
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = ~(numbers % 1 == 0)  # NaN and infinities are not whole either
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise InputError(
                f"{source}: column {name!r} has {table[name].iloc[row]!r} in row {row} (of the complete rows, from 0), "
                "expected a whole number"
            )
        converted[name] = numbers.astype("int64")
    return table.assign(**converted)


def _scan(path: Path, expected: int, comment: str | None) -> tuple[int, list[int]]:
    """Count the lines that hold data and list those (from 0) that hold a comment.

    This pass exists because pandas fills a short line with missing values and says nothing.
    """
    lines, comments = 0, []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.reader(stream, skipinitialspace=True)
        try:
            for fields in reader:
                if fields in ([], [""]):
                    continue
                if comment is not None and fields[0].startswith(comment):
                    comments.append(reader.line_num - 1)
                    continue
                if len(fields) != expected:
                    raise InputError(
                        f"{path}: line {reader.line_num} has {len(fields)} fields, expected {expected}; "
                        "the file is truncated or altered"
                    )
                lines += 1
        except csv.Error as error:
            raise InputError(f"{path}: line {reader.line_num} cannot be read ({error}), expected CSV") from error
    return lines, comments
