"""Which rows pretrain, train, validate and test: one stratified draw per replicate.

Every replicate has the same part sizes and the same number of rows of each (y, s) cell in each part; only which rows
they are differs. That keeps replicates stackable (axis R) and the noise of a gap free of changing cell counts.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int, UInt8

from counterpoise.errors import InputError, suggest

#: The parts; a row's code in `splits` is its part's position here.
SPLITS = ("pretrain", "train", "validation", "test")
#: The code of a row that a replicate does not use (see `draw_splits`, `domains`), and what reports call it.
UNUSED = len(SPLITS)
UNUSED_NAME = "unused"

Shares = Mapping[str, float | int]

_FRACTIONS = ("pretrain", "task")
_STREAM = zlib.crc32(b"split")  # keeps these draws apart from everything else that is drawn with the same seed
_SUM_TOLERANCE = 1e-6


def sizes(n: int, fractions: Shares, task: Shares) -> dict[str, int]:
    """Divide `n` rows into the four parts of `SPLITS`, by largest remainders.

    Args:
        fractions: shares of `pretrain` and of the new `task`; they sum to one. A pretrain share of exactly 0 asks for
            no pretrain part (a head that comes with its backbone needs none).
        task: `train`, `validation` and `test` in any unit: WIN's Table 1 gives 12,287 : 5,000 : 10,315 for Adult.

    Returns:
        Rows per part; they sum to `n`.

    Raises:
        InputError: a key is missing or unknown, a value is negative or not finite, `fractions` do not sum to one, or a
            part would be empty.
    """
    _require_shares("fractions", fractions, _FRACTIONS)
    _require_shares("task", task, SPLITS[1:])
    total = sum(fractions.values())
    if abs(total - 1) > _SUM_TOLERANCE:
        listed = " + ".join(f"{name} {share:g}" for name, share in fractions.items())
        raise InputError(f"fractions: {listed} sum to {total:g}, expected 1")
    pretrain, new_task = _largest_remainder(n, [fractions[name] for name in _FRACTIONS])
    parts = dict(
        zip(SPLITS, [pretrain, *_largest_remainder(new_task, [task[name] for name in SPLITS[1:]])], strict=True)
    )
    for name, rows in parts.items():
        if rows == 0 and not (name == "pretrain" and fractions["pretrain"] == 0):
            raise InputError(
                f"{name}: this part of {n:,} rows would be empty, expected at least one row "
                "(more data, or a larger share)"
            )
    return parts


def sizes_used(parts: Mapping[str, int], max_rows: int | None) -> dict[str, int]:
    """Return how many rows of each part of `sizes` are used: at most `max_rows` of pretrain and train together, and of
    validation; all of test. Pretrain and train are cut in proportion."""
    if max_rows is None:
        return dict(parts)
    pretrain, train = parts["pretrain"], parts["train"]
    if pretrain + train > max_rows:
        pretrain, train = _largest_remainder(max_rows, [pretrain, train])
    return dict(parts) | {"pretrain": pretrain, "train": train, "validation": min(parts["validation"], max_rows)}


def draw_splits(
    y: Int[np.ndarray, "N"],
    s: Int[np.ndarray, "N"],
    *,
    fractions: Shares,
    task: Shares,
    seeds: Sequence[int],
    max_rows: int | None = None,
) -> UInt8[np.ndarray, "R N"]:
    """Assign every row to one part, once per seed, stratified by (y, s).

    The number of rows of a cell in a part is its proportional share rounded down or up, such that the parts have
    exactly the sizes of `sizes`. A replicate depends on its own seed only: adding a seed changes no other.

    Args:
        fractions, task: see `sizes`.
        max_rows: most rows that are learnt from, and most that are validated on (`sizes_used`). What a part has beyond
            them is `UNUSED`: the other rows are those that the part has without this bound, in proportion to its cells.

    Returns:
        Codes of `SPLITS`, or `UNUSED`.

    Raises:
        InputError: no seed, a negative or a repeated one, or what `sizes` raises.

    Warns:
        UserWarning: a cell has too few rows to reach every part; a metric of that cell will be null somewhere.
    """
    require_seeds(seeds)
    parts = sizes(len(y), fractions, task)
    labels, cell, rows_of_cell = np.unique(np.stack([y, s]), axis=1, return_inverse=True, return_counts=True)
    rows_by_part = _round_to_margins(rows_of_cell, np.array(list(parts.values())))
    _warn_about_small_cells(labels, rows_by_part, parts)

    members = [np.flatnonzero(cell == index) for index in range(len(rows_of_cell))]
    used = _rows_used(rows_by_part, list(sizes_used(parts, max_rows).values()))
    codes = [_codes(counts, within) for counts, within in zip(rows_by_part, used, strict=True)]
    splits = np.empty((len(seeds), len(y)), dtype=np.uint8)
    for replicate, seed in zip(splits, seeds, strict=True):
        generator = np.random.default_rng([seed, _STREAM])
        for rows, code in zip(members, codes, strict=True):
            replicate[rows] = generator.permutation(code)
    return splits


def _rows_used(rows_by_part: Int[np.ndarray, "C P"], sizes: Sequence[int]) -> Int[np.ndarray, "C P"]:
    """Return how many rows of each cell are used in parts that use so many: in each part in proportion to its cells."""
    used = [
        counts if counts.sum() == size else _round_to_margins(counts, np.array([size, counts.sum() - size]))[:, 0]
        for counts, size in zip(rows_by_part.T, sizes, strict=True)
    ]
    return np.stack(used, axis=1)


def _codes(rows: Int[np.ndarray, "P"], used: Int[np.ndarray, "P"]) -> UInt8[np.ndarray, "n"]:
    """Return the codes of a cell's rows, part by part."""
    codes = np.repeat(np.arange(len(SPLITS), dtype=np.uint8), rows)
    for end, count, within in zip(rows.cumsum(), rows, used, strict=True):
        codes[end - count + within : end] = UNUSED
    return codes


