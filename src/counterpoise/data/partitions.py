"""Dated files of new rows: which rows are held out, what makes a file unusable, and what their images look like.

A row is held out by a hash of its contents, so that the same row is on the same side in every file and every week. The
label is not part of the hash: a row whose label arrives late stays where it was.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64, UInt64
from pandas.api import types

from counterpoise.data.boundary import LIMITS, Limits
from counterpoise.data.encode import Group, class_codes, group_codes
from counterpoise.data.images import IMAGE, MAX_BAD_FRACTION, ImageFiles, Range, drop_bad
from counterpoise.data.table import read_with_gaps
from counterpoise.data.values import Value, distinct, listed
from counterpoise.errors import InputError, shown, suggest

_DATED = re.compile(r".*-(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})", re.DOTALL)

HASH_KEY = "counterpoiserows"
"""Key of the rows' hash, 16 letters; another key would hold out other rows."""

MOST_AGAIN = 0.5
"""Share of a partition's rows that may be in another one again, beyond those that are alike by chance."""

SHORT = 16
"""Hexadecimal digits of a digest of rows."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are its label and its groups, as the block of the data set says.

    Attributes:
        label, positive, classes: as in `data.encode.encode`.
        sensitive, groups, bands: the same; the column may have been joined of others.
        scored_only: values that are no group, and not new either.
    """

    label: str
    positive: Value | None
    classes: Sequence[Value]
    sensitive: str
    groups: Sequence[Group]
    bands: Sequence[float] = ()
    scored_only: Sequence[Value | None] = ()

    def y(self, rows: pd.DataFrame) -> Int64[np.ndarray, "N"]:
        """Return the class of each row, −1 where it is missing or none of the classes."""
        return class_codes(rows[self.label], self.positive, self.classes)

    def s(self, rows: pd.DataFrame) -> Int64[np.ndarray, "N"]:
        """Return the group of each row, −1 where it is missing, scored only, or in none."""
        column = rows[self.sensitive]  # a group of all others, `"*"`, does not take what is scored only
        apart = column.isin([value for value in self.scored_only if value is not None]).to_numpy(dtype=bool)
        return np.where(apart, -1, group_codes(column, self.groups, self.bands))


def date_of(partition: str) -> str:
    """Return the date with which the name of a partition ends: `income-2026-03-02` is of 2026-03-02.

    Raises:
        InputError: it ends with no date.
    """
    match = _DATED.fullmatch(partition)
    try:
        return date.fromisoformat(match["date"] if match else "").isoformat()
    except ValueError:
        raise InputError(
            f"{partition}: its name ends with no date, expected <name>-<date>, as in -2026-03-02"
        ) from None


def read_partition(path: Path, options: Mapping[str, Any], limits: Limits = LIMITS) -> pd.DataFrame:
    """Read a partition with its gaps.

    Args:
        options: those of the reader `counterpoise.data.table.read`; the ones count that say how the file is
            written, and what is missing.

    Raises:
        InputError: it cannot be read.
    """
    return read_with_gaps(path.parent, path.name, options, limits)


def row_hashes(rows: pd.DataFrame) -> UInt64[np.ndarray, "N"]:
    """Return a hash of each row, the same for the same values under the same names, whatever their types and order."""
    columns = {}
    for name in sorted(rows.columns):
        column = rows[name]
        if types.is_numeric_dtype(column) and not types.is_bool_dtype(column):
            columns[name] = pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan))
        else:
            columns[name] = column.astype(object).where(column.notna(), "").map(str).reset_index(drop=True)
    frame = pd.DataFrame(columns, index=range(len(rows)))
    return pd.util.hash_pandas_object(frame, index=False, hash_key=HASH_KEY).to_numpy(dtype=np.uint64)


def is_held_out(rows: pd.DataFrame, label: str, share: float, together: str | None = None) -> Bool[np.ndarray, "N"]:
    """Return which rows no training may see: that share of them, by their contents without the label.

    Args:
        together: a column whose rows with the same value are on one side; those that miss it go by their contents.
    """
    hashes = row_hashes(rows.drop(columns=[label]))
    if together is not None:
        hashes = np.where(rows[together].isna(), hashes, row_hashes(rows[[together]]))
    return np.asarray(hashes < np.uint64(share * 2.0**64))


def one_of_each(
    rows: pd.DataFrame, label: str, together: str | None, batch: Int64[np.ndarray, "N"] | None = None
) -> Bool[np.ndarray, "N"]:
    """Return which rows count where those with the same value of a column, such as those of one person, are alike.

    One row of each person: of the earliest batch (by default, all are one batch), by a hash of what the row holds
    beside the label, so that a row which arrives later changes nothing. Rows that miss the value count, each for
    itself; so do all rows where no column is named.
    """
    counts = np.ones(len(rows), dtype=bool)
    if together is None:
        return counts
    named = rows[together].notna().to_numpy()
    table = pd.DataFrame(
        {
            "person": row_hashes(rows[[together]]),
            "batch": 0 if batch is None else batch,
            "row": row_hashes(rows.drop(columns=[label])),
        }
    )[named]
    counts[named] = ~table.sort_values(["batch", "row"], kind="stable").duplicated("person").sort_index().to_numpy()
    return counts


def digest_of(rows: pd.DataFrame) -> str:
    """Return a digest of rows in any order, labels included."""
    return hashlib.sha256(np.sort(row_hashes(rows)).tobytes()).hexdigest()[:SHORT]


