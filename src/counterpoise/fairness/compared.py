"""Which groups gaps are taken of: a group of few rows is reported, but the gap to it is mostly chance.

Everything that compares groups takes them as `compared`, numbers on the axis G of counts, or None for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Integer, Num
from torch import Tensor

from counterpoise.errors import InputError

FEWEST = 2
"""Groups between which there is a gap."""

Compared = Sequence[int] | None
"""The groups that are compared, in order; None: all of them."""


def groups_compared(sizes: Integer[Tensor, "*batch G"], least: int) -> tuple[int, ...] | None:
    """Return the groups that have at least `least` rows in each of a batch, such as replicates; None if all have.

    Args:
        sizes: rows of each group.
    """
    enough = (sizes.flatten(0, -2) if sizes.ndim > 1 else sizes.unsqueeze(0)).amin(dim=0) >= least
    return None if bool(enough.all()) else tuple(enough.nonzero().flatten().tolist())


def group_sizes(group: Integer[Tensor, "*batch n"], groups: int) -> Integer[Tensor, "*batch G"]:
    """Count the rows of each group."""
    flat = group.long().reshape(-1, group.shape[-1])
    fused = flat + groups * torch.arange(len(flat)).unsqueeze(1)
    counts = torch.bincount(fused.flatten(), minlength=groups * len(flat))
    return counts.reshape(*group.shape[:-1], groups)


def of_groups(counts: Num[Tensor, "*batch G k k"], compared: Compared) -> Num[Tensor, "*batch C k k"]:
    """Return the counts of the groups that are compared.

    Raises:
        InputError: there are fewer than two.
    """
    if compared is None:
        return counts
    if len(compared) < FEWEST:
        raise InputError(f"{len(compared)} of {counts.shape[-3]} groups are compared, expected at least {FEWEST}")
    return counts.index_select(-3, torch.tensor(list(compared), device=counts.device))
