"""Splits of images in two domains: exact counts, test images untouched, dval in balance, each replicate its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from counterpoise.data import SPLITS, UNUSED
from counterpoise.data.splitting.domains import Skew, draw_domain_splits
from counterpoise.errors import InputError

CLASSES, DOMAINS = ("cat", "deer", "frog"), ("colour", "grey")
SKEW = Skew(majority=(0, 1, 1), share=0.9, validation_per_cell=10, fit_share=0.7)
PRETRAIN, TRAIN, VALIDATION, TEST = range(4)


@dataclass(frozen=True)
class Rows:
    """Every image in both domains, in an order that says nothing."""

    y: np.ndarray
    s: np.ndarray
    images: np.ndarray
    is_test: np.ndarray

    @classmethod
    def create(cls, training: int = 120, tests: int = 15, shuffle: int = 0) -> Rows:
        y = np.repeat(np.arange(len(CLASSES)), training + tests)
        is_test = np.tile(np.arange(training + tests) >= training, len(CLASSES))
        images = np.array([f"{label}/{number}" for number, label in enumerate(y)])
        order = np.random.default_rng(shuffle).permutation(2 * len(y))
        rows = (np.tile(y, 2), np.repeat([0, 1], len(y)), np.tile(images, 2), np.tile(is_test, 2))
        return cls(*(column[order] for column in rows))

    def draw(self, skew: Skew = SKEW, seeds: tuple[int, ...] = (0, 1), **changes: Any) -> np.ndarray:
        named = {"classes": CLASSES, "domains": DOMAINS} | changes
        return draw_domain_splits(self.y, self.s, self.images, self.is_test, skew=skew, seeds=seeds, **named)

    def count(self, codes: np.ndarray, part: int) -> list[list[int]]:
        """Return the rows of a part by class and domain."""
        return [[int(((codes == part) & (self.y == c) & (self.s == d)).sum()) for d in (0, 1)] for c in range(3)]


ROWS = Rows.create()


def test_counts_are_exact_in_every_replicate() -> None:
    """Of 120 training images 20 are kept for dval; 90% of the other 100 are in the majority domain."""
    for codes in ROWS.draw():
        assert ROWS.count(codes, PRETRAIN) == [[90, 10], [10, 90], [10, 90]]
        assert ROWS.count(codes, TRAIN) == [[7, 7]] * 3
        assert ROWS.count(codes, VALIDATION) == [[3, 3]] * 3
        assert ROWS.count(codes, TEST) == [[15, 15]] * 3
        assert ROWS.count(codes, UNUSED) == [[20, 100], [100, 20], [100, 20]]


def test_no_image_is_used_twice_and_no_test_image_elsewhere() -> None:
    for codes in ROWS.draw():
        used = (codes != UNUSED) & ~ROWS.is_test
        assert len(set(ROWS.images[used])) == used.sum() == 360
        np.testing.assert_array_equal(codes == TEST, ROWS.is_test)


@settings(deadline=None, max_examples=50)
@given(
    share=st.floats(0.5, 0.99),
    training=st.integers(10, 300),
    per_cell=st.integers(2, 40),
    fit_share=st.floats(0.05, 0.95),
    subset=st.none() | st.integers(2, 200),
)
def test_the_skew_is_met_to_half_an_image(
    share: float, training: int, per_cell: int, fit_share: float, subset: int | None
) -> None:
    left = training - 2 * per_cell if subset is None else subset
    assume(training - 2 * per_cell >= max(left, 1))
    assume(int(share * left + 0.5) < left)
    assume(0 < round(fit_share * per_cell) < per_cell)
    rows = Rows.create(training, 3)
    (codes,) = rows.draw(Skew(SKEW.majority, share, per_cell, fit_share, images_per_class=subset), seeds=(4,))
    for label, counts in enumerate(rows.count(codes, PRETRAIN)):
        assert sum(counts) == left
        assert abs(counts[SKEW.majority[label]] - share * left) <= 0.5 + 1e-9
        assert min(counts) >= 1
    repaired = np.array(rows.count(codes, TRAIN)) + np.array(rows.count(codes, VALIDATION))
    assert (repaired == per_cell).all()


def test_another_skew_changes_neither_the_test_images_nor_those_to_repair_with() -> None:
    mild, strong = (ROWS.draw(SKEW._replace(share=share)) for share in (0.8, 0.98))
    for part in (TRAIN, VALIDATION, TEST):
        np.testing.assert_array_equal(mild == part, strong == part)
    assert ROWS.count(strong[0], PRETRAIN) == [[98, 2], [2, 98], [2, 98]]


def test_adding_or_reordering_seeds_changes_no_replicate() -> None:
    alone, together = ROWS.draw(seeds=(7,)), ROWS.draw(seeds=(3, 7, 11))
    np.testing.assert_array_equal(alone[0], together[1])
    np.testing.assert_array_equal(together[::-1], ROWS.draw(seeds=(11, 7, 3)))
    assert (together[0] != together[1]).mean() > 0.1


def test_the_order_of_the_rows_does_not_matter() -> None:
    other = Rows.create(shuffle=1)
    codes = [dict(zip(zip(rows.images, rows.s, strict=True), rows.draw()[0], strict=True)) for rows in (ROWS, other)]
    assert codes[0] == codes[1]


def test_other_classes_do_not_matter() -> None:
    """The images of the last class go where they go without it: each class has a generator of its own."""
    few = ROWS.y < 2
    rows = Rows(ROWS.y[few], ROWS.s[few], ROWS.images[few], ROWS.is_test[few])
    np.testing.assert_array_equal(rows.draw(SKEW._replace(majority=(0, 1)), classes=CLASSES[:2]), ROWS.draw()[:, few])


def test_a_subset_of_the_images_for_small_machines() -> None:
    codes = ROWS.draw(SKEW._replace(images_per_class=40, test_per_class=6))
    for replicate in codes:
        assert ROWS.count(replicate, PRETRAIN) == [[36, 4], [4, 36], [4, 36]]
        assert ROWS.count(replicate, TEST) == [[6, 6]] * 3
        tested = replicate == TEST
        assert set(ROWS.images[tested & (ROWS.s == 0)]) == set(ROWS.images[tested & (ROWS.s == 1)])
    np.testing.assert_array_equal(codes == TRAIN, ROWS.draw() == TRAIN)
    assert (ROWS.draw()[codes == PRETRAIN] == PRETRAIN).mean() > 0.8  # most keep the domain that they have among all


def test_an_image_is_as_often_used_as_any_other() -> None:
    """Over many seeds, no image is tied to a part or domain by its name."""
    codes = ROWS.draw(seeds=tuple(range(1000)))
    training = ~ROWS.is_test
    for part, count in ((TRAIN, 7), (VALIDATION, 3)):
        share = count / 120
        frequency = (codes == part).mean(axis=0)[training]
        assert np.abs(frequency - share).max() < 5 * np.sqrt(share * (1 - share) / 1000)
    unusual = ~ROWS.is_test & (ROWS.s == 1) & (ROWS.y == 0)
    frequency = (codes == PRETRAIN).mean(axis=0)[unusual]
    assert np.abs(frequency - 10 / 120).max() < 5 * np.sqrt(10 / 120 / 1000)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"share": 0.4}, r"split\.skew: found 0\.4, expected at least 0\.5 and less than 1"),
        ({"share": 1.0}, r"split\.skew: found 1\.0, expected"),
        ({"share": 0.996}, r"split\.skew: 0\.996 of the 100 images of class 'cat' leaves none in grey, its minority"),
        ({"images_per_class": 4}, r"0\.9 of the 4 images of class 'cat' leaves none in grey"),
        ({"majority": (1, 1, 1), "share": 0.999}, r"class 'cat' leaves none in colour, its minority domain"),
        (
            {"validation_per_cell": 60},
            r"class 'cat' has 120 training images, expected at least 121: 60 for each domain",
        ),
        ({"images_per_class": 101}, r"class 'cat' has 120 training images, expected at least 121: .* 101 to pretrain"),
        ({"test_per_class": 16}, r"test_per_class: class 'cat' has 15 test images, expected at least 16"),
        ({"fit_share": 0.01}, r"fit_share: 0\.01 of 10 images leaves 0 to fit a repair on and 10 to choose on"),
        ({"fit_share": 0.99}, r"leaves 10 to fit a repair on and 0 to choose on"),
    ],
)
def test_a_wrong_skew_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ROWS.draw(SKEW._replace(**change))


def test_wrong_seeds_are_refused() -> None:
    with pytest.raises(InputError, match="seeds: 1 occurs more than once"):
        ROWS.draw(seeds=(1, 1))


def test_images_that_are_not_once_in_each_domain_are_refused() -> None:
    for broken in (
        replace(ROWS, s=np.where(np.arange(len(ROWS.s)) == 0, 1 - ROWS.s, ROWS.s)),
        replace(ROWS, y=np.where(np.arange(len(ROWS.y)) == 0, (ROWS.y + 1) % 3, ROWS.y)),
        replace(ROWS, images=np.where(ROWS.images == ROWS.images[0], ROWS.images[1], ROWS.images)),
    ):
        with pytest.raises(InputError, match="expected every image once in each"):
            broken.draw()


def test_unused_is_no_part() -> None:
    assert UNUSED not in range(len(SPLITS))
