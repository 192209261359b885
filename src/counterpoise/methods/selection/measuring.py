"""Error and bias of every candidate: as measured on each part, and the estimates that decide the choice."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.fairness import (
    Compared,
    Neighbours,
    UndefinedMetricWarning,
    auc,
    counts_above,
    counts_within,
    mean_shortfall,
    shortfall,
    underlying_bias,
    untested,
)
from counterpoise.fairness.metrics import COUNT_METRICS, PERCENT
from counterpoise.methods.frontier_results import CROSS_FITTED, EVALUATED
from counterpoise.methods.selection.candidates import Candidates, neighbours
from counterpoise.methods.selection.nested import Folded, divisions_of, folds_of_rows
from counterpoise.methods.selection.settings import Judging, Population
from counterpoise.nn import Examples

AXES = ("delta_eo", "delta_dp")
"""The biases that frontiers and hypervolumes are drawn against."""

JUDGED = "judged"
"""Not a part of the data, but what the choice is made by."""

JUDGED_BY = ("validation", CROSS_FITTED)

AT_ONCE = 256
"""Candidates whose decisions are held together."""

AUC = "auc"
"""The one criterion that needs scores."""


def measure(
    candidates: Candidates,
    data: Examples,
    members: Mapping[str, Int[Tensor, "R _"]],
    population: Population,
    judging: Judging,
) -> tuple[dict[str, dict[str, Float[Tensor, "R V"]]], Folded | None]:
    """Return part → metric → [R, V]: the metrics on validation and on test, and what the choice is made by; and that
    without each of `judging.nested_folds`.

    That is the part `judged`: the error in %, and for each bias the estimated `fairness.shortfall`. It is taken from
    the validation rows and, where candidates were cross-fitted, from the training rows, each classified by a model that
    was not trained on it.

    Args:
        members: part → rows, of all parts that candidates may have predictions of.

    A model that diverged is NaN.

    Raises:
        InputError: the rows that a replicate may judge by lack a class or group that the criterion needs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # of a grid, some say the same of everyone
        return _measured(candidates, data, members, population, judging)


def _measured(
    candidates: Candidates,
    data: Examples,
    members: Mapping[str, Int[Tensor, "R _"]],
    population: Population,
    judging: Judging,
) -> tuple[dict[str, dict[str, Float[Tensor, "R V"]]], Folded | None]:
    names = dict.fromkeys(("err", *AXES, judging.criterion))
    judged, folded = judged_by(JUDGED_BY, candidates, data, members, population, judging)
    measured = {JUDGED: judged}
    for part in EVALUATED:
        lost = candidates.diverged(part)
        counts = torch.stack(
            [
                _counts(candidates, (part,), r, data, rows, torch.ones(1, len(rows), dtype=torch.bool), population)[0]
                for r, rows in enumerate(members[part])
            ]
        )
        measured[part] = {
            name: _values(name, counts, candidates, data, part, members[part], population).masked_fill(lost, torch.nan)
            for name in names
        }
    return measured, folded


def _values(
    name: str,
    counts: Int64[Tensor, "R V G k k"],
    candidates: Candidates,
    data: Examples,
    part: str,
    rows: Int[Tensor, "R m"],
    population: Population,
) -> Float64[Tensor, "R V"]:
    if name == AUC:
        return auc(data.y[rows].unsqueeze(1), candidates.score[part].nan_to_num())[:, candidates.scored]
    return COUNT_METRICS[name](counts, compared=population.compared)