def labelled_hashes(rows: pd.DataFrame, label: str) -> UInt64[np.ndarray, "N"]:
    """Return the hashes of the rows that have a label, without it: of what counts, and may count once."""
    return row_hashes(rows[rows[label].notna()].drop(columns=[label]))


def require_others(name: str, hashes: UInt64[np.ndarray, "N"], earlier: Mapping[str, UInt64[np.ndarray, "_"]]) -> None:
    """Raise InputError if the rows of a partition are, for the most part, those of another one, or the other way round.

    Rows may be alike by chance, in tables of few columns most of them. Two partitions of a kind have as many rows in
    common as either has that occur twice; only what is more than that is the same rows again.

    Args:
        hashes: of the labelled rows. earlier: the same of other partitions, by name.
    """
    for other, rows in earlier.items():
        for part, whole, owner in ((hashes, rows, "its"), (rows, hashes, f"{other}'s")):
            again = np.isin(part, whole)
            if len(whole) and again.mean() > MOST_AGAIN + pd.Series(whole).duplicated(keep=False).mean():
                of = f" are in {other}" if part is hashes else " are in it"
                raise InputError(
                    f"{name}: {again.sum():,} of {owner} {len(part):,} labelled rows{of} again, expected rows that no "
                    "other partition has"
                )


def _is_number(value: Any) -> bool:
    return bool(pd.notna(pd.to_numeric(value, errors="coerce")))


def usable(rows: pd.DataFrame, reference: pd.DataFrame, columns: Columns, *, name: str, min_rows: int) -> pd.DataFrame:
    """Return the rows of a partition with the columns of the reference.

    Raises:
        InputError: a column is missing or of another kind, a group or class is new, or labelled rows are few.
    """
    for column in reference.columns:
        if column not in rows:
            raise InputError(f"{name}: the column {shown(column)} is missing{suggest(column, rows.columns)}")
        is_number, values = types.is_numeric_dtype(reference[column]), rows[column].dropna()
        if is_number != types.is_numeric_dtype(values) and len(values):
            value = next((value for value in values if is_number and not _is_number(value)), values.iloc[0])
            expected = "numbers" if is_number else f"values such as {shown(reference[column].dropna().iloc[0])}"
            raise InputError(f"{name}: the column {shown(column)} holds {shown(value)}, expected {expected}")
    rows = rows[list(reference.columns)]
    y = columns.y(rows)
    for column, codes, what in ((columns.label, y, "class"), (columns.sensitive, columns.s(rows), "group")):
        unknown = rows[column][(codes < 0) & rows[column].notna().to_numpy()]
        if columns.positive is not None and column == columns.label:
            present = set(distinct(reference[column].dropna()))
            unknown = rows[column][~rows[column].isin(present) & rows[column].notna()]
        if column == columns.sensitive:
            unknown = unknown[~unknown.isin([value for value in columns.scored_only if value is not None])]
        if len(unknown):
            raise InputError(
                f"{name}: {len(unknown):,} rows have the new {what} {listed(distinct(unknown))} in {shown(column)}, "
                f"expected those that the models were trained on"
            )
    labelled = int((rows[columns.label].notna()).sum())
    if labelled < min_rows:
        raise InputError(f"{name}: has {labelled:,} labelled rows, expected at least {min_rows:,}")
    return rows


FILE, DIGEST = "image file", "image digest"
"""Columns beside those of the table: the path of an image, and the SHA-256 of its bytes."""

LOOKS = ("image brightness", "image contrast", "image width", "image height")
"""Further ones: mean and standard deviation of the 8-bit values, and pixels. What drift of images is measured by."""


def with_files(
    rows: pd.DataFrame,
    folder: Path,
    *,
    name: str,
    max_bad_fraction: float = MAX_BAD_FRACTION,
    max_pixels: int = LIMITS.image_pixels,
    value_range: Range | None = None,
) -> pd.DataFrame:
    """Return the rows whose image can be read, with the columns `FILE`, `DIGEST` and `LOOKS`. Every image is decoded.

    Args:
        rows: with a column `image`, paths relative to the folder.
        name: of the rows, for errors.
        max_bad_fraction: of the images that may be missing or unreadable, which are left out.
        max_pixels, value_range: as of `images.decode`.

    Raises:
        InputError: a path leads out of the folder, or more images cannot be read.
    """
    images = ImageFiles(folder, rows[IMAGE].astype(str), max_pixels=max_pixels, value_range=value_range)
    bad: dict[str, str] = {}
    described = []
    for row in range(len(images)):
        image = images[row]
        if image.pixels is None:
            bad[image.name] = image.reason
            continue
        path, values = folder / image.name, image.pixels.numpy()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        height, width = values.shape[1:]
        described.append((str(path), digest, float(values.mean()), float(values.std()), int(width), int(height)))
    try:
        usable, _ = drop_bad(rows, bad, max_bad_fraction)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    columns = (FILE, DIGEST, *LOOKS)
    return usable.assign(**{column: [entry[i] for entry in described] for i, column in enumerate(columns)})


def file_names(rows: pd.DataFrame) -> pd.Series:
    """Return a name for each image that says what is in it: its digest, a number for others of the same bytes."""
    number = rows.groupby(DIGEST).cumcount()
    endings = rows[FILE].map(lambda path: Path(path).suffix)
    twice = np.where(number > 0, "-" + number.astype(str), "")
    return rows[DIGEST] + twice + endings
