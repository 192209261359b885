"""Every model that can be chosen, ours and the peers', what it decides, and which models are neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, log, nan
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor

from counterpoise.catalogue import CHOSEN, CONSTANT, UNREPAIRED
from counterpoise.fairness import Neighbours
from counterpoise.methods.answers import LOST
from counterpoise.methods.frontier import BIAS_SCORES
from counterpoise.methods.selection.settings import Outcomes

REACH = 3.0
"""Widths of the kernel beyond which a neighbour is ignored (weight below 0.01 ≈ exp(−3²/2))."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Models that can be chosen: settings by name, and what they say of each part's rows.

    Parts: validation, test, and where models are cross-fitted, train. Models that differ in their threshold alone share
    a row of scores.

    Attributes:
        score: by part; NaN where a model diverged. decided: decisions that are no threshold on a score.
        scored: which row of scores is whose. cut: the score above which a model decides for class 1; NaN where it has
            decisions instead.
    """

    settings: dict[str, dict[str, Any]]
    score: Mapping[str, Float[Tensor, "R H _"]]
    scored: Int[Tensor, "V"]
    cut: Float[Tensor, "V"]
    decided: Mapping[str, Int8[Tensor, "R H _"]]

    def diverged(self, part: str) -> Bool[Tensor, "R V"]:
        return self._lost[part][:, self.scored]

    @cached_property
    def _lost(self) -> dict[str, Bool[Tensor, "R H"]]:
        """Which scores of a part are of models that diverged."""
        return {part: score.sum(dim=-1).isnan() for part, score in self.score.items()}

    def scores(self, part: str, r: int, members: Int[Tensor, "h"]) -> Float[Tensor, "h _"]:
        """Return scores of one replicate, those of a model that diverged below every cut."""
        return self.score[part][r, members].masked_fill(self._lost[part][r, members].unsqueeze(1), -inf)

    def prediction(self, part: str, r: int, members: Sequence[int] | slice = slice(None)) -> Int8[Tensor, "v _"]:
        """Return the decisions of one replicate's models, of all or of some; `LOST` of those that diverged."""
        scored, cut = self.scored[members], self.cut[members].unsqueeze(1)
        score = self.score[part][r, scored]
        decision = (score > cut).to(torch.int8)
        if self.decided:
            decision = torch.where(cut.isnan(), self.decided[part][r, scored], decision)
        return decision.masked_fill(self._lost[part][r, scored].unsqueeze(1), LOST)


def ours(outcomes: Outcomes) -> Candidates:
    """Every model of the frontier: heads with every threshold, which costs a comparison; others as they are.

    Where outcomes have decisions, there is no threshold: that is so of more than two classes.
    """
    variants = outcomes.header["variants"]
    every = [float(value) for value in outcomes.header["thresholds"]]
    if _by_part(outcomes, "prediction"):
        return _thresholded(outcomes, [[nan]] * len(variants), own=True)
    thresholds = [[0.0] if model["method"] in (BIAS_SCORES, UNREPAIRED) else every for model in variants.values()]
    return _thresholded(outcomes, thresholds, own=True)


def theirs(outcomes: Outcomes, thresholds: Sequence[float]) -> Candidates:
    """Every peer in every setting: as it decides, and where its score is a probability, with our thresholds too."""
    others = [float(value) for value in thresholds if value]
    each = [[nan, *(others if model["scores"] else [])] for model in outcomes.header["variants"].values()]
    return _thresholded(outcomes, each, own=False)


def constant(outcomes: Outcomes, classes: int = 2) -> Candidates:
    """Predicting one class for everyone: each in turn."""
    labels = torch.arange(classes)
    settings = {f"{CONSTANT}_{label}": _shared(CONSTANT) | {"method": CONSTANT} for label in range(classes)}
    decided = {
        part: labels.to(torch.int8).view(1, classes, 1).expand(len(scores), classes, scores.shape[-1])
        for part, scores in _by_part(outcomes, "score").items()
    }
    score = {part: (label > 0).float() for part, label in decided.items()}
    return Candidates(settings, score, labels, torch.full((classes,), nan), decided)


def _shared(model: str | None) -> dict[str, Any]:
    return {"own": False, "needs_group": False, "model": model, "threshold": None}


def _thresholded(outcomes: Outcomes, thresholds: Sequence[Sequence[float]], *, own: bool) -> Candidates:
    settings: dict[str, dict[str, Any]] = {}
    for (name, model), each in zip(outcomes.header["variants"].items(), thresholds, strict=True):
        for value in each:
            explicit = value == value  # NaN: no threshold of its own
            suffix = f"_t{value:+g}" if explicit and value else ""
            settings[f"{name}{suffix}"] = _shared(name) | model | {"own": own, "threshold": value if explicit else None}
    cuts = torch.tensor([value for each in thresholds for value in each], dtype=torch.float32).sigmoid()
    scored = torch.tensor([place for place, each in enumerate(thresholds) for _ in each])
    decided = {part: tensor.to(torch.int8) for part, tensor in _by_part(outcomes, "prediction").items()}
    return Candidates(settings, _by_part(outcomes, "score"), scored, cuts, decided)


def families(candidates: Candidates) -> dict[str, list[str]]:
    """Return which models each family chooses from."""
    by_method: dict[str, list[str]] = {}
    for name, settings in candidates.settings.items():
        by_method.setdefault(settings["method"], []).append(name)
    if not next(iter(candidates.settings.values()))["own"]:
        return by_method
    unrepaired = by_method.pop(UNREPAIRED, [])
    return (
        {CHOSEN: list(candidates.settings)}
        | {f"{CHOSEN}_{method}": names for method, names in by_method.items()}
        | ({UNREPAIRED: unrepaired} if unrepaired else {})
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
        if model.get("strength"):
            key = tuple((name, value) for name, value in model.items() if name not in ("strength", "model"))
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


def _by_part(outcomes: Outcomes, kind: str) -> dict[str, Tensor]:
    suffix = f".{kind}"
    return {name.removesuffix(suffix): tensor for name, tensor in outcomes.tensors.items() if name.endswith(suffix)}