def judged_by(
    judges_of: Sequence[str],
    candidates: Candidates,
    data: Examples,
    members: Mapping[str, Int[Tensor, "R _"]],
    population: Population,
    judging: Judging,
) -> tuple[dict[str, Float64[Tensor, "R V"]], Folded | None]:
    """Return error and biases as the rows of some parts judge them, as far as candidates have scores of them.

    Returns:
        Metric → [R, V], of which a model that diverged is NaN; and the same without each of `judging.nested_folds`,
        unless they are 0.
    """
    parts = [part for part in judges_of if part in candidates.score]
    rows = torch.cat([members[part] for part in parts], dim=1)
    lost = torch.stack([candidates.diverged(part) for part in parts]).any(dim=0)
    pooled = judging.validation == "pooled" or (judging.validation == "auto" and CROSS_FITTED not in parts)
    if pooled:
        judges = untested(rows, members["test"])  # whose rows, which replicate chooses, row
        lost = lost.any(dim=0).expand_as(lost)
    else:
        judges = torch.ones(len(rows), 1, rows.shape[1], dtype=torch.bool)
    divisions = divisions_of(rows.shape[1] * (len(rows) if pooled else 1)) if judging.nested_folds else 1
    folds = folds_of_rows(len(data.y), max(1, judging.nested_folds), divisions, data.unit)
    each = []
    for r in range(len(rows)):
        inside = judges[r] & folds[:, rows[r]].unsqueeze(1)  # F, T, m
        by_fold = _counts(candidates, parts, r, data, rows[r], inside.flatten(0, 1), population)
        each.append(by_fold.unflatten(0, inside.shape[:2]))
    in_folds = torch.stack(each, dim=2 if pooled else 1)  # F, R, S, V, G, k, k
    counts = in_folds[: len(folds) // divisions].sum(dim=0)
    beside = neighbours(candidates.settings, judging.smoothing)
    judged = _judged(judging.criterion, counts, beside, population.compared)
    if judging.criterion == AUC:
        score = torch.cat([candidates.score[part] for part in parts], dim=2).nan_to_num()
        areas = torch.stack(
            [
                torch.stack([auc(data.y[rows[r]], scores, mask=mask) for mask in judges[r]])
                for r, scores in enumerate(score)
            ]
        )[..., candidates.scored]
        judged[AUC] = mean_shortfall(shortfall(AUC, areas.transpose(0, 1) if pooled else areas), beside)
    _require_defined(judged[judging.criterion].isnan() & ~lost, lost, counts, population, judging.criterion)
    judged = {name: values.masked_fill(lost, torch.nan) for name, values in judged.items()}
    if not judging.nested_folds:
        return judged, None
    without = [_judged(judging.criterion, counts - one, beside, population.compared) for one in in_folds]
    stacked = {name: torch.stack([one[name] for one in without]).masked_fill(lost, torch.nan) for name in without[0]}
    return judged, Folded(divisions, stacked, in_folds, population.compared)


def _judged(
    criterion: str, counts: Int64[Tensor, "R S V G k k"], beside: Neighbours | None, compared: Compared
) -> dict[str, Float64[Tensor, "R V"]]:
    """Return the error and the biases that counts tell, the criterion among them unless it needs scores."""
    biases = [name for name in dict.fromkeys((*AXES, criterion)) if name != AUC]
    errors = PERCENT * mean_shortfall(shortfall("err", COUNT_METRICS["err"](counts)))
    return {"err": errors} | {name: underlying_bias(name, counts, beside, compared=compared) for name in biases}


def judged_counts(
    candidates: Candidates,
    picked: Int[Tensor, "R"],
    data: Examples,
    members: Mapping[str, Int[Tensor, "R _"]],
    population: Population,
) -> Int64[Tensor, "R G k k"]:
    """Count what one model of each replicate decides of the rows that the replicate judges by."""
    parts = [part for part in JUDGED_BY if part in candidates.score]
    rows = torch.cat([members[part] for part in parts], dim=1)
    return torch.stack(
        [counts_of(candidates, parts, r, data, rows[r], population, [v])[0] for r, v in enumerate(picked.tolist())]
    )


def counts_of(
    candidates: Candidates,
    parts: Sequence[str],
    r: int,
    data: Examples,
    rows: Int[Tensor, "m"],
    population: Population,
    places: Sequence[int],
    counted: Bool[Tensor, "m"] | None = None,
) -> Int64[Tensor, "v G k k"]:
    """Count what some models of one replicate decide of rows, those of `parts` one after the other; of all or some."""
    every = torch.ones(len(rows), dtype=torch.bool) if counted is None else counted
    return _counts(candidates, parts, r, data, rows, every.unsqueeze(0), population, places)[0]


def _require_defined(
    undefined: Bool[Tensor, "R V"],
    lost: Bool[Tensor, "R V"],
    counts: Int64[Tensor, "R S V G k k"],
    population: Population,
    criterion: str,
) -> None:
    """Raise InputError if some models did not diverge, but the criterion is undefined for all of them."""
    for r in ((undefined | lost).all(dim=1) & undefined.any(dim=1)).nonzero().flatten().tolist():
        cells = counts[r, :, 0].sum(dim=(0, -1))  # G, k
        absent = [
            f"{population.classes[label]!r} among {population.group_names[group]!r}"
            for group, label in (cells == 0).nonzero().tolist()
            if population.compared is None or group in population.compared
        ]
        lacking = f"no row of {' nor of '.join(absent)}" if absent else "no model that it is defined for"
        raise InputError(
            f"{population.title}: selection.criterion is {criterion!r}, but there is {lacking} on the validation rows "
            "that a replicate is judged by, expected rows of every class in every group"
        )


def _counts(
    candidates: Candidates,
    parts: Sequence[str],
    r: int,
    data: Examples,
    rows: Int[Tensor, "m"],
    judges: Bool[Tensor, "T m"],
    population: Population,
    places: Sequence[int] | None = None,
) -> Int64[Tensor, "T V G k k"]:
    """Count what one replicate's candidates, all or some, decide of its rows within each subset; a diverged one
    predicts 0.

    Of thresholds on scores no decision is formed; others are held for a few hundred candidates at a time.
    """
    y, s = data.y[rows], data.s[rows]
    places = range(len(candidates.settings)) if places is None else places
    if not candidates.decided and len(population.classes) == 2:
        scored, models = candidates.scored[places].unique(return_inverse=True)
        score = torch.cat([candidates.scores(part, r, scored) for part in parts], dim=1)
        return counts_above(y, s, score, models, candidates.cut[places], judges, groups=len(population.group_names))
    counts = []
    for start in range(0, len(places), AT_ONCE):
        chunk = places[start : start + AT_ONCE]
        decision = torch.cat([candidates.prediction(part, r, chunk) for part in parts], dim=1).clamp(min=0)
        counts.append(counts_within(y, s, decision, judges, **_sizes(population)))
    return torch.cat(counts, dim=1)


def _sizes(population: Population) -> dict[str, int]:
    return {"groups": len(population.group_names), "classes": len(population.classes)}
