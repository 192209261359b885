"""Splits with a biased pretraining part: exact counts, unbiased parts, no image twice, each replicate its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.data import UNUSED, biases
from counterpoise.data.splitting.aligned import Alignment, draw_aligned_splits
from counterpoise.errors import InputError

CLASSES = tuple("abcde")
COLOURS = {"left": ("red", "green", "blue", "grey", "pink"), "right": ("lime", "navy", "slate", "gold", "sky")}
PRETRAIN, GATES, VALIDATION, TEST = range(4)
ALIGNMENT = Alignment(rho=(0.9,), gates=100, validation=50)


@dataclass(frozen=True)
class Rows:
    """Every image in all renderings, in an order that says nothing."""

    y: np.ndarray
    biases: np.ndarray
    images: np.ndarray
    is_test: np.ndarray

    @classmethod
    def create(cls, count: int = 1, training: int = 200, tests: int = 23, shuffle: int = 0) -> Rows:
        columns = dict(list(COLOURS.items())[:count])
        sizes = (("train", training), ("test", tests))
        listed = [(f"{p}/{c}/{i:04d}", c, p) for p, n in sizes for c in CLASSES for i in range(n)]
        table = biases.offer(pd.DataFrame(listed, columns=["image", "label", "official_part"]), columns, CLASSES)
        table = table.sample(frac=1, random_state=shuffle)
        return cls(
            biases.codes(table["label"], CLASSES),
            np.stack([biases.codes(table[name], values) for name, values in columns.items()], axis=1),
            table["image"].to_numpy(dtype=np.str_),
            (table["official_part"] == "test").to_numpy(),
        )

    def draw(self, alignment: Alignment = ALIGNMENT, seeds: tuple[int, ...] = (0, 1), **changes: Any) -> np.ndarray:
        named = {"classes": CLASSES, "values": dict(list(COLOURS.items())[: self.biases.shape[1]])} | changes
        return draw_aligned_splits(
            self.y, self.biases, self.images, self.is_test, alignment=alignment, seeds=seeds, **named
        )

    def count(self, codes: np.ndarray, part: int, bias: int = 0) -> np.ndarray:
        """Return the rows of a part by class and value, [5, 5]."""
        table = np.zeros((5, 5), dtype=int)
        np.add.at(table, (self.y[codes == part], self.biases[codes == part, bias]), 1)
        return table


ONE, TWO = Rows.create(1), Rows.create(2)
TWO_BIASES = Alignment(rho=(0.9, 0.75), gates=100, validation=50)


def test_counts_are_exact_in_every_replicate() -> None:
    """Of a class's 200 images 20 are gates and 10 validate; of the other 170, 153 are aligned, 17 = 5 + 4 + 4 + 4."""
    for codes in ONE.draw():
        np.testing.assert_array_equal(ONE.count(codes, GATES), np.full((5, 5), 4))
        np.testing.assert_array_equal(ONE.count(codes, VALIDATION), np.full((5, 5), 2))
        pretrain = ONE.count(codes, PRETRAIN)
        np.testing.assert_array_equal(np.diag(pretrain), [153] * 5)
        assert [sorted(row) for row in pretrain.tolist()] == [[4, 4, 4, 5, 153]] * 5
        tested = ONE.count(codes, TEST)  # 23 images: ⌊23 / 5⌋ = 4 are aligned, 19 = 5 + 5 + 5 + 4
        np.testing.assert_array_equal(np.diag(tested), [4] * 5)
        assert [sorted(row) for row in tested.tolist()] == [[4, 4, 5, 5, 5]] * 5


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.77, 0.99, 0.997])
def test_the_aligned_share_is_rounded_down(rho: float) -> None:
    codes = ONE.draw(Alignment((rho,), gates=5, validation=5, images_per_class=150), seeds=(3,))[0]
    pretrain = ONE.count(codes, PRETRAIN)
    aligned = {0.2: 30, 0.5: 75, 0.77: 115, 0.99: 148, 0.997: 149}[rho]  # of 150
    for label, row in enumerate(pretrain):
        assert row[label] == aligned
        others = np.delete(row, label)
        assert others.sum() == 150 - aligned
        assert others.max() - others.min() <= 1


