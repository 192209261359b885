"""From the scores of every model on validation and test rows to the models that the tolerance chooses."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.fairness import choose, counts_within, others_counts, underlying_bias
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.nn import Examples, Factors, HeadBank
from counterpoise.params import Dataset, Seeds, Selection
from counterpoise.pipelines.arrays import examples, origin, require_seeds, rows
from counterpoise.pipelines.heads import CHOSEN, PRETRAINED, pretrained_head, write_heads
from counterpoise.pipelines.predictions import predict, predictions_of
from counterpoise.storage import Checkpoint

LOG = logging.getLogger(__name__)

OURS = ("tl", "svd", "win")
PLAIN = "tl"
"""The family of the dense heads without penalty and threshold: no tolerance is asked of it, only a low error."""

AXES = ("delta_eo", "delta_dp")
"""The biases that frontiers and hypervolumes are drawn against."""

TOLERANCES = (0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12, 0.15)
"""What the choice is made under, beside the tolerance that was asked for, to show what another one would cost."""


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Models that can be chosen: settings by name, predictions in each part, and the scores of the test rows.

    Models that differ in their threshold alone share a row of scores: `scored` says which row is whose.
    """

    settings: dict[str, dict[str, Any]]
    prediction: dict[str, Int[Tensor, "R V _"]]
    score: Float[Tensor, "R H t"]
    scored: list[int]


def judge(
    frontier_outcomes: Checkpoint,
    peer_outcomes: Checkpoint,
    samples: pd.DataFrame,
    splits: Checkpoint,
    dataset: Dataset,
    selection: Selection,
    seeds: Seeds,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, Checkpoint]:
    """Measure every model on validation and test, and choose one of each family in every replicate, on validation.

    Families: `chosen` may take any head of the grid, `chosen_tl`, `chosen_svd` and `chosen_win` one of that method, and
    each peer is chosen from its own settings by the same rule. `tl`, the unpenalised head, has the lowest error.

    Returns:
        The grid: `method, variant, seed, split, metric, value` and the settings, for error and biases; the selection:
        one row per family and seed; the same choice under each of `TOLERANCES`, for every bias that frontiers are drawn
        against; the chosen models' scores and predictions of the test rows, by family.

    Raises:
        InputError: no model meets the tolerance and `selection.strict` is on.
    """
    require_seeds(seeds, splits=splits, frontier_outcomes=frontier_outcomes, peer_outcomes=peer_outcomes)
    data = examples(samples, torch.empty(len(samples), 0))  # features are not needed
    members = {part: rows(splits, part) for part in ("validation", "test")}
    sources = [_ours(frontier_outcomes), _theirs(peer_outcomes)]
    grid, chosen, sweep = [], [], []
    kept: dict[str, Tensor] = {}
    for candidates in sources:
        measured = _measure(candidates, data, members, dataset, selection)
        grid.append(_grid(candidates, measured, seeds))
        judged = measured["judged"]
        for family, names in _families(candidates).items():
            place = torch.tensor([list(candidates.settings).index(name) for name in names])
            limit = math.inf if family == PLAIN else selection.tolerance
            picked = place[choose(judged["err"][:, place], judged[selection.criterion][:, place], limit)[0]]
            sweep += _sweep(family, place, judged, measured["test"], seeds)
            chosen += _rows(family, candidates, picked, judged, measured["test"], selection, seeds)
            each, shared = range(len(picked)), torch.tensor(candidates.scored)[picked]
            kept[f"{family}.score"] = candidates.score[each, shared]
            kept[f"{family}.prediction"] = candidates.prediction["test"][each, picked]
    frame = pd.DataFrame(chosen)
    _say_whether_met(frame, selection)
    return (
        pd.concat(grid, ignore_index=True),
        frame,
        pd.DataFrame(sweep),
        Checkpoint(kept, frontier_outcomes.header | {"variants": {}}),
    )


