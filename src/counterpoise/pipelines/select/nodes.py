"""From the scores of every model on validation and test rows to the models that the tolerance chooses."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.catalogue import CHOSEN, CONSTANT, UNREPAIRED
from counterpoise.config.parameters import Dataset, Seeds, Selection
from counterpoise.errors import InputError
from counterpoise.fairness import choose, shortfall
from counterpoise.methods.frontier_results import EVALUATED, HEAD, RULE
from counterpoise.methods.selection.candidates import Candidates, constant, families, ours, theirs
from counterpoise.methods.selection.certifying import Certificates, certificates
from counterpoise.methods.selection.measuring import AXES, JUDGED, judged_counts, measure
from counterpoise.methods.selection.nested import Folded, bounds
from counterpoise.methods.selection.settings import Names
from counterpoise.pipelines.shared.arrays import LEARNT, examples, origin, require_seeds, rows
from counterpoise.pipelines.shared.compared import population_of
from counterpoise.pipelines.shared.predictions import joined, predictions_of
from counterpoise.reporting.wording import shortfall_symbol

LOG = logging.getLogger(__name__)

UNBOUND = (UNREPAIRED, CONSTANT)
"""Families of which no tolerance is asked, only a low error."""

ABSENT = -1
"""The number of the chosen model where a family has none."""

TOLERANCES = (0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12, 0.15)
"""What the choice is made under, beside the tolerance that was asked for, to show what another one would cost."""


def judge(
    frontier_outcomes: Checkpoint,
    peer_outcomes: Checkpoint,
    samples: pd.DataFrame,
    splits: Checkpoint,
    dataset: Dataset,
    selection: Selection,
    seeds: Seeds,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, Checkpoint, pd.DataFrame]:
    """Measure every model on validation and test, and choose one of each family in every replicate, on validation.

    Families: `chosen` may take any model of the frontier, `chosen_<method>` one of that method, and each peer is chosen
    from its settings by the same rule. `unrepaired`, the best base as it is, and `constant`, which says the same of
    everyone, have the lowest error: no tolerance is asked of them.

    Returns:
        The grid: `method, variant, seed, split, metric, value` and the settings, for error and biases, as measured on
        validation and test and, in the split `judged`, as they are judged; the selection:
        one row per family and seed; the same choice under each of `TOLERANCES`, for every bias that frontiers are drawn
        against; the chosen models' scores and predictions of the test rows, by family; and how they predict the rows
        that they are judged by: `family, seed, s, y, prediction, rows`.

    A family of which every model diverged in a replicate has no choice there, and a warning says so.

    Raises:
        InputError: no model meets the tolerance and `selection.strict` is on; all models of ours diverged in one
            replicate; the rows that a replicate may judge by lack a class or group that the criterion needs.
    """
    require_seeds(seeds, splits=splits, frontier_outcomes=frontier_outcomes, peer_outcomes=peer_outcomes)
    data = examples(samples, torch.empty(len(samples), 0))  # features are not needed
    population = population_of(samples, splits, dataset)
    members = {part: rows(splits, part) for part in ("validation", "test")} | {"train": rows(splits, *LEARNT)}
    thresholds = frontier_outcomes.header["thresholds"]
    grid, chosen, sweep = [], [], []
    outcomes: dict[str, Tensor] = {}
    judged: list[pd.DataFrame] = []
    constants = constant(frontier_outcomes, len(dataset.classes))
    for candidates in (ours(frontier_outcomes), constants, theirs(peer_outcomes, thresholds)):
        measured, folded = measure(candidates, data, members, population, selection)
        grid.append(_grid(candidates, measured, seeds))
        proofs = None
        if selection.certify is not None and next(iter(candidates.settings.values()))["own"]:
            proofs = certificates(candidates, data, members, population, selection, frontier_outcomes.header)
            _say_what_it_takes(proofs, population, selection)
        for family, names in families(candidates).items():
            place = torch.tensor([list(candidates.settings).index(name) for name in names])
            (bound,) = _bounds(family, place, folded, selection.criterion, [selection.tolerance], seeds)
            picked = _picked(place, measured, selection.criterion, bound)
            certified = None
            if proofs is not None:
                picked, certified = _certified(place, picked, measured, proofs)
            _say_where_absent(family, picked, seeds)
            sweep += _sweep(family, place, measured, folded, seeds)
            chosen += _rows(family, candidates.settings, place, picked, measured, bound, selection, seeds, certified)
            counts = judged_counts(candidates, picked, data, members, population)
            judged += [_counted(family, seeds.root[r], each) for r, each in enumerate(counts) if picked[r] != ABSENT]
            each, absent = range(len(picked)), (picked == ABSENT).unsqueeze(1)
            scores = candidates.score["test"][each, candidates.scored[picked]]
            decisions = torch.cat([candidates.prediction("test", r, [v]) for r, v in enumerate(picked.tolist())])
            outcomes[f"{family}.score"] = scores.masked_fill(absent, torch.nan)
            outcomes[f"{family}.prediction"] = decisions.masked_fill(absent, -1)
    frame = pd.DataFrame(chosen)
    _say_whether_met(frame, selection)
    return (
        pd.concat(grid, ignore_index=True),
        frame,
        pd.DataFrame(sweep),
        Checkpoint(outcomes, frontier_outcomes.header | {"variants": {}}),
        pd.concat(judged, ignore_index=True),
    )


def _counted(family: str, seed: int, counts: Int[Tensor, "G k k"]) -> pd.DataFrame:
    places = counts.nonzero()
    columns = dict(zip(("s", "y", "prediction"), places.T.numpy(), strict=True))
    return pd.DataFrame(columns | {"rows": counts[tuple(places.T)].numpy()}).assign(family=family, seed=seed)[
        ["family", "seed", "s", "y", "prediction", "rows"]
    ]


def collect(
    selection_table: pd.DataFrame,
    chosen_outcomes: Checkpoint,
    frontier_models: Checkpoint,
    samples: pd.DataFrame,
    splits: Checkpoint,
) -> tuple[Checkpoint, pd.DataFrame]:
    """Return the chosen models of each family of ours, and the contract's predictions of all families but `constant`.

    Returns:
        `<family>.<seed>.head` [q + 1] on a base, or `.rule` [k·G + k, k]; the header's `models` says of each family and
        seed the variant, its base and its threshold. A seed without a choice is absent.
    """
    models: dict[str, dict[str, Any]] = {}
    tensors = {}
    seeds = splits.header["seeds"]
    for choice in selection_table[selection_table["own"] & selection_table["variant"].notna()].to_dict("records"):
        family, seed = str(choice["family"]), int(choice["seed"])
        for kind in (HEAD, RULE):
            if (stored := frontier_models.tensors.get(f"{choice['model']}.{kind}")) is not None:
                tensors[f"{family}.{seed}.{kind}"] = stored[seeds.index(seed)].clone()
        models.setdefault(family, {})[str(seed)] = {name: choice[name] for name in ("variant", "base", "threshold")}
    data, test = examples(samples, torch.empty(len(samples), 0)), rows(splits, "test")
    frames = []
    for family in dict.fromkeys(selection_table["family"]):
        if family == CONSTANT:  # known without looking at rows, and some metrics of it are undefined
            continue
        score, prediction = (chosen_outcomes.tensors[f"{family}.{kind}"] for kind in ("score", "prediction"))
        frames += [
            predictions_of(data, family, family, seed, test[r], score[r], prediction[r])
            for r, seed in enumerate(seeds)
            if not score[r].isnan().any()
        ]
    settings = {
        family: dict.fromkeys(("alpha", "rank", "constraint", "strength")) | {"method": family} for family in models
    }
    header = as_header(architecture="chosen", variants=settings, models=models, **origin(frontier_models))
    return Checkpoint(tensors, header), joined(frames)


def _grid(candidates: Candidates, measured: Mapping[str, Mapping[str, Tensor]], seeds: Seeds) -> pd.DataFrame:
    columns = ("method", "alpha", "rank", "constraint", "strength", "base", "weight_decay", "threshold")
    settings = pd.DataFrame(
        [{name: model.get(name) for name in columns} for model in candidates.settings.values()],
        index=pd.Index(list(candidates.settings), name="variant"),
    ).astype(
        {"base": "str", "alpha": "float64", "rank": "Int64", "constraint": "str", "strength": "float64"}
        | {"weight_decay": "float64", "threshold": "float64"}
    )
    index = pd.MultiIndex.from_product([seeds.root, list(candidates.settings)], names=["seed", "variant"])
    frames = [
        pd.DataFrame({"value": values.flatten().numpy()}, index=index).reset_index().assign(split=part, metric=metric)
        for part in (*EVALUATED, JUDGED)
        for metric, values in measured[part].items()
        if part != JUDGED or metric in ("err", *AXES)  # where the criterion is a quality, what it lacks is judged
    ]
    joined = pd.concat(frames, ignore_index=True).join(settings, on="variant")
    first = ["method", "variant", "seed", "split", "metric", "value"]
    return joined[[*first, *(name for name in settings.columns if name not in first)]]


def _bounds(
    family: str,
    place: Int[Tensor, "v"],
    folded: Folded | None,
    criterion: str,
    tolerances: Sequence[float],
    seeds: Seeds,
) -> Float64[Tensor, "T R"]:
    """Return what the judged bias of a family's choice has to be within in each replicate, for each tolerance."""
    if family in UNBOUND:
        return torch.full((len(tolerances), len(seeds.root)), math.inf, dtype=torch.float64)
    return bounds(folded, place, criterion, tolerances).expand(-1, len(seeds.root))


