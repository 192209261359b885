"""Rows by group and class: comparisons between groups need rows of every class in every group."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int, Int64, Shaped
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.fairness import Compared


def cell_sizes(
    y: Int[Tensor, "*batch n"], s: Int[Tensor, "*batch n"], *, groups: int, classes: int
) -> Int64[Tensor, "*batch G k"]:
    """Count the rows of every group and class."""
    cell = torch.nn.functional.one_hot(s.long() * classes + y.long(), groups * classes)
    return cell.sum(dim=-2).unflatten(-1, (groups, classes))


def require_cells(
    y: Int[Tensor, "*batch n"],
    s: Int[Tensor, "*batch n"],
    *,
    groups: Sequence[str] | int,
    classes: Sequence[str] | int,
    where: str,
    why: str,
    compared: Compared = None,
) -> None:
    """Raise InputError unless each replicate has rows of every class in every group.

    Args:
        groups, classes: their names, or how many there are; they are then called s = 0, y = 0, ….
        where: the beginning of the sentence. why: its end.
        compared: the groups that need rows.
    """
    groups = [f"s = {group}" for group in range(groups)] if isinstance(groups, int) else groups
    classes = [f"y = {label}" for label in range(classes)] if isinstance(classes, int) else classes
    sizes = cell_sizes(y, s, groups=len(groups), classes=len(classes))
    needed = range(len(groups)) if compared is None else compared
    if absent := [cell for cell in (sizes == 0).nonzero().tolist() if cell[-2] in needed]:
        *_, group, label = absent[0]
        raise InputError(f"{where} has no row of {classes[label]} among {groups[group]}, expected at least one, {why}")


def fold_numbers(
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    unit: Int[Tensor, "n"] | None = None,
    *,
    folds: int,
    generator: torch.Generator,
) -> Int64[Tensor, "n"]:
    """Assign rows to folds 0 … `folds` − 1 at random, of each group and class equally many up to one.

    With units, those of one unit to one fold, of units of each group and most frequent class equally many up to one.
    """
    if unit is not None:
        values, of_row = unit.unique(return_inverse=True)
        cells, cell = torch.stack([s, y]).unique(dim=1, return_inverse=True)
        counts = torch.zeros(len(values), cells.shape[1], dtype=torch.int64)
        counts.index_put_((of_row, cell), torch.ones_like(of_row), accumulate=True)
        most = cells[:, counts.argmax(dim=1)]
        return fold_numbers(most[1], most[0], folds=folds, generator=generator)[of_row]
    order = torch.randperm(len(y), generator=generator)
    fold = torch.empty(len(y), dtype=torch.int64)
    dealt = 0
    for cell in torch.stack([s, y]).unique(dim=1).T:
        members = order[((s == cell[0]) & (y == cell[1]))[order]]
        fold[members] = (
            torch.arange(len(members)) + dealt
        ) % folds  # goes on where the last cell ended: folds of equal size
        dealt += len(members)
    return fold


def in_order(held_out: Sequence[Shaped[Tensor, "*V _"]], fold: Int[Tensor, "n"]) -> Shaped[Tensor, "*V n"]:
    """Put what was said of each fold back into the order of the rows."""
    values = held_out[0].new_empty(*held_out[0].shape[:-1], len(fold))
    for number, each in enumerate(held_out):
        values[..., fold == number] = each
    return values