def test_a_share_that_is_no_binary_number_is_not_rounded_below_itself() -> None:
    """0.29 · 100 is 28.999… in floating point."""
    codes = ONE.draw(Alignment((0.29,), gates=5, validation=5, images_per_class=100), seeds=(0,))[0]
    assert np.diag(ONE.count(codes, PRETRAIN)).tolist() == [29] * 5


@pytest.mark.parametrize(("rows", "alignment"), [(ONE, ALIGNMENT), (TWO, TWO_BIASES)])
def test_every_image_is_used_once_and_no_test_image_elsewhere(rows: Rows, alignment: Alignment) -> None:
    for codes in rows.draw(alignment):
        used = codes != UNUSED
        assert len(np.unique(rows.images[used])) == used.sum() == 5 * 223
        assert ((codes == TEST) <= rows.is_test).all()
        assert ((codes < TEST) <= ~rows.is_test).all()


def test_both_of_two_biases_have_exact_counts() -> None:
    for codes in TWO.draw(TWO_BIASES):
        for bias, aligned in ((0, 153), (1, 127)):  # ⌊170 · 0.9⌋ and ⌊170 · 0.75⌋
            np.testing.assert_array_equal(TWO.count(codes, GATES, bias), np.full((5, 5), 4))
            np.testing.assert_array_equal(TWO.count(codes, VALIDATION, bias), np.full((5, 5), 2))
            np.testing.assert_array_equal(np.diag(TWO.count(codes, PRETRAIN, bias)), [aligned] * 5)


def test_two_biases_are_independent_of_each_other() -> None:
    """Over seeds, of 170 images as many conflict with both as 17 · 43 / 170 says, and as the hypergeometric spreads."""
    conflicting = TWO.biases != TWO.y[:, None]
    both = [
        ((codes == PRETRAIN) & conflicting.all(axis=1) & (TWO.y == label)).sum()
        for codes in TWO.draw(TWO_BIASES, seeds=tuple(range(40)))
        for label in range(5)
    ]
    deviation = np.sqrt(17 * 43 / 170 * (127 / 170) * (153 / 169))
    assert abs(np.mean(both) - 4.3) < 4 * deviation / np.sqrt(len(both))
    assert 0.8 * deviation < np.std(both) < 1.2 * deviation


def test_another_share_changes_no_unbiased_part() -> None:
    mild, strong = (ONE.draw(ALIGNMENT._replace(rho=(rho,))) for rho in (0.5, 0.99))
    for part in (GATES, VALIDATION, TEST):
        np.testing.assert_array_equal(mild == part, strong == part)
    fewer = ONE.draw(ALIGNMENT._replace(images_per_class=40))
    np.testing.assert_array_equal(fewer == GATES, mild == GATES)
    assert ONE.count(fewer[0], PRETRAIN).sum(axis=1).tolist() == [40] * 5


def test_adding_or_reordering_seeds_changes_no_replicate() -> None:
    alone, together = ONE.draw(seeds=(7,)), ONE.draw(seeds=(3, 7, 11))
    np.testing.assert_array_equal(alone[0], together[1])
    np.testing.assert_array_equal(together[::-1], ONE.draw(seeds=(11, 7, 3)))
    assert (together[0] != together[1]).mean() > 0.1


@pytest.mark.parametrize("count", [1, 2])
def test_the_order_of_the_rows_does_not_matter(count: int) -> None:
    drawn = []
    for shuffle in (0, 1):
        rows = Rows.create(count, shuffle=shuffle)
        names = zip(rows.images, map(tuple, rows.biases.tolist()), strict=True)
        drawn.append(dict(zip(names, rows.draw(TWO_BIASES._replace(rho=TWO_BIASES.rho[:count]))[0], strict=True)))
    assert drawn[0] == drawn[1]