def collect(
    selection_table: pd.DataFrame,
    chosen_outcomes: Checkpoint,
    frontier_heads: Checkpoint,
    pretrained: Checkpoint,
    samples: pd.DataFrame,
    splits: Checkpoint,
    features: Checkpoint,
    dataset: Dataset,
) -> tuple[Checkpoint, pd.DataFrame]:
    """Return the chosen heads, dense, with their thresholds in their biases; and the contract's predictions.

    Beside the chosen models stand the pretrained head and the unpenalised one, `tl`.
    """
    members, data = rows(splits, "test"), examples(samples, features.tensors["features"])
    seeds = splits.header["seeds"]
    heads, known = {}, list(frontier_heads.header["variants"])
    for family, own in selection_table[selection_table["own"]].groupby("family", sort=False):
        place = [known.index(name) for name in own["head"]]
        weight = torch.stack([frontier_heads.tensors["weight"][r, v] for r, v in enumerate(place)])
        bias = torch.stack([frontier_heads.tensors["bias"][r, v] for r, v in enumerate(place)])
        shift = torch.tensor(own["threshold"].to_numpy(), dtype=bias.dtype)
        heads[str(family)] = Factors(weight, bias - torch.stack([torch.zeros_like(shift), shift], dim=-1))
    weight, bias = pretrained_head(pretrained)
    bank = HeadBank({PRETRAINED: Factors(first=weight, bias=bias)})
    models = [(PRETRAINED, PRETRAINED, 0)]
    frames = [predict(bank, models, data, members, seeds=seeds, classes=len(dataset.classes))]
    for family in dict.fromkeys(selection_table["family"]):
        score, prediction = (chosen_outcomes.tensors[f"{family}.{kind}"] for kind in ("score", "prediction"))
        frames += [
            predictions_of(data, family, family, seed, members[r], score[r], prediction[r])
            for r, seed in enumerate(seeds)
        ]
    settings = {
        family: dict.fromkeys(("alpha", "rank", "constraint", "strength")) | {"method": family} for family in heads
    }
    return write_heads(heads, settings, **origin(frontier_heads)), pd.concat(frames, ignore_index=True)


def _ours(outcomes: Checkpoint) -> _Candidates:
    """Every head of the grid with every threshold: a threshold costs a comparison."""
    header = outcomes.header
    thresholds = [float(value) for value in header["thresholds"]]
    settings = {
        f"{name}{f'_t{threshold:+g}' if threshold else ''}": own | {"head": name, "threshold": threshold, "own": True}
        for name, own in header["variants"].items()
        for threshold in thresholds
    }
    prediction = {}
    for part in ("validation", "test"):
        raw = outcomes.tensors[f"{part}.score"]
        cuts = torch.tensor(thresholds, dtype=raw.dtype).sigmoid()
        diverged = raw.isnan().any(dim=-1, keepdim=True)
        prediction[part] = (
            (raw.unsqueeze(2) > cuts[:, None]).to(torch.int8).masked_fill(diverged.unsqueeze(2), -1).flatten(1, 2)
        )
    heads = range(len(header["variants"]))
    scored = [head for head in heads for _ in thresholds]
    return _Candidates(settings, prediction, outcomes.tensors["test.score"], scored)


def _theirs(outcomes: Checkpoint) -> _Candidates:
    settings = {
        name: own | {"head": None, "threshold": None, "own": False} for name, own in outcomes.header["variants"].items()
    }
    return _Candidates(
        settings,
        {part: outcomes.tensors[f"{part}.prediction"].to(torch.int8) for part in ("validation", "test")},
        outcomes.tensors["test.score"],
        list(range(len(settings))),
    )


def _families(candidates: _Candidates) -> dict[str, list[str]]:
    by_method: dict[str, list[str]] = {}
    for name, own in candidates.settings.items():
        by_method.setdefault(own["method"], []).append(name)
    if not next(iter(candidates.settings.values()))["own"]:
        return by_method
    plain = [
        name
        for name in by_method.get(PLAIN, [])
        if candidates.settings[name]["constraint"] is None and not candidates.settings[name]["threshold"]
    ]
    return (
        {CHOSEN: list(candidates.settings)}
        | {f"{CHOSEN}_{method}": by_method[method] for method in OURS if method in by_method}
        | ({PLAIN: plain} if plain else {})
    )


def _measure(
    candidates: _Candidates, data: Examples, members: Mapping[str, Tensor], dataset: Dataset, selection: Selection
) -> dict[str, dict[str, Float[Tensor, "R V"]]]:
    """Return part → metric → [R, V]; the part `judged` is what the choice is made by."""
    sizes = {"groups": len(dataset.groups), "classes": len(dataset.classes)}
    counts: dict[str, Tensor] = {}
    lost = {part: (candidates.prediction[part][:, :, :1] < 0).squeeze(-1) for part in members}
    # A model that diverged predicts nothing; it is counted as if it did, and its figures are struck out at the end.
    predicted = {part: candidates.prediction[part].clamp(min=0) for part in members}
    for part, own in members.items():
        everything = torch.ones(1, own.shape[1], dtype=torch.bool)
        counts[part] = torch.stack(
            [
                counts_within(data.y[own[r]], data.s[own[r]], predicted[part][r], everything, **sizes)[0]
                for r in range(len(own))
            ]
        )
    judged = counts["validation"].unsqueeze(1)
    if selection.validation == "pooled":
        rows_ = members["validation"]
        judged = others_counts(data.y[rows_], data.s[rows_], rows_, predicted["validation"], members["test"], **sizes)
        lost["judged"] = lost["validation"].any(dim=0).expand_as(lost["validation"])
    else:
        lost["judged"] = lost["validation"]
    measured = {
        part: {name: COUNT_METRICS[name](own) for name in dict.fromkeys(("err", *AXES, selection.criterion))}
        for part, own in counts.items()
    }
    measured["judged"] = {
        "err": COUNT_METRICS["err"](judged).mean(dim=1),
        **{name: underlying_bias(name, judged) for name in dict.fromkeys((*AXES, selection.criterion))},
    }
    return {
        part: {name: values.masked_fill(lost[part], torch.nan) for name, values in own.items()}
        for part, own in measured.items()
    }