def _round_to_margins(rows: Int[np.ndarray, "C"], columns: Int[np.ndarray, "P"]) -> Int[np.ndarray, "C P"]:
    """Round rows[c] · columns[p] / total down or up so that both margins are exact.

    The roundings up form a 0/1 table with known margins: Gale and Ryser's greedy construction, which gives each row's
    ones to the columns that still need most, always finds one. Ties go to the largest remainder. A share that is a
    whole number may also gain one: no entry is further than one from its share.
    """
    shares, remainders = np.divmod(np.outer(rows, columns), rows.sum())
    needed = columns - shares.sum(axis=0)
    for share, remainder, missing in zip(shares, remainders, rows - shares.sum(axis=1), strict=True):
        rounded_up = np.lexsort((-remainder, -needed))[:missing]
        share[rounded_up] += 1
        needed[rounded_up] -= 1
    return shares


def _largest_remainder(n: int, shares: Sequence[float | int]) -> list[int]:
    quotas = n * np.asarray(shares, dtype=float) / sum(shares)
    counts = np.floor(quotas).astype(int)
    counts[np.argsort(counts - quotas, kind="stable")[: n - counts.sum()]] += 1
    return [int(count) for count in counts]


def _require_shares(what: str, shares: Shares, expected: Sequence[str]) -> None:
    for name in shares:
        if name not in expected:
            raise InputError(f"{what}: {name!r} is unknown{suggest(name, expected)}, expected the name of a part")
    for name in expected:
        if name not in shares:
            raise InputError(f"{what}: {name!r} is missing, expected {', '.join(expected)}")
        if not 0 <= shares[name] < np.inf:
            raise InputError(f"{what}: {name} is {shares[name]}, expected a number that is not negative")
    if sum(shares.values()) == 0:
        raise InputError(f"{what}: {', '.join(expected)} are all 0, expected a positive one")


def require_seeds(seeds: Sequence[int]) -> None:
    """Raise InputError unless there are seeds, distinct and none of them negative."""
    if not seeds:
        raise InputError("seeds: found none, expected at least one")
    repeated = sorted({seed for seed in seeds if list(seeds).count(seed) > 1})
    if repeated:
        raise InputError(f"seeds: {repeated[0]} occurs more than once, expected distinct seeds")
    if min(seeds) < 0:
        raise InputError(f"seeds: found {min(seeds)}, expected no negative seed")


def _warn_about_small_cells(
    labels: Int[np.ndarray, "2 C"], rows_by_part: Int[np.ndarray, "C P"], parts: Mapping[str, int]
) -> None:
    for (y, s), counts in zip(labels.T, rows_by_part, strict=True):
        unreached = [name for name, count in zip(parts, counts, strict=True) if count == 0 and parts[name] > 0]
        if unreached:
            warnings.warn(
                f"only {counts.sum()} rows have y={y} and s={s}, too few to reach every part: none in "
                f"{', '.join(unreached)}",
                UserWarning,
                stacklevel=3,
            )