def test_an_image_is_as_often_used_as_any_other() -> None:
    """Over many seeds, no image is tied to a part by its name."""
    codes = ONE.draw(seeds=tuple(range(200)))
    used = np.stack([(codes == part) for part in (GATES, VALIDATION)])
    _, image = np.unique(ONE.images, return_inverse=True)
    frequency = np.stack([np.stack([np.bincount(image, row) for row in part]).mean(axis=0) for part in used])
    trained = ~np.isin(np.unique(ONE.images), ONE.images[ONE.is_test])
    for share, found in zip((0.1, 0.05), frequency[:, trained], strict=True):
        assert np.abs(found - share).max() < 5 * np.sqrt(share * (1 - share) / 200)


def test_parts_that_do_not_divide_go_to_the_first_classes() -> None:
    codes = ONE.draw(Alignment((0.9,), gates=52, validation=50, test_per_class=10))[0]
    assert ONE.count(codes, GATES).sum(axis=1).tolist() == [11, 11, 10, 10, 10]
    np.testing.assert_array_equal(ONE.count(codes, TEST), np.full((5, 5), 2))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rho": (1.0,)}, r"split\.rho: 'left' has 1\.0, expected at least 0 and less than 1"),
        ({"rho": (-0.1,)}, r"split\.rho: 'left' has -0\.1, expected"),
        ({"gates": 960}, r"class 'a' has 200 training images, expected at least 203: 192 for the gates"),
        ({"images_per_class": 171}, r"class 'a' has 200 training images, expected at least 201: .* 171 to pretrain"),
        ({"test_per_class": 24}, r"test_per_class: class 'a' has 23 test images, expected at least 24"),
        ({"rho": (0.0,), "gates": 1, "validation": 1}, r"images of class 'a' are left for 'pretrain', too few to show"),
    ],
)
def test_a_wrong_alignment_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ONE.draw(ALIGNMENT._replace(**change))


def test_a_bias_with_one_value_is_refused() -> None:
    with pytest.raises(InputError, match=r"the bias 'left' has the one value 'red', expected at least two"):
        ONE.draw(values={"left": ("red",)})


def test_wrong_seeds_are_refused() -> None:
    with pytest.raises(InputError, match="seeds: 1 occurs more than once"):
        ONE.draw(seeds=(1, 1))


@pytest.mark.parametrize("rows", [ONE, TWO])
def test_images_that_are_not_offered_in_all_renderings_are_refused(rows: Rows) -> None:
    first = np.arange(len(rows.y)) == 0
    alignment = TWO_BIASES._replace(rho=TWO_BIASES.rho[: rows.biases.shape[1]])
    broken = [
        replace(rows, y=np.where(first, (rows.y + 1) % 5, rows.y)),
        replace(rows, is_test=np.where(first, ~rows.is_test, rows.is_test)),
        replace(rows, images=np.where(rows.images == rows.images[0], rows.images[1], rows.images)),
        Rows(*(column[1:] for column in (rows.y, rows.biases, rows.images, rows.is_test))),
    ]
    for wrong in broken:
        with pytest.raises(InputError, match=r"expected each image \d times, aligned or conflicting with each bias"):
            wrong.draw(alignment)


def test_an_image_with_two_conflicting_values_is_refused() -> None:
    conflicting = np.flatnonzero((TWO.biases != TWO.y[:, None]).all(axis=1))[0]
    other = TWO.biases.copy()
    other[conflicting, 0] = next(v for v in range(5) if v not in (TWO.y[conflicting], other[conflicting, 0]))
    with pytest.raises(InputError, match="expected each image 4 times"):
        replace(TWO, biases=other).draw(TWO_BIASES)
