"""Splits of images as they are: parts in which class and group are independent; the other rows keep their skew.

Nahon et al., "Finding Fantastic Weights" (FFW, ECCV 2024), for CelebA: a network is pretrained on the natural images,
its repair is fitted, chosen and reported on images of which every cell (class, group) has as many.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int, UInt8

from counterpoise.data.splitting.shares import SPLITS, require_seeds
from counterpoise.errors import InputError

_STREAM = zlib.crc32(b"balanced")  # keeps these draws apart from everything else that is drawn with the same seed
_EXACT = 1e-9


def draw_balanced_splits(
    y: Int[np.ndarray, "N"],
    s: Int[np.ndarray, "N"],
    *,
    per_cell: Mapping[str, float | int],
    classes: Sequence[str],
    groups: Sequence[str],
    seeds: Sequence[int],
) -> UInt8[np.ndarray, "R N"]:
    """Assign every row to a part, once per seed: as many of every cell to each part but `pretrain`, which has the rest.

    A cell's draw depends on its seed and its rows only.

    Args:
        per_cell: rows of each cell in `train`, `validation` and `test`: a whole number, or a number below one for a
            share of the smallest cell, rounded down.

    Returns:
        Codes of `SPLITS`.

    Raises:
        InputError: no seed, a negative or a repeated one; a part that is unknown, missing or empty; or a cell that
            would leave no row to pretrain.
    """
    require_seeds(seeds)
    if sorted(per_cell) != sorted(SPLITS[1:]):
        raise InputError(f"split.per_cell: found {', '.join(per_cell)}, expected {', '.join(SPLITS[1:])}")
    cell = y * len(groups) + s
    rows = np.bincount(cell, minlength=len(classes) * len(groups))
    smallest = int(rows.argmin())
    named = f"class {classes[smallest // len(groups)]!r} and group {groups[smallest % len(groups)]!r}"
    counts = []
    for part in SPLITS[1:]:
        wanted = per_cell[part]
        count = int(wanted) if wanted >= 1 else int(np.floor(wanted * rows[smallest] + _EXACT))
        if count < 1:
            raise InputError(
                f"split.per_cell: {part} is {wanted:g}, of the {rows[smallest]:,} rows of {named} that is {count}, "
                "expected at least one"
            )
        counts.append(count)
    if sum(counts) >= rows[smallest]:
        raise InputError(
            f"split.per_cell: {' + '.join(map(str, counts))} rows of each cell, expected less than the "
            f"{rows[smallest]:,} rows of {named}, so that one is left to pretrain"
        )
    code = np.repeat(np.arange(1, len(SPLITS), dtype=np.uint8), counts)
    splits = np.zeros((len(seeds), len(y)), dtype=np.uint8)
    for replicate, seed in zip(splits, seeds, strict=True):
        for index in range(len(rows)):
            order = np.random.default_rng([seed, _STREAM, index]).permutation(np.flatnonzero(cell == index))
            replicate[order[: len(code)]] = code
    return splits
