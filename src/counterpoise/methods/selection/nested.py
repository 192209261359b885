"""The luck of the luckiest: how far a bias is exceeded by what is chosen under it, by nested cross-validation.

Of thousands of models whose biases are estimated on few rows, the choice takes those that look fairer there than they
are. How much that comes to, rows tell that have not chosen: the choice is made again without each fold of them, and
what it takes is measured on the fold. On few rows one division says little, so there are several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int, Int64
from torch import Tensor

from counterpoise.fairness import Compared, underlying_bias
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.nn.random import generator

SHARES = tuple(1 - 0.05 * step for step in range(17))
"""Of the tolerance, which are tried as the bound of what is judged, from all of it down to a fifth."""


ENOUGH, MOST = 20_000, 5
"""Rows are divided anew until so many have been measured, but no more than so many times."""


@dataclass(frozen=True, eq=False)
class Folded:
    """What is known of every model from all rows but those of one fold, and from the fold; of every division.

    Attributes:
        divisions: F folds are those of so many divisions, one after the other.
        judged: error and biases, as the choice is made by, without the fold: metric → [F, R, V].
        counts: what the models decide of the fold's rows, of each sample S [F, R, S, V, G, k, k].
        compared: the groups that gaps are taken of.
    """

    divisions: int
    judged: Mapping[str, Float64[Tensor, "F R V"]]
    counts: Int64[Tensor, "F R S V G k k"]
    compared: Compared = None


def divisions_of(judging: int) -> int:
    """Return how many times rows are divided, of which so many judge."""
    return min(MOST, -(-ENOUGH // judging))


def folds_of_rows(rows: int, folds: int, divisions: int, unit: Int[Tensor, "n"] | None = None) -> Bool[Tensor, "F n"]:
    """Divide the rows of a data set into folds, the same in every replicate; those of one unit into one."""
    drawn = rows if unit is None else int(unit.max()) + 1
    fold = torch.randint(folds, (divisions, drawn), generator=generator(0, "nested folds"))
    fold = fold if unit is None else fold[:, unit]
    return torch.nn.functional.one_hot(fold, folds).bool().mT.flatten(0, 1)


def bounds(
    folded: Folded | None, place: Int[Tensor, "v"], criterion: str, tolerances: Sequence[float]
) -> Float64[Tensor, "T R"]:
    """Return what the judged bias of a replicate's choice has to be within, for new rows to be within each tolerance.

    It is the largest share of the tolerance under which what is chosen without a fold is, on a division's folds
    together and on average over divisions, within the tolerance; the least one if there is none, and all of it where
    that cannot be told.

    Args:
        place: the models to choose from, V of `folded`.
    """
    asked = torch.tensor(tolerances, dtype=torch.float64)
    if folded is None or criterion not in folded.judged or criterion not in COUNT_METRICS or len(place) < 2:
        return asked.unsqueeze(1).expand(-1, 1 if folded is None else folded.counts.shape[1])
    levels = asked.unsqueeze(1) * torch.tensor(SHARES, dtype=torch.float64)  # T, shares
    chosen = _chosen(folded.judged["err"][..., place], folded.judged[criterion][..., place], levels.flatten())
    counts = folded.counts[:, :, :, place].movedim(3, 2)  # F, R, v, S, G, k, k
    folds, replicates = chosen.shape[:2]
    taken = counts[torch.arange(folds).view(-1, 1, 1), torch.arange(replicates).view(1, -1, 1), chosen]
    divided = taken.unflatten(0, (folded.divisions, -1)).sum(dim=1).movedim(3, 2)  # divisions, R, S, T · shares, …
    measured = underlying_bias(criterion, divided, compared=folded.compared).mean(dim=0)  # R, T · shares
    within = measured.isnan() | (measured <= asked.repeat_interleave(len(SHARES)))
    first = within.unflatten(1, levels.shape).to(torch.int8).argmax(dim=2)  # R, T: shares fall
    none = ~within.unflatten(1, levels.shape).any(dim=2)
    first = first.masked_fill(none, len(SHARES) - 1)
    return levels.gather(1, first.T)


def _chosen(
    err: Float64[Tensor, "F R v"], bias: Float64[Tensor, "F R v"], levels: Float64[Tensor, "Q"]
) -> Int64[Tensor, "F R Q"]:
    """Return the model with the lowest error among those within each level; else the one with the lowest bias."""
    lost = err.isnan() | bias.isnan()
    size, order = bias.abs().masked_fill(lost, torch.inf).sort(dim=-1, stable=True)
    best = err.masked_fill(lost, torch.inf).gather(-1, order).cummin(dim=-1).indices
    last = torch.searchsorted(size, levels.expand(*size.shape[:2], -1).contiguous(), right=True) - 1
    return order.gather(-1, best.gather(-1, last.clamp(min=0)))
