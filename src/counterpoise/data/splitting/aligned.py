"""Splits of images in which a bias predicts the class in the pretraining part, and in no other part.

Nahon et al., "Finding Fantastic Weights" (FFW, ECCV 2024), and Bahng et al. (2020) for the counts. In pretraining a
share ρ of each class is aligned with the bias and the rest is spread evenly over its other values. The parts on which a
repair is fitted (`train`, the gates), chosen (`validation`) and reported (`test`) are unbiased: every value is as
frequent in each class. No image is in two parts, and none is used twice.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8

from counterpoise.data.splitting.shares import SPLITS, UNUSED, require_seeds
from counterpoise.errors import InputError

_STREAM = zlib.crc32(b"aligned")  # keeps these draws apart from everything else that is drawn with the same seed
_PRETRAIN, _GATES, _CHOOSE, _REPORT = range(len(SPLITS))
_EXACT = 1e-9  # ρ · n is rounded down, not what a decimal lacks to it in binary


class Alignment(NamedTuple):
    """How the images of each class are shared out.

    Attributes:
        rho: for each bias, the share of a class's pretraining images that is aligned with it, at least 0 and below 1.
        gates: images of the part `train`, in equal parts from the classes (up to one).
        validation: images of the part `validation`, likewise.
        images_per_class: how many pretrain; None takes all that are left.
        test_per_class: how many test; None takes all.
    """

    rho: Sequence[float]
    gates: int
    validation: int
    images_per_class: int | None = None
    test_per_class: int | None = None


class _Offers(NamedTuple):
    """One entry per image: its rows by rendering (bit b: conflicting with bias b), its other values, class and part."""

    rows: Int[np.ndarray, "M renderings"]
    other: Int[np.ndarray, "M B"]
    label: Int[np.ndarray, "M"]
    held_out: Bool[np.ndarray, "M"]


def draw_aligned_splits(
    y: Int[np.ndarray, "N"],
    biases: Int[np.ndarray, "N B"],
    images: Shaped[np.ndarray, "N"],
    is_test: Bool[np.ndarray, "N"],
    *,
    alignment: Alignment,
    classes: Sequence[str],
    values: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
) -> UInt8[np.ndarray, "R N"]:
    """Assign each image, in one of its renderings, to at most one part, once per seed.

    Of n images of a class and part, ⌊nρ⌋ are aligned with a bias of share ρ; the others have its other values equally
    often, and what does not divide evenly goes one by one to the values that follow the class's own. Unbiased parts are
    the same with ρ = 1/k for k values. These counts are exact for each bias, hence equal in all replicates. Which
    images conflict is drawn for each bias on its own: of n images, of which c₁ conflict with one bias and c₂ with
    another, about c₁c₂/n conflict with both.

    Gates and validation are drawn before pretraining, from which they are hence the same for every ρ. A class's draw
    depends on its seed and its images only, not on their order here.

    Args:
        biases: the value of each bias; equal to `y` if the row is aligned.
        images: what identifies the image; it is there 2^B times, aligned or conflicting with each bias, with one
            conflicting value of each (see `counterpoise.data.biases`).
        is_test: whether the image is one of the official test images.
        values: for each bias its column and its values, for the sentences.

    Returns:
        Codes of `SPLITS`, or `UNUSED`.

    Raises:
        InputError: no seed, a negative or a repeated one; a share outside [0, 1); a bias with one value; images that
            are not offered as they should be; or too few of them for a part.
    """
    require_seeds(seeds)
    for (column, groups), share in zip(values.items(), alignment.rho, strict=True):
        if not 0 <= share < 1:
            raise InputError(f"split.rho: {column!r} has {share}, expected at least 0 and less than 1")
        if len(groups) < 2:
            raise InputError(f"split: the bias {column!r} has the one value {groups[0]!r}, expected at least two")
    offers = _offers(y, biases, images, is_test)
    sizes = [_sizes(code, name, offers, alignment, len(classes)) for code, name in enumerate(classes)]
    even = [1 / len(groups) for groups in values.values()]
    shares = {_PRETRAIN: alignment.rho, _GATES: even, _CHOOSE: even, _REPORT: even}

    splits = np.full((len(seeds), len(y)), UNUSED, dtype=np.uint8)
    for code, parts in itertools.product(range(len(classes)), ((_GATES, _CHOOSE, _PRETRAIN), (_REPORT,))):
        members = np.flatnonzero((offers.label == code) & (offers.held_out == (_REPORT in parts)))
        for replicate, seed in zip(splits, seeds, strict=True):
            remaining = np.random.default_rng([seed, _STREAM, code, *parts]).permutation(members)
            for part in parts:
                generator = np.random.default_rng([seed, _STREAM, code, part])
                n = sizes[code][part]
                needed = [
                    _evenly(n - int(np.floor(share * n + _EXACT)), code, len(groups))
                    for share, groups in zip(shares[part], values.values(), strict=True)
                ]
                chosen = _choose(offers.other[remaining], needed, n, generator)
                if chosen is None:
                    raise InputError(_too_few(part, n, classes[code], len(remaining)))
                taken, remaining = remaining[chosen], remaining[~chosen]
                conflicting = _conflict(offers.other[taken], needed, generator)
                replicate[offers.rows[taken, (conflicting << np.arange(len(needed))).sum(axis=1)]] = part
    return splits


def _choose(
    other: Int[np.ndarray, "n B"], needed: Sequence[Int[np.ndarray, "k"]], size: int, generator: np.random.Generator
) -> Bool[np.ndarray, "n"] | None:
    """Choose `size` images that can be shown in each other value of each bias as often as needed; None if none do.

    First those that help with most biases, then such that what is left has all values equally often. Images that are
    offered in the same values come in their order.
    """
    values, cell = np.unique(other, axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    remaining = np.bincount(cell, minlength=len(values))
    # Of every cell its share of what each bias needs, rounded down: never too many of a value, and few are missing.
    stock = [np.bincount(values[:, bias], remaining, len(counts)) for bias, counts in enumerate(needed)]
    kinds = list(zip(values.T, needed, stock, strict=True))
    shares = [remaining * (counts / np.maximum(there, 1))[value] for value, counts, there in kinds]
    taken = np.minimum(np.min(shares, axis=0) + _EXACT, remaining).astype(np.int64)
    missing = [counts - np.bincount(value, taken, len(counts)).astype(np.int64) for value, counts, _ in kinds]
    remaining -= taken
    lot = generator.random(len(values))
    while any(counts.any() for counts in missing):
        lacking = np.stack([counts[values[:, bias]] for bias, counts in enumerate(missing)])
        helps = (lacking > 0).sum(axis=0) * (remaining > 0)
        best = np.lexsort((lot, remaining, lacking.sum(axis=0), helps))[-1] if len(values) else -1
        if best < 0 or not helps[best] or taken.sum() == size:
            return None
        remaining[best] -= 1
        taken[best] += 1
        for counts, value in zip(missing, values[best], strict=True):
            counts[value] = max(counts[value] - 1, 0)
    rank = _rank(cell)
    chosen = rank < taken[cell]
    spare = np.flatnonzero(~chosen)
    fullest_first = spare[np.argsort((rank - taken[cell] - remaining[cell])[spare], kind="stable")]
    chosen[fullest_first[: size - int(taken.sum())]] = True
    return chosen


def _conflict(
    other: Int[np.ndarray, "n B"], needed: Sequence[Int[np.ndarray, "k"]], generator: np.random.Generator
) -> Bool[np.ndarray, "n B"]:
    """Draw for each bias, on its own, which images are shown in their other value: as many of each as needed."""
    conflicting = np.zeros(other.shape, dtype=bool)
    for bias, counts in enumerate(needed):
        order = generator.permutation(len(other))
        value = other[order, bias]
        conflicting[order, bias] = _rank(value) < counts[value]
    return conflicting


def _rank(kind: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Number the items of each kind in their order."""
    by_kind = np.argsort(kind, kind="stable")
    place = np.empty(len(kind), dtype=np.int64)
    place[by_kind] = np.arange(len(kind))
    return place - np.searchsorted(kind[by_kind], kind)