def _picked(
    place: Int[Tensor, "v"], measured: Mapping[str, Mapping[str, Tensor]], bias: str, bound: Float64[Tensor, "R"]
) -> Int[Tensor, "R"]:
    """Return what each replicate chooses among a family's models, whose numbers are `place`."""
    if len(place) == 1:  # no choice: it is there unless it diverged, whatever became of it in other replicates
        lost = measured["test"]["err"][:, int(place)].isnan()
        return place.expand(len(lost)).masked_fill(lost, ABSENT)
    judged = measured[JUDGED]
    best, _ = choose(judged["err"][:, place], judged[bias][:, place], bound)
    return place[best].masked_fill(best < 0, ABSENT)


def _certified(
    place: Int[Tensor, "v"],
    picked: Int[Tensor, "R"],
    measured: Mapping[str, Mapping[str, Tensor]],
    proofs: Certificates,
) -> tuple[Int[Tensor, "R"], Bool[Tensor, "R"]]:
    """Return the certified model with the lowest error of each replicate, where there is one, else what was picked."""
    error = measured[JUDGED]["err"][:, place].masked_fill(~proofs.certified[:, place], torch.inf)
    there = error.isfinite().any(dim=1)
    return torch.where(there, place[error.argmin(dim=1)], picked), there


def _say_what_it_takes(proofs: Certificates, population: Names, selection: Selection) -> None:
    """Warn of replicates in which nothing is certified, and of how many rows it would take."""
    without = ~proofs.certified.any(dim=1)
    if not without.any():
        return
    rows = proofs.needed[without].amax(dim=0)
    groups = range(len(population.group_names)) if population.compared is None else population.compared
    LOG.warning(
        "selection.certify: no model is certified to keep %s ≤ %g with a probability of %g in %d of %d replicates; a "
        "model of half that bias would take %s validation rows",
        shortfall_symbol(selection.criterion),
        selection.tolerance,
        selection.certify,
        int(without.sum()),
        len(without),
        ", ".join(
            f"{int(rows[place, label]):,} of {population.group_names[group]} in {name}"
            for place, group in enumerate(groups)
            for label, name in enumerate(population.classes)
        ),
    )


