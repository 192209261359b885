"""Splits of images in which a bias gives the class away while a network is pretrained, and nowhere else.

Nahon et al., "Finding Fantastic Weights" (FFW, ECCV 2024), and Bahng et al. (2020) for the counts. In pretraining a
share ρ of each class is aligned with the bias and the rest is spread evenly over its other values. The parts on which a
repair is fitted (`train`, the gates), chosen (`validation`) and reported (`test`) are unbiased: every value is as
frequent in each class. No image is in two parts, and none is used twice.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8

from counterpoise.data.splits import SPLITS, UNUSED, require_seeds, round_to_margins
from counterpoise.errors import InputError

_STREAM = zlib.crc32(b"aligned")  # keeps these draws apart from everything else that is drawn with the same seed
_TRAINING, _TEST = 0, 1  # what is drawn: each has a generator of its own
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


class _Wanted(NamedTuple):
    """So many images in one rendering; `values`: of each bias the other value that is shown, None if aligned."""

    values: tuple[int | None, ...]
    number: int


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
    the same with ρ = 1/k for k values. With two biases both counts are exact; of the c₁ and c₂ images that conflict
    with one, c₁c₂/n (rounded) conflict with both, as if the two were drawn independently, and these are spread evenly
    over the pairs of values. All replicates have these counts; the images differ.

    Gates and validation are drawn before pretraining, from which they are hence the same for every ρ. A class's draw
    depends on its seed and its images only, not on their order here.

    Args:
        y: class of each row.
        biases: the value of each bias; equal to `y` if the row is aligned.
        images: what identifies the image; it is there 2^B times, aligned or conflicting with each bias, with one
            conflicting value of each (see `counterpoise.data.biases`).
        is_test: whether the image is one of the official test images.
        alignment: how many go where.
        classes: their names, for the sentences.
        values: for each bias its column and its values, for the sentences.
        seeds: one per replicate.

    Returns:
        Codes of `SPLITS`, or `UNUSED`.

    Raises:
        InputError: no seed, a negative or a repeated one; a share outside [0, 1); a bias with one value; images that
            are not offered as they should be; or too few of them for a part.
    """
    require_seeds(seeds)
    for (column, known), share in zip(values.items(), alignment.rho, strict=True):
        if not 0 <= share < 1:
            raise InputError(f"split.rho: {column!r} has {share}, expected at least 0 and less than 1")
        if len(known) < 2:
            raise InputError(f"split: the bias {column!r} has the one value {known[0]!r}, expected at least two")
    if biases.shape[1] not in (1, 2):
        raise InputError(f"split: found {biases.shape[1]} columns of biases, expected one or two")
    offers = _offers(y, biases, images, is_test)
    sizes = [_sizes(code, name, offers, alignment, len(classes)) for code, name in enumerate(classes)]
    even = [1 / len(known) for known in values.values()]
    shares = {_PRETRAIN: alignment.rho, _GATES: even, _CHOOSE: even, _REPORT: even}

    splits = np.full((len(seeds), len(y)), UNUSED, dtype=np.uint8)
    for code, drawn in itertools.product(range(len(classes)), (_TRAINING, _TEST)):
        members = np.flatnonzero((offers.label == code) & (offers.held_out == (drawn == _TEST)))
        parts = (_REPORT,) if drawn == _TEST else (_GATES, _CHOOSE, _PRETRAIN)
        plans = {part: _plan(sizes[code][part], code, shares[part], list(map(len, values.values()))) for part in parts}
        for replicate, seed in zip(splits, seeds, strict=True):
            order = np.random.default_rng([seed, _STREAM, code, drawn]).permutation(members)
            stock = _Stock(order, offers.other)
            for part, wanted in ((each, wanted) for each in parts for wanted in plans[each]):
                taken = stock.take(wanted)
                if taken is None:
                    raise InputError(_too_few(part, wanted, classes[code], values))
                rendering = sum(1 << bias for bias, value in enumerate(wanted.values) if value is not None)
                replicate[offers.rows[taken, rendering]] = part
    return splits