def _offers(
    y: Int[np.ndarray, "N"],
    biases: Int[np.ndarray, "N B"],
    images: Shaped[np.ndarray, "N"],
    is_test: Bool[np.ndarray, "N"],
) -> _Offers:
    count = biases.shape[1]
    rendering = ((biases != y[:, None]) << np.arange(count)).sum(axis=1)
    order = np.lexsort((rendering, images))
    renderings = 1 << count
    is_complete = len(y) % renderings == 0
    rows = order.reshape(-1, renderings) if is_complete else order[:0].reshape(0, renderings)
    # The last rendering conflicts with every bias; the others show its values, or the class's own.
    other = biases[rows[:, -1]]
    expected = np.where(np.arange(renderings)[:, None] >> np.arange(count) & 1, other[:, None], y[rows[:, :1], None])
    alike = (
        is_complete
        and all((column[rows] == column[rows[:, :1]]).all() for column in (images, y, is_test))
        and (rendering[rows] == np.arange(renderings)).all()
        and np.array_equal(biases[rows], expected)
        and len(np.unique(images[rows[:, 0]])) == len(rows)
    )
    if not alike:
        raise InputError(
            f"samples: {len(y):,} rows of {len(np.unique(images)):,} images, expected each image {renderings} times, "
            "aligned or conflicting with each bias, with the same class and official part"
        )
    return _Offers(rows, other, y[rows[:, 0]], is_test[rows[:, 0]])