def _rows(
    family: str,
    settings: Mapping[str, Mapping[str, Any]],
    place: Int[Tensor, "v"],
    picked: Int[Tensor, "R"],
    measured: Mapping[str, Mapping[str, Tensor]],
    bound: Float64[Tensor, "R"],
    selection: Selection,
    seeds: Seeds,
    certified: Bool[Tensor, "R"] | None,
) -> list[dict[str, Any]]:
    names = list(settings)
    of_all = settings[names[int(place[0])]]
    choices = []
    for r, v in enumerate(picked.tolist()):
        model = settings[names[v]] if v != ABSENT else {}

        def value(part: str, name: str, r: int = r, v: int = v) -> float:
            return float(measured[part][name][r, v]) if v != ABSENT else math.nan

        judged = value(JUDGED, selection.criterion)
        bias = float(shortfall(selection.criterion, torch.tensor(value("test", selection.criterion))))
        choices.append(
            {
                "family": family,
                "seed": seeds.root[r],
                "variant": names[v] if v != ABSENT else None,
                **{name: model.get(name) for name in ("method", "base", "constraint", "strength", "weight_decay")},
                "model": model.get("model"),
                "threshold": model.get("threshold"),
                "own": of_all["own"],
                "needs_group": of_all["needs_group"],
                "criterion": selection.criterion,
                "tolerance": selection.tolerance,
                "bound": None if family in UNBOUND else float(bound[r]),
                "validation_err": value(JUDGED, "err"),
                "validation_bias": judged,
                "meets": judged <= selection.tolerance,
                "test_err": value("test", "err"),
                "test_bias": bias,
                "holds": bias <= selection.tolerance,
                "certified": None if certified is None or family in UNBOUND else bool(certified[r]),
            }
        )
    return choices