def _grid(candidates: _Candidates, measured: Mapping[str, Mapping[str, Tensor]], seeds: Seeds) -> pd.DataFrame:
    columns = ("method", "alpha", "rank", "constraint", "strength", "weight_decay", "threshold")
    settings = pd.DataFrame(
        [{name: own.get(name) for name in columns} for own in candidates.settings.values()],
        index=pd.Index(list(candidates.settings), name="variant"),
    ).astype(
        {"alpha": "float64", "rank": "Int64", "constraint": "str", "strength": "float64"}
        | {"weight_decay": "float64", "threshold": "float64"}
    )
    index = pd.MultiIndex.from_product([seeds.root, list(candidates.settings)], names=["seed", "variant"])
    frames = [
        pd.DataFrame({"value": values.flatten().numpy()}, index=index).reset_index().assign(split=part, metric=metric)
        for part in ("validation", "test")
        for metric, values in measured[part].items()
    ]
    joined = pd.concat(frames, ignore_index=True).join(settings, on="variant")
    first = ["method", "variant", "seed", "split", "metric", "value"]
    return joined[[*first, *(name for name in settings.columns if name not in first)]]


def _rows(
    family: str,
    candidates: _Candidates,
    picked: Int[Tensor, "R"],
    judged: Mapping[str, Tensor],
    tested: Mapping[str, Tensor],
    selection: Selection,
    seeds: Seeds,
) -> list[dict[str, Any]]:
    names = list(candidates.settings)
    made = []
    for r, v in enumerate(picked.tolist()):
        own = candidates.settings[names[v]]
        known, bias = (abs(float(measured[selection.criterion][r, v])) for measured in (judged, tested))
        made.append(
            {
                "family": family,
                "seed": seeds.root[r],
                "variant": names[v],
                **{name: own.get(name) for name in ("method", "rank", "constraint", "strength", "weight_decay")},
                "head": own["head"],
                "threshold": own["threshold"],
                "own": own["own"],
                "needs_group": own["needs_group"],
                "criterion": selection.criterion,
                "tolerance": selection.tolerance,
                "validation_err": float(judged["err"][r, v]),
                "validation_bias": known,
                "meets": known <= selection.tolerance,
                "test_err": float(tested["err"][r, v]),
                "test_bias": bias,
                "holds": bias <= selection.tolerance,
            }
        )
    return made


def _sweep(
    family: str,
    place: Int[Tensor, "v"],
    judged: Mapping[str, Tensor],
    tested: Mapping[str, Tensor],
    seeds: Seeds,
) -> list[dict[str, Any]]:
    """Return what the family's models come to on test if they are chosen under one tolerance after the other."""
    made = []
    for bias in AXES:
        for tolerance in TOLERANCES:
            limit = math.inf if family == PLAIN else tolerance
            picked = place[choose(judged["err"][:, place], judged[bias][:, place], limit)[0]].tolist()
            made += [
                {
                    "family": family,
                    "criterion": bias,
                    "tolerance": tolerance,
                    "seed": seed,
                    "meets": float(judged[bias][r, v]) <= tolerance,
                    "test_err": float(tested["err"][r, v]),
                    "test_bias": float(tested[bias][r, v]),
                }
                for r, (seed, v) in enumerate(zip(seeds.root, picked, strict=True))
            ]
    return made


def _say_whether_met(chosen: pd.DataFrame, selection: Selection) -> None:
    """Say so where no model of ours is within the tolerance; raise if `strict`."""
    own = chosen[chosen["family"] == CHOSEN]
    if own["meets"].all():
        return
    missed = own[~own["meets"]]
    nearest = missed.iloc[int(missed["validation_bias"].argmin())]
    message = (
        f"selection: no model has {selection.criterion} ≤ {selection.tolerance:g} on validation in "
        f"{len(missed)} of {len(own)} replicates; the closest is {nearest['variant']} with "
        f"{nearest['validation_bias']:.3f}, {nearest['validation_bias'] - selection.tolerance:+.3f} from the tolerance"
    )
    if selection.strict:
        raise InputError(f"{message}, expected one (selection.strict)")
    LOG.warning(message)