class _Stock:
    """The images of one class that no part has yet, in the order that was drawn."""

    def __init__(self, order: Int[np.ndarray, "n"], other: Int[np.ndarray, "M B"]) -> None:
        self._images = order
        self._other = other[order]
        # Which images are offered in the same values: to be taken evenly where any of them would do.
        self._cell = np.unique(self._other, axis=0, return_inverse=True)[1].reshape(-1)

    def take(self, wanted: _Wanted) -> Int[np.ndarray, "count"] | None:
        """Take images that can be shown in these values, first those of which most are left; None if too few are."""
        fits = np.ones(len(self._images), dtype=bool)
        for bias, value in enumerate(wanted.values):
            if value is not None:
                fits &= self._other[:, bias] == value
        candidates = np.flatnonzero(fits)
        if len(candidates) < wanted.number:
            return None
        if None in wanted.values:
            candidates = candidates[_fullest_first(self._cell[candidates])]
        taken = self._images[candidates[: wanted.number]]
        kept = np.ones(len(self._images), dtype=bool)
        kept[candidates[: wanted.number]] = False
        self._images, self._other, self._cell = self._images[kept], self._other[kept], self._cell[kept]
        return taken


def _fullest_first(cells: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Order items so that any first few leave the cells as even as can be."""
    by_cell = np.argsort(cells, kind="stable")
    first = np.searchsorted(cells[by_cell], cells)
    place = np.empty(len(cells), dtype=np.int64)
    place[by_cell] = np.arange(len(cells))
    left = np.bincount(cells)[cells] - (place - first)
    return np.argsort(-left, kind="stable")


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
    whole = len(y) % renderings == 0
    rows = order.reshape(-1, renderings) if whole else order[:0].reshape(0, renderings)
    # The last rendering conflicts with every bias; the others show its values, or the class's own.
    other = biases[rows[:, -1]]
    expected = np.where(np.arange(renderings)[:, None] >> np.arange(count) & 1, other[:, None], y[rows[:, :1], None])
    alike = (
        whole
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
    left = there - gates - chosen
    if left < wanted:
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
    pretrained = left if alignment.images_per_class is None else wanted
    return {_PRETRAIN: pretrained, _GATES: gates, _CHOOSE: chosen, _REPORT: tested}


def _plan(n: int, own: int, shares: Sequence[float], values: Sequence[int]) -> list[_Wanted]:
    """Divide n images of class `own` among the renderings; what conflicts with most biases comes first."""
    conflicting = [n - int(np.floor(share * n + _EXACT)) for share in shares]
    single = [_evenly(total, own, known) for total, known in zip(conflicting, values, strict=True)]
    if len(shares) == 1:
        return list(_nonzero({(value,): count for value, count in enumerate(single[0])}, n))
    both = 0 if n == 0 else int(np.floor(conflicting[0] * conflicting[1] / n + 0.5))
    shared = [_evenly(both, own, known) for known in values]
    pairs = round_to_margins(*shared) if both else np.zeros(values, dtype=np.int64)
    wanted: dict[tuple[int | None, ...], int] = dict(np.ndenumerate(pairs))
    wanted |= {(value, None): count for value, count in enumerate(single[0] - shared[0])}
    wanted |= {(None, value): count for value, count in enumerate(single[1] - shared[1])}
    return list(_nonzero(wanted, n))


def _nonzero(wanted: Mapping[tuple[int | None, ...], int], n: int) -> Iterator[_Wanted]:
    """Yield what is wanted at all; last the images that are aligned with every bias, which are the rest of n."""
    yield from (_Wanted(values, int(count)) for values, count in wanted.items() if count)
    aligned = n - sum(map(int, wanted.values()))
    if aligned:
        yield _Wanted((None,) * len(next(iter(wanted))), aligned)


def _evenly(total: int, own: int, values: int) -> Int[np.ndarray, "k"]:
    """Spread `total` over the values other than `own`; those that follow it get what does not divide."""
    each, more = divmod(total, values - 1)
    counts = np.full(values, each)
    counts[(own + 1 + np.arange(more)) % values] += 1
    counts[own] = 0
    return counts


def _too_few(part: int, wanted: _Wanted, name: str, values: Mapping[str, Sequence[str]]) -> str:
    shown = " and ".join(
        f"{column} {known[value]!r}"
        for (column, known), value in zip(values.items(), wanted.values, strict=True)
        if value is not None
    )
    return (
        f"split: fewer than {wanted.number:,} images of class {name!r} are left to be shown in {shown} in "
        f"{SPLITS[part]!r}, expected as many (a higher rho, or fewer images: gates, validation, images_per_class)"
    )
