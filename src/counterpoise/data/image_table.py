"""The user's own images: a table with a column `image` and one column for each attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from posixpath import normpath

import pandas as pd

from counterpoise.data import table
from counterpoise.data.boundary import LIMITS, Limits
from counterpoise.data.files import require_inside
from counterpoise.data.images import IMAGE
from counterpoise.data.values import MISSING, Value
from counterpoise.errors import InputError, suggest


def read(
    folder: Path,
    *,
    file: str = "images.csv",
    checksums: Mapping[str, str] | None = None,
    missing: Value | Sequence[Value] = MISSING,
    missing_category: str | None = None,
    separator: str | None = None,
    decimal: str = ".",
    thousands: str | None = None,
    units: Sequence[str] = (),
    encoding: str = "utf-8",
    sheet: str | None = None,
    limits: Limits = LIMITS,
    left_out: list[pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Read `folder/file`, a table: one row for each image, in the file's order, without incomplete rows.

    Args:
        file: the table's name in `folder`.
        missing, missing_category, separator, decimal, thousands, units, encoding, sheet, limits, left_out: as
            `table.read`.

    Returns:
        `image` (path relative to `folder`, "/" between its parts), then the attributes as they are written: what the
        label's and the groups' values mean is said where the table is encoded.

    Raises:
        InputError: as `table.read`; or no column `image`, an image named twice, or one outside `folder`.
    """
    rows = table.read(
        folder,
        files=[file],
        checksums=checksums,
        missing=missing,
        missing_category=missing_category,
        separator=separator,
        decimal=decimal,
        thousands=thousands,
        units=units,
        encoding=encoding,
        sheet=sheet,
        limits=limits,
        left_out=left_out,
    )
    path = folder / file
    if IMAGE not in rows.columns:
        raise InputError(
            f"{path}: no column {IMAGE!r}{suggest(IMAGE, rows.columns)}, expected one with the images' paths"
        )
    names = rows[IMAGE].astype(str)
    require_inside(folder, names, source=str(path))
    if (twice := names.map(normpath).duplicated()).any():
        raise InputError(f"{path}: names {names[twice].iloc[0]!r} twice, expected one row for each image")
    return rows.assign(**{IMAGE: names})[[IMAGE, *rows.columns.drop(IMAGE)]]
