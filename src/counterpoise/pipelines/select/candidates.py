"""Every model that can be chosen, ours and the peers', its predictions, and which models are neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.fairness import Neighbours
from counterpoise.methods.heads.variants import FINE_TUNED
from counterpoise.pipelines.shared.heads import CHOSEN

OURS = FINE_TUNED
PLAIN = OURS[0]
"""The family of the dense heads without penalty and threshold: no tolerance is asked of it, only a low error."""

REACH = 3.0
"""Widths of the kernel beyond which a neighbour is ignored (weight below 0.01 ≈ exp(−3²/2))."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Models that can be chosen: settings by name, predictions and scores of each part's rows.

    Parts: validation, test, and where ours are cross-fitted, train. A model that diverged predicts −1. Models that
    differ in their threshold alone share a row of scores: `scored` says which row is whose.
    """

    settings: dict[str, dict[str, Any]]
    prediction: Mapping[str, Int[Tensor, "R V _"]]
    score: Mapping[str, Float[Tensor, "R H _"]]
    scored: list[int]

    def diverged(self, part: str) -> Bool[Tensor, "R V"]:
        return (self.prediction[part] < 0).any(dim=-1)


def ours(outcomes: Checkpoint) -> Candidates:
    """Every head of the bank with every threshold: a threshold costs a comparison."""
    header = outcomes.header
    thresholds = [float(value) for value in header["thresholds"]]
    settings = {
        f"{name}{f'_t{threshold:+g}' if threshold else ''}": head | {"head": name, "threshold": threshold, "own": True}
        for name, head in header["variants"].items()
        for threshold in thresholds
    }
    score = _by_part(outcomes, "score")
    prediction = {}
    for part, raw in score.items():
        cuts = torch.tensor(thresholds, dtype=raw.dtype).sigmoid()
        lost = raw.isnan().any(dim=-1, keepdim=True).unsqueeze(2)
        prediction[part] = (raw.unsqueeze(2) > cuts[:, None]).to(torch.int8).masked_fill(lost, -1).flatten(1, 2)
    heads = range(len(header["variants"]))
    return Candidates(settings, prediction, score, [head for head in heads for _ in thresholds])


def theirs(outcomes: Checkpoint) -> Candidates:
    """Every peer in every setting."""
    settings = {
        name: peer | {"head": None, "threshold": None, "own": False}
        for name, peer in outcomes.header["variants"].items()
    }
    prediction = {part: tensor.to(torch.int8) for part, tensor in _by_part(outcomes, "prediction").items()}
    return Candidates(settings, prediction, _by_part(outcomes, "score"), list(range(len(settings))))


def families(candidates: Candidates) -> dict[str, list[str]]:
    """Return which models each family chooses from."""
    by_method: dict[str, list[str]] = {}
    for name, settings in candidates.settings.items():
        by_method.setdefault(settings["method"], []).append(name)
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


def neighbours(settings: Mapping[str, Mapping[str, Any]], width: float) -> Neighbours | None:
    """Return for each model those that differ in the strength of the penalty alone; a Gaussian kernel of its logarithm.

    How unfair a way to train is changes little from one strength to the next, and chance more. A strength of 0 is
    infinitely far from all others, and strengths that lie far apart are no neighbours.
    """
    if not width:
        return None
    lines: dict[tuple[tuple[str, Any], ...], list[tuple[int, float]]] = {}
    for place, model in enumerate(settings.values()):
        if model["strength"]:
            key = tuple((name, value) for name, value in model.items() if name not in ("strength", "head"))
            lines.setdefault(key, []).append((place, log(model["strength"])))
    near: list[list[tuple[int, float]]] = [[(place, 0.0)] for place in range(len(settings))]
    for line in lines.values():
        for place, at in line:
            near[place] = [(other, (at - there) / width) for other, there in line if abs(at - there) < REACH * width]
    most = max(len(beside) for beside in near)
    padded = [beside + [(beside[0][0], torch.inf)] * (most - len(beside)) for beside in near]
    distance = torch.tensor([[steps for _, steps in beside] for beside in padded], dtype=torch.float64)
    places = torch.tensor([[other for other, _ in beside] for beside in padded])
    return Neighbours(places, (-distance.square() / 2).exp())


def _by_part(outcomes: Checkpoint, kind: str) -> dict[str, Tensor]:
    suffix = f".{kind}"
    return {name.removesuffix(suffix): tensor for name, tensor in outcomes.tensors.items() if name.endswith(suffix)}
