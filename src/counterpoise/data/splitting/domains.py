"""Splits of images that exist in two domains, one of which is the majority domain of a class: CIFAR-10S.

In training, most images of a class are taken in that class's majority domain and the rest in the other one; the images
on which a repair is fitted and chosen are as many in each domain; every test image is there in both.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8

from counterpoise.data.splitting.shares import SPLITS, UNUSED, require_seeds
from counterpoise.errors import InputError

_STREAM = zlib.crc32(b"domains")  # keeps these draws apart from everything else that is drawn with the same seed
_TRAINING, _TEST = 0, 1  # what is drawn: each has a generator of its own
_PRETRAIN, _FIT, _CHOOSE, _REPORT = range(len(SPLITS))


class Skew(NamedTuple):
    """How the images of each class are shared out.

    Attributes:
        majority: domain (0 or 1) of most training images of each class.
        share: of a class's pretraining images in its majority domain, at least ½ and below 1.
        validation_per_cell: images of each class and domain that are not in pretraining (`dval`).
        fit_share: of those, to the part `train`; the others are `validation`.
        images_per_class: how many pretrain; None takes all that are left.
        test_per_class: how many test; None takes all.
    """

    majority: Sequence[int]
    share: float
    validation_per_cell: int
    fit_share: float
    images_per_class: int | None = None
    test_per_class: int | None = None


def draw_domain_splits(
    y: Int[np.ndarray, "N"],
    s: Int[np.ndarray, "N"],
    images: Shaped[np.ndarray, "N"],
    is_test: Bool[np.ndarray, "N"],
    *,
    skew: Skew,
    classes: Sequence[str],
    domains: Sequence[str],
    seeds: Sequence[int],
) -> UInt8[np.ndarray, "R N"]:
    """Assign each image, in one domain or in the other, to one part, once per seed.

    Of each class's training images, in an order that is drawn: the first 2 · `validation_per_cell` are divided evenly
    between the domains and go to `train` and `validation`, the next ones to `pretrain`, `share` of them (rounded) in
    the majority domain. Hence `dval` is the same for every `share`. Test images are in `test` in both domains. All
    other rows are unused. A class's draw depends on its seed and its images only, not on their order here.

    Args:
        s: domain of each row, 0 or 1.
        images: what identifies the image; each one is there two times, once in each domain.
        is_test: whether the image is one of the official test images.

    Returns:
        Codes of `SPLITS`, or `UNUSED`.

    Raises:
        InputError: no seed, a negative or a repeated one; a share outside [½, 1); too few images; or a class that has
            no training image in its minority domain.
    """
    require_seeds(seeds)
    if not 0.5 <= skew.share < 1:
        raise InputError(f"split.skew: found {skew.share}, expected at least 0.5 and less than 1")
    pairs, label, held_out = _pairs(y, s, images, is_test)
    fit = round(skew.fit_share * skew.validation_per_cell)
    if not 0 < fit < skew.validation_per_cell:
        raise InputError(
            f"split.fit_share: {skew.fit_share} of {skew.validation_per_cell} images leaves {fit} to fit a repair on "
            f"and {skew.validation_per_cell - fit} to choose on, expected at least one for each"
        )
    counts = [
        _count(name, label == code, held_out, skew, domains[1 - skew.majority[code]])
        for code, name in enumerate(classes)
    ]

    splits = np.full((len(seeds), len(y)), UNUSED, dtype=np.uint8)
    for replicate, seed in zip(splits, seeds, strict=True):
        for code, (usual, unusual, tested) in enumerate(counts):
            drawn = _shuffled(pairs[(label == code) & ~held_out], seed, code, _TRAINING)
            for domain in (0, 1):
                cell, drawn = np.split(drawn, [skew.validation_per_cell])
                replicate[cell[:fit, domain]] = _FIT
                replicate[cell[fit:, domain]] = _CHOOSE
            majority = skew.majority[code]
            replicate[drawn[:usual, majority]] = _PRETRAIN
            replicate[drawn[usual : usual + unusual, 1 - majority]] = _PRETRAIN
            replicate[_shuffled(pairs[(label == code) & held_out], seed, code, _TEST)[:tested]] = _REPORT
    return splits


def _pairs(
    y: Int[np.ndarray, "N"], s: Int[np.ndarray, "N"], images: Shaped[np.ndarray, "N"], is_test: Bool[np.ndarray, "N"]
) -> tuple[Int[np.ndarray, "M 2"], Int[np.ndarray, "M"], Bool[np.ndarray, "M"]]:
    """Return each image's rows in domain 0 and in domain 1, its class, and whether it is a test image."""
    by_domain = [np.flatnonzero(s == domain) for domain in (0, 1)]
    ordered = [rows[np.argsort(images[rows], kind="stable")] for rows in by_domain]
    first, second = ordered
    alike = len(first) == len(second) == len(y) / 2 and all(
        np.array_equal(values[first], values[second]) for values in (images, y, is_test)
    )
    if not alike or len(np.unique(images[first])) < len(first):
        raise InputError(
            f"samples: {len(first):,} images in one domain and {len(second):,} in the other, expected every image once "
            "in each, with the same class and official part"
        )
    return np.stack(ordered, axis=1), y[first], is_test[first]


def _count(
    name: str, in_class: Bool[np.ndarray, "M"], held_out: Bool[np.ndarray, "M"], skew: Skew, minority: str
) -> tuple[int, int, int]:
    """Return how many images of a class pretrain in its majority domain, in the other one, and how many test."""
    there = int((in_class & ~held_out).sum())
    remaining = there - 2 * skew.validation_per_cell
    wanted = 1 if skew.images_per_class is None else skew.images_per_class
    if remaining < wanted:
        raise InputError(
            f"split: class {name!r} has {there:,} training images, expected at least "
            f"{2 * skew.validation_per_cell + wanted:,}: {skew.validation_per_cell:,} for each domain of dval "
            f"(validation_per_cell) and {wanted:,} to pretrain (images_per_class)"
        )
    used = remaining if skew.images_per_class is None else skew.images_per_class
    usual = int(np.floor(skew.share * used + 0.5))
    if usual == used:
        raise InputError(
            f"split.skew: {skew.share:g} of the {used:,} images of class {name!r} leaves none in "
            f"{minority}, its minority domain, expected at least one (a lower skew, or more images)"
        )
    tests = int((in_class & held_out).sum())
    tested = tests if skew.test_per_class is None else skew.test_per_class
    if not 0 < tested <= tests:
        raise InputError(
            f"split.test_per_class: class {name!r} has {tests:,} test images, expected at least {tested:,}"
        )
    return usual, used - usual, tested


def _shuffled(pairs: Int[np.ndarray, "n 2"], seed: int, code: int, drawn: int) -> Int[np.ndarray, "n 2"]:
    """Return the images of a class in an order of its own for each seed."""
    return np.random.default_rng([seed, _STREAM, code, drawn]).permutation(pairs)