def _sweep(
    family: str,
    place: Int[Tensor, "v"],
    measured: Mapping[str, Mapping[str, Tensor]],
    folded: Folded | None,
    seeds: Seeds,
) -> list[dict[str, Any]]:
    """Return what the family's models come to on test if they are chosen under one tolerance after the other."""
    choices = []
    for bias in AXES:
        for tolerance, bound in zip(TOLERANCES, _bounds(family, place, folded, bias, TOLERANCES, seeds), strict=True):
            picked = _picked(place, measured, bias, bound)
            absent, each = picked == ABSENT, range(len(picked))
            judged = measured[JUDGED][bias][each, picked].masked_fill(absent, torch.nan)
            err, gap = (measured["test"][name][each, picked].masked_fill(absent, torch.nan) for name in ("err", bias))
            columns = zip(seeds.root, (judged <= tolerance).tolist(), err.tolist(), gap.tolist(), strict=True)
            choices += [
                {
                    "family": family,
                    "criterion": bias,
                    "tolerance": tolerance,
                    "seed": seed,
                    "meets": meets,
                    "test_err": test_err,
                    "test_bias": test_bias,
                }
                for seed, meets, test_err, test_bias in columns
            ]
    return choices


def _say_where_absent(family: str, picked: Int[Tensor, "R"], seeds: Seeds) -> None:
    """Warn of replicates in which a family has no model to choose; raise if it is the family of all our models."""
    without = [seed for seed, v in zip(seeds.root, picked.tolist(), strict=True) if v == ABSENT]
    if without and family == CHOSEN:
        raise InputError(
            f"selection: all models diverged in a replicate, with nothing left to choose for the seeds {without}, "
            "expected one at least"
        )
    if without:
        LOG.warning("%s: all of its models diverged, so there is no choice for the seeds %s", family, without)


def _say_whether_met(chosen: pd.DataFrame, selection: Selection) -> None:
    """Say so where no model of ours is within the tolerance; raise if `strict`."""
    choices = chosen[chosen["family"] == CHOSEN]
    if choices["meets"].all():
        return
    missed = choices[~choices["meets"]]
    nearest = missed.iloc[int(missed["validation_bias"].argmin())]
    message = (
        f"selection: no model has {shortfall_symbol(selection.criterion)} ≤ {selection.tolerance:g} on validation in "
        f"{len(missed)} of {len(choices)} replicates; the closest is {nearest['variant']} with "
        f"{nearest['validation_bias']:.3f}, {nearest['validation_bias'] - selection.tolerance:+.3f} from the tolerance"
    )
    if selection.strict:
        raise InputError(f"{message}, expected one (selection.strict)")
    LOG.warning(message)
