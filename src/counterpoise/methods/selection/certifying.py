"""A tolerance with a guarantee: only models that rows certify which have neither taught nor chosen anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.fairness import non_dominated, of_groups
from counterpoise.fairness.certify import certify, rows_needed
from counterpoise.methods.selection.candidates import Candidates
from counterpoise.methods.selection.measuring import counts_of, judged_by
from counterpoise.methods.selection.settings import Judging, Population
from counterpoise.nn import Examples

JUDGES = ("train",)
"""Cross-fitted rows, which put the candidates in order."""

WITNESS = "validation"
"""The part that certifies."""


@dataclass(frozen=True, eq=False)
class Certificates:
    """Which models each replicate may choose [R, V]; and how many rows of each compared group and class
    [R, C, k] it would take to certify a model like the first in order whose bias is half the tolerance."""

    certified: Bool[Tensor, "R V"]
    needed: Int[Tensor, "R C k"]


def certificates(
    candidates: Candidates,
    data: Examples,
    members: Mapping[str, Int[Tensor, "R _"]],
    population: Population,
    judging: Judging,
    header: Mapping[str, Any],
) -> Certificates:
    """Test each replicate's candidates one after the other, from fair to unfair, until one is not certified.

    The candidates are those that no other one dominates in error and bias on cross-fitted rows, in the order of that
    bias; `selection.certify` is the probability that no certified model exceeds the tolerance (Learn then Test, arXiv
    2110.01052, with a fixed sequence). That rests on independent rows: where rows belong together, one row of each
    unit, drawn at random, certifies.

    Raises:
        InputError: validation rows have chosen settings (`frontiers.<name>.hold_out` is 0), or nothing is cross-fitted.
    """
    assert judging.certify is not None
    if not header["hold_out"] or JUDGES[0] not in candidates.score:
        raise InputError(
            f"selection.certify is {judging.certify:g}, but validation rows have chosen settings of the bases, or "
            "nothing is cross-fitted, expected frontiers.<name>.hold_out above 0 (0.2, say) and folds of 2 or more"
        )
    estimates, _ = judged_by(JUDGES, candidates, data, members, population, judging)
    certified = torch.zeros(estimates["err"].shape, dtype=torch.bool)
    needed = []
    for r, rows in enumerate(members[WITNESS]):
        error, bias = estimates["err"][r], estimates[judging.criterion][r]
        best = non_dominated(torch.stack([error, bias], dim=1)) & (bias <= judging.tolerance)
        order = best.nonzero().flatten()
        order = order[bias[order].argsort(stable=True)] if len(order) else bias.nan_to_num(torch.inf).argmin().view(1)
        apart = one_of_each(data.units(rows), len(rows))
        decided = counts_of(candidates, (WITNESS,), r, data, rows, population, order.tolist(), apart)
        counts = of_groups(decided, population.compared)
        tested = certify(counts, judging.criterion, judging.tolerance, level=judging.certify, order=range(len(order)))
        certified[r, order] = tested.certified
        needed.append(rows_needed(counts[0], judging.criterion, judging.tolerance, level=judging.certify))
    return Certificates(certified, torch.stack(needed))


def one_of_each(unit: Int[Tensor, "n"] | None, rows: int) -> Bool[Tensor, "n"]:
    """Return which rows to keep so that no two are of one unit, each row of a unit as likely; None keeps all."""
    if unit is None:
        return torch.ones(rows, dtype=torch.bool)
    order = np.random.default_rng(0).permutation(rows)
    _, first = np.unique(unit.numpy()[order], return_index=True)
    kept = torch.zeros(rows, dtype=torch.bool)
    kept[torch.from_numpy(order[first])] = True
    return kept