def _sizes(code: int, name: str, offers: _Offers, alignment: Alignment, classes: int) -> dict[int, int]:
    """Return how many images of a class each part has."""
    there = int(((offers.label == code) & ~offers.held_out).sum())
    tests = int(((offers.label == code) & offers.held_out).sum())
    gates, chosen = (total // classes + (code < total % classes) for total in (alignment.gates, alignment.validation))
    wanted = 1 if alignment.images_per_class is None else alignment.images_per_class
    remaining = there - gates - chosen
    if remaining < wanted:
        raise InputError(
            f"split: class {name!r} has {there:,} training images, expected at least {gates + chosen + wanted:,}: "
            f"{gates:,} for the gates (gates), {chosen:,} to choose on (validation) and {wanted:,} to pretrain "
            "(images_per_class)"
        )
    tested = tests if alignment.test_per_class is None else alignment.test_per_class
    if not 0 < tested <= tests:
        raise InputError(
            f"split.test_per_class: class {name!r} has {tests:,} test images, expected at least {max(tested, 1):,}"
        )
    pretrained = remaining if alignment.images_per_class is None else wanted
    return {_PRETRAIN: pretrained, _GATES: gates, _CHOOSE: chosen, _REPORT: tested}


def _evenly(total: int, group: int, values: int) -> Int[np.ndarray, "k"]:
    """Spread `total` over the values other than `own`; those that follow it get what does not divide."""
    each, more = divmod(total, values - 1)
    counts = np.full(values, each)
    counts[(group + 1 + np.arange(more)) % values] += 1
    counts[group] = 0
    return counts


def _too_few(part: int, n: int, name: str, remaining: int) -> str:
    return (
        f"split: {remaining:,} images of class {name!r} are left for {SPLITS[part]!r}, too few to show {n:,} of them "
        "in all values of the bias as often as they should be, expected more images, a higher share that is aligned "
        "(rho), or fewer in gates, validation, images_per_class or test_per_class"
    )
