"""Splits: exact sizes, every row once, stratified, each replicate its own. Properties over any counts, and Adult's."""

import warnings
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from counterpoise.data import SPLITS, UNUSED, draw_splits
from counterpoise.data.splitting.shares import sizes
from counterpoise.errors import InputError

FRACTIONS = {"pretrain": 0.6, "task": 0.4}
TASK = {"train": 12287, "validation": 5000, "test": 10315}


def cells(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Shuffled y and s with `counts` rows of (0, 0), (0, 1), (1, 0), (1, 1)."""
    cell = np.random.default_rng(0).permutation(np.repeat(np.arange(4), counts))
    return cell // 2, cell % 2


def draw(y: np.ndarray, s: np.ndarray, seeds: list[int], task: Mapping[str, float | int] = TASK) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return draw_splits(y, s, fractions=FRACTIONS, task=task, seeds=seeds)


def test_adults_sizes() -> None:
    """60% of 45,222, and the rest as 12,287 : 5,000 : 10,315; computed by hand."""
    assert sizes(45_222, FRACTIONS, TASK) == {"pretrain": 27_133, "train": 8_052, "validation": 3_277, "test": 6_760}


@given(n=st.integers(100, 10**6), share=st.floats(0.1, 0.9), task=st.tuples(*[st.integers(1, 20)] * 3))
def test_sizes_sum_to_n_and_are_within_one_of_their_shares(n: int, share: float, task: tuple[int, int, int]) -> None:
    weights = dict(zip(SPLITS[1:], task, strict=True))
    assume(n * (1 - share) * min(task) / sum(task) >= 2)
    parts = sizes(n, {"pretrain": share, "task": 1 - share}, weights)
    assert sum(parts.values()) == n
    assert abs(parts["pretrain"] - n * share) < 1
    new_task = n - parts["pretrain"]
    assert all(abs(parts[name] - new_task * weight / sum(task)) < 1 for name, weight in weights.items())


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 60), min_size=4, max_size=4),
    task=st.tuples(*[st.integers(1, 5)] * 3),
    seed=st.integers(0, 2**32),
)
def test_every_replicate_is_an_exact_stratified_partition(
    counts: list[int], task: tuple[int, int, int], seed: int
) -> None:
    assume(sum(counts) >= 60)
    y, s = cells(counts)
    weights = dict(zip(SPLITS[1:], task, strict=True))
    parts = list(sizes(len(y), FRACTIONS, weights).values())
    for replicate in draw(y, s, [seed, seed + 1], weights):
        assert np.bincount(replicate, minlength=4).tolist() == parts
        for cell, rows in enumerate(counts):
            in_part = np.bincount(replicate[2 * y + s == cell], minlength=4)
            assert in_part.sum() == rows
            np.testing.assert_array_less(np.abs(in_part - rows * np.array(parts) / len(y)), 1 + 1e-9)


def test_adding_or_reordering_seeds_changes_no_replicate() -> None:
    y, s = cells([500, 300, 100, 200])
    alone, together = draw(y, s, [7]), draw(y, s, [3, 7, 11])
    np.testing.assert_array_equal(alone[0], together[1])
    np.testing.assert_array_equal(together[::-1], draw(y, s, [11, 7, 3]))


class TestMaxRows:
    """1,100 rows: 660 pretrain, 196 train, 80 validate, 164 test."""

    y, s = cells([500, 300, 100, 200])

    def drawn(self, max_rows: int | None) -> np.ndarray:
        return draw_splits(self.y, self.s, fractions=FRACTIONS, task=TASK, seeds=[0, 7], max_rows=max_rows)

    @pytest.mark.parametrize("max_rows", [None, 856, 10**6])
    def test_a_bound_that_no_part_passes_changes_no_bit(self, max_rows: int | None) -> None:
        np.testing.assert_array_equal(self.drawn(max_rows), draw(self.y, self.s, [0, 7]))

    def test_rows_beyond_the_bound_are_unused_in_proportion_to_the_cells_of_their_part(self) -> None:
        full, bounded = self.drawn(None), self.drawn(60)
        is_used = bounded != UNUSED
        np.testing.assert_array_equal(bounded[is_used], full[is_used])
        for all_rows, used in zip(full, bounded, strict=True):
            assert np.bincount(used).tolist() == [46, 14, 60, 164, 1100 - 284]
            for part, size in enumerate([46, 14, 60, 164]):
                for cell in range(4):
                    of_cell = 2 * self.y + self.s == cell
                    share = size * (all_rows[of_cell] == part).sum() / (all_rows == part).sum()
                    assert abs((used[of_cell] == part).sum() - share) < 1 + 1e-9

    def test_replicates_use_rows_of_their_own(self) -> None:
        first, second = self.drawn(60) == 0
        assert (first & second).sum() < 0.5 * first.sum()


def test_replicates_differ_and_repeat() -> None:
    y, s = cells([500, 300, 100, 200])
    first, second = draw(y, s, [0, 1])
    assert 0.3 < np.mean(first != second) < 0.8  # two independent draws differ in 1 − Σ share² = 58% of the rows
    np.testing.assert_array_equal(draw(y, s, [0, 1]), [first, second])


def test_a_row_is_as_often_in_a_part_as_the_part_is_large() -> None:
    """Over many seeds a row's frequencies are the part's shares: no row is tied to a part by its position."""
    y, s = cells([100, 60, 20, 40])
    splits = draw(y, s, list(range(1000)))
    shares = np.array(list(sizes(220, FRACTIONS, TASK).values())) / 220
    for code, share in enumerate(shares):
        frequency = (splits == code).mean(axis=0)
        stratum_slack = 1 / 20  # a cell's share is within one row of the part's
        assert np.abs(frequency - share).max() < stratum_slack + 4 * np.sqrt(share * (1 - share) / 1000)


def test_no_pretrain_part_on_request() -> None:
    y, s = cells([50, 30, 10, 20])
    splits = draw_splits(y, s, fractions={"pretrain": 0, "task": 1}, task=TASK, seeds=[0])
    assert np.unique(splits).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("fractions", "task", "sentence"),
    [
        ({"pretrain": 0.6, "task": 0.5}, TASK, r"fractions: pretrain 0\.6 \+ task 0\.5 sum to 1\.1, expected 1"),
        ({"pretrain": 0.4, "task": 0.5}, TASK, r"fractions: pretrain 0\.4 \+ task 0\.5 sum to 0\.9, expected 1"),
        (
            {"pretrain": -0.1, "task": 1.1},
            TASK,
            r"fractions: pretrain is -0\.1, expected a number that is not negative",
        ),
        ({"pretrain": float("nan"), "task": 1}, TASK, r"fractions: pretrain is nan"),
        ({"pretrain": 0.6}, TASK, r"fractions: 'task' is missing"),
        (FRACTIONS, {**TASK, "validate": 1}, r"task: 'validate' is unknown \(did you mean 'validation'\?\)"),
        (FRACTIONS, {**TASK, "test": 0}, r"test: this part of 110 rows would be empty"),
        (FRACTIONS, {"train": 0, "validation": 0, "test": 0}, r"task: train, validation, test are all 0"),
        ({"pretrain": 0.001, "task": 0.999}, TASK, r"pretrain: this part of 110 rows would be empty"),
    ],
)
def test_wrong_shares_are_refused(
    fractions: dict[str, float | int], task: dict[str, float | int], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        draw_splits(*cells([50, 30, 10, 20]), fractions=fractions, task=task, seeds=[0])


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(InputError, match=r"validation: this part of 4 rows would be empty, expected at least one row"):
        draw_splits(*cells([1, 1, 1, 1]), fractions=FRACTIONS, task=TASK, seeds=[0])


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [
        ([], "seeds: found none"),
        ([1, 2, 1], "seeds: 1 occurs more than once"),
        ([0, -3], "seeds: found -3, expected no negative seed"),
    ],
)
def test_wrong_seeds_are_refused(seeds: list[int], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        draw_splits(*cells([50, 30, 10, 20]), fractions=FRACTIONS, task=TASK, seeds=seeds)


def test_a_cell_too_small_for_every_part_is_named() -> None:
    y, s = cells([100, 60, 2, 40])
    with pytest.warns(UserWarning, match=r"only 2 rows have y=1 and s=0, too few to reach every part: none in "):
        draw_splits(y, s, fractions=FRACTIONS, task=TASK, seeds=[0])
