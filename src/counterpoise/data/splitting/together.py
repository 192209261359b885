"""Rows that belong together, such as the visits of one patient, are in one part: whoever is tested on has not taught.

As `shares` does, replicates have parts of the same sizes. How many rows a unit has decides where parts can end, so each
is smaller than its share by up to the rows of the largest unit, and those that remain are `UNUSED`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int, Int64, Shaped, UInt8

from counterpoise.data.splitting.shares import UNUSED, Shares, require_seeds, sizes, sizes_used
from counterpoise.errors import InputError, shown

_STREAM = zlib.crc32(b"units")  # keeps these draws apart from everything else that is drawn with the same seed


def unit_codes(column: pd.Series) -> Int64[np.ndarray, "N"]:
    """Number the values of a column, in the order in which they occur; each missing value is a unit of its own."""
    codes, values = pd.factorize(column)
    missing = codes < 0
    codes[missing] = len(values) + np.arange(missing.sum())
    return codes.astype(np.int64)


def draw_units(
    y: Int[np.ndarray, "N"],
    s: Int[np.ndarray, "N"],
    unit: Int[np.ndarray, "N"],
    *,
    column: str,
    fractions: Shares,
    task: Shares,
    seeds: Sequence[int],
    max_rows: int | None = None,
) -> UInt8[np.ndarray, "R N"]:
    """Assign every unit to one part, once per seed; units are stratified by their group and most frequent class.

    Args:
        unit: number of the unit of each row, 0 … U − 1.
        column: what the units are values of, in sentences.
        fractions, task: see `shares.sizes`.
        seeds: one per replicate, which depends on its own alone.
        max_rows: see `shares.draw_splits`.

    Returns:
        Codes of `SPLITS`, or `UNUSED` of rows beyond a part's size.

    Raises:
        InputError: what `shares.sizes` and `require_seeds` raise, or a part is smaller than the largest unit.
    """
    require_seeds(seeds)
    parts = sizes(len(y), fractions, task)
    rows_of_unit = np.bincount(unit)
    largest = int(rows_of_unit.max())
    used = sizes_used(parts, max_rows)
    targets = [min(used[part], rows - largest + 1) if rows else 0 for part, rows in parts.items()]
    smallest = min((part for part in parts if parts[part]), key=parts.__getitem__)
    if largest > parts[smallest]:
        raise InputError(
            f"split.together: {largest:,} rows have the same value of {shown(column)}, expected at most the "
            f"{parts[smallest]:,} rows of the part {smallest!r} (or another column)"
        )
    strata = _strata(y, s, unit)
    splits = np.full((len(seeds), len(y)), UNUSED, dtype=np.uint8)
    for replicate, seed in zip(splits, seeds, strict=True):
        generator = np.random.default_rng([seed, _STREAM])
        order = _order(strata, generator)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        rows = np.lexsort((generator.random(len(unit)), place[unit]))
        ends = rows_of_unit[order].cumsum()
        begin = 0
        for code, target in enumerate(targets):
            if target:
                replicate[rows[begin : begin + target]] = code
                begin = int(ends[np.searchsorted(ends, begin + target)])  # the next part begins with a unit of its own
    return splits


def _strata(y: Int[np.ndarray, "N"], s: Int[np.ndarray, "N"], unit: Int[np.ndarray, "N"]) -> Int64[np.ndarray, "U"]:
    """Return a number for each unit: equal for units of the same group and most frequent class."""
    cells, cell = np.unique(np.stack([y, s]), axis=1, return_inverse=True)
    counts = np.zeros((unit.max() + 1, cells.shape[1]), dtype=np.int64)
    np.add.at(counts, (unit, cell), 1)
    return counts.argmax(axis=1)


def _order(strata: Shaped[np.ndarray, "U"], generator: np.random.Generator) -> Int64[np.ndarray, "U"]:
    """Put units in a random order in any stretch of which each stratum has its share, up to one."""
    shuffled = generator.permutation(len(strata))
    position = np.empty(len(strata))
    for stratum in np.unique(strata):
        members = shuffled[strata[shuffled] == stratum]
        position[members] = (np.arange(len(members)) + generator.random()) / len(members)
    return position.argsort(kind="stable")
