"""Rows by group and class: counted, required, and dealt out to folds."""

from __future__ import annotations

import pytest
import torch

from counterpoise.errors import InputError
from counterpoise.methods.cells import cell_sizes, fold_numbers, require_cells

NAMES = {"groups": ["women", "men"], "classes": ["no", "yes"], "where": "here", "why": "because"}


def labels(rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = (torch.rand(rows, generator=generator) < 0.2).long()
    return y, torch.randint(3, (rows,), generator=generator)


def test_cells_are_counted_in_each_replicate() -> None:
    y, s = torch.tensor([[0, 1, 1], [0, 0, 0]]), torch.tensor([[0, 1, 1], [1, 0, 0]])
    assert cell_sizes(y, s, groups=2, classes=2).tolist() == [[[1, 0], [0, 2]], [[2, 0], [1, 0]]]


def test_an_empty_cell_of_one_replicate_is_named() -> None:
    y, s = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 1]]), torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
    require_cells(y[0], s[0], **NAMES)
    for own in ((y, s), (y[1], s[1])):
        with pytest.raises(InputError, match="here has no row of yes among women, expected at least one, because"):
            require_cells(*own, **NAMES)


def test_cells_without_names_are_numbered_and_asked_for_in_every_replicate() -> None:
    y, s = torch.tensor([[0, 1, 0, 1], [0, 1, 0, 1]]), torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
    known = {"groups": 2, "classes": 2, "where": "here", "why": "because"}
    require_cells(y, s, **known)
    with pytest.raises(InputError, match="here has no row of y = 1 among s = 1, expected at least one, because"):
        require_cells(y, torch.tensor([[0, 0, 1, 1], [0, 0, 1, 0]]), **known)


def test_cells_of_groups_that_are_not_compared_may_be_empty() -> None:
    y, s = torch.tensor([0, 1, 0, 0, 1]), torch.tensor([0, 0, 1, 2, 2])
    sizes = {"groups": 3, "classes": 2, "where": "here", "why": "because"}
    require_cells(y, s, **sizes, compared=[0, 2])
    for compared in (None, [0, 1]):
        with pytest.raises(InputError, match="no row of y = 1 among s = 1"):
            require_cells(y, s, **sizes, compared=compared)


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_folds_are_of_equal_size_in_every_cell(folds: int) -> None:
    y, s = labels(200)
    fold = fold_numbers(y, s, folds=folds, generator=torch.Generator().manual_seed(1))
    sizes = torch.bincount(fold, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    within = torch.stack([cell_sizes(y[fold == k], s[fold == k], groups=3, classes=2) for k in range(folds)])
    assert (within.amax(dim=0) - within.amin(dim=0) <= 1).all()


def test_folds_are_random_and_the_generators() -> None:
    y, s = labels(200)
    first, same, other = (
        fold_numbers(y, s, folds=2, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert 0.3 < (first == other).double().mean() < 0.7


def test_rows_of_one_unit_are_in_one_fold_and_units_of_each_cell_in_all() -> None:
    unit = torch.arange(60).repeat_interleave(3)[torch.randperm(180, generator=torch.Generator().manual_seed(0))]
    s = unit % 2
    y = (unit % 6 == 0).long()
    fold = fold_numbers(y, s, 7 * unit + 2, folds=3, generator=torch.Generator().manual_seed(1))
    of_unit = torch.stack([fold[unit == number] for number in range(60)])
    assert (of_unit == of_unit[:, :1]).all()
    sizes = torch.stack([cell_sizes(y[fold == k], s[fold == k], groups=2, classes=2) for k in range(3)]) // 3
    assert (sizes.amax(dim=0) - sizes.amin(dim=0) <= 1).all()
