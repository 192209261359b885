"""Rows, or files of images, that occur more than once, within a part of the data and across parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int, Int64, UInt64

from counterpoise.data.files import require_inside, sha256
from counterpoise.errors import InputError

_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(32))
"""An odd number, 2^64 over the golden ratio, and half the bits: multiplied and shifted, any two columns are mixed."""


def row_ids(features: pd.DataFrame) -> Int64[np.ndarray, "N"]:
    """Return a number for each row, the same for rows that agree in every column; two missing values agree.

    Only rows whose digest another row has are compared value by value.
    """
    digest = np.zeros(len(features), dtype=np.uint64)
    factor, half = _MIX
    for name in features:
        digest = (digest + _bits(features[name])) * factor
        digest ^= digest >> half
    ids = pd.factorize(digest)[0].astype(np.int64)
    again = np.bincount(ids)[ids] > 1 if len(ids) else np.zeros(0, dtype=bool)
    ids[again] = len(ids) + _exact_ids(features[again])
    return pd.factorize(ids)[0].astype(np.int64)


def _bits(column: pd.Series) -> UInt64[np.ndarray, "N"]:
    """Return 64 bits for each value, the same for values that agree."""
    if not isinstance(column.dtype, np.dtype) or column.dtype.kind not in "iufb":
        return pd.factorize(column, use_na_sentinel=False)[0].astype(np.uint64)
    values = column.to_numpy()
    if values.dtype.kind != "f":
        return values.astype(np.uint64)
    values = values.astype(np.float64) + 0.0  # which makes -0 to 0
    values[np.isnan(values)] = np.nan
    return values.view(np.uint64)


def _exact_ids(features: pd.DataFrame) -> Int64[np.ndarray, "N"]:
    ids = np.zeros(len(features), dtype=np.int64)
    for name in features:
        codes, values = pd.factorize(features[name], use_na_sentinel=False)
        ids = pd.factorize(ids * len(values) + codes)[0]
    return ids.astype(np.int64)


def duplicates(ids: Int[np.ndarray, "N"], label: Int[np.ndarray, "N"], part: pd.Series) -> pd.DataFrame:
    """Return, for every two parts of the data, how many rows of the one occur in the other.

    Args:
        ids: the same number for rows with the same features (`row_ids`).
        label: class of each row, from 0.
        part: name of each row's part, categorical if the order matters.

    Returns:
        `part, other, rows, same_label, other_label`: of the `rows` in `part`, how many have a row of the same features
        in `other` with the same label, and how many have one with another label; both may hold of one row. Within a
        part, a row is not compared with itself.

    Raises:
        InputError: the arguments have different lengths.
    """
    parts = part.reset_index(drop=True).astype("category")
    if not len(ids) == len(label) == len(parts):
        raise InputError(f"audit: {len(ids):,} rows have {len(label):,} labels and {len(parts):,} parts, expected one")
    codes, names = parts.cat.codes.to_numpy(dtype=np.int64), parts.cat.categories
    compact = np.unique(ids, return_inverse=True)[1]
    repeated = np.bincount(compact)[compact] > 1
    group = np.unique(compact[repeated], return_inverse=True)[1]
    y, p = label[repeated].astype(np.int64), codes[repeated]
    counts = np.zeros((int(group.max(initial=-1)) + 1, len(names), int(label.max(initial=0)) + 1), dtype=np.int64)
    np.add.at(counts, (group, p, y), 1)
    records = []
    for own, name in enumerate(names):
        rows = p == own
        for other, other_name in enumerate(names):
            near = counts[group[rows], other]
            same = near[np.arange(len(near)), y[rows]]
            different = near.sum(axis=1) - same
            alike = same - (own == other) > 0
            records.append((name, other_name, int((codes == own).sum()), int(alike.sum()), int((different > 0).sum())))
    return pd.DataFrame(records, columns=["part", "other", "rows", "same_label", "other_label"])


def files_of(folder: Path, names: Sequence[str]) -> tuple[Int64[np.ndarray, "N"], Int64[np.ndarray, "N"]] | None:
    """Return for each image a number, the same for files of the same bytes, and the size of its file in bytes.

    Only files of the same size are read: their SHA-256 decides.

    Args:
        folder: where the images are.
        names: paths relative to it.

    Returns:
        None if the images are not files of their own, but lie in larger ones.

    Raises:
        InputError: a name leads out of the folder.
    """
    require_inside(folder, set(names))
    paths = {name: folder / name for name in dict.fromkeys(names)}
    if not all(path.is_file() for path in paths.values()):
        return None
    size = {name: path.stat().st_size for name, path in paths.items()}
    sizes = pd.Series(size)
    twice = set(sizes[sizes.duplicated(keep=False)].index)
    keys = {name: sha256(path) if name in twice else f"only one of its size: {name}" for name, path in paths.items()}
    ids = pd.factorize(pd.Series([keys[name] for name in names]))[0].astype(np.int64)
    return ids, np.array([size[name] for name in names], dtype=np.int64)
