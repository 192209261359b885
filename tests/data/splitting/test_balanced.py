"""Splits with balanced parts: as many rows of each cell in all but pretraining, each replicate its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from counterpoise.data.splitting.balanced import draw_balanced_splits
from counterpoise.errors import InputError

ROWS = (400, 300, 200, 81)  # of each cell (y, s)
PER_CELL = {"train": 0.24, "validation": 0.16, "test": 20}


def draw(per_cell: dict[str, Any] = PER_CELL, seeds: tuple[int, ...] = (0, 1), shuffle: int = 0) -> Any:
    cell = np.random.default_rng(shuffle).permutation(np.repeat(np.arange(4), ROWS))
    named = {"classes": ("dark", "blond"), "groups": ("women", "men")}
    return cell, draw_balanced_splits(cell // 2, cell % 2, per_cell=per_cell, seeds=seeds, **named)


def test_every_cell_has_as_many_rows_in_each_part_and_the_rest_pretrains() -> None:
    """Of the smallest cell, 81 rows, ⌊19.44⌋ and ⌊12.96⌋ are the shares; a whole number is itself."""
    cell, splits = draw()
    for codes in splits:
        for part, rows in ((1, 19), (2, 12), (3, 20)):
            assert np.bincount(cell[codes == part]).tolist() == [rows] * 4
        assert np.bincount(cell[codes == 0]).tolist() == [rows - 51 for rows in ROWS]


def test_one_is_a_row_and_a_share_of_a_whole_number_is_that_number() -> None:
    cell = np.repeat(np.arange(4), 10)
    per_cell = {"train": 0.3, "validation": 1, "test": 2}
    named = {"classes": ("dark", "blond"), "groups": ("women", "men")}
    (codes,) = draw_balanced_splits(cell // 2, cell % 2, per_cell=per_cell, seeds=(0,), **named)
    assert [np.bincount(cell[codes == part]).tolist() for part in range(4)] == [[n] * 4 for n in (4, 3, 1, 2)]


def test_adding_seeds_changes_no_replicate() -> None:
    _, alone = draw(seeds=(5,))
    cell, together = draw(seeds=(2, 5))
    np.testing.assert_array_equal(alone[0], together[1])
    assert (together[0] != together[1])[cell == 3].any()


def test_a_row_is_as_often_drawn_as_any_other_of_its_cell() -> None:
    cell, splits = draw(seeds=tuple(range(500)))
    frequency = (splits == 3).mean(axis=0)[cell == 3]
    share = 20 / 81
    assert np.abs(frequency - share).max() < 5 * np.sqrt(share * (1 - share) / 500)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"test": 50},
            r"19 \+ 12 \+ 50 rows of each cell, expected less than the 81 rows of class 'blond' and group 'men'",
        ),
        (
            {"train": 0.01},
            r"train is 0\.01, of the 81 rows of class 'blond' and group 'men' that is 0, expected at least",
        ),
        ({"tset": 3}, r"split\.per_cell: found train, validation, test, tset, expected train, validation, test"),
    ],
)
def test_a_wrong_division_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        draw(PER_CELL | change)


def test_wrong_seeds_are_refused() -> None:
    with pytest.raises(InputError, match="seeds: found none"):
        draw(seeds=())
