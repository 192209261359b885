"""Probabilities of class and group together, p(y, s | x), calibrated on rows that they were not fitted to.

p(y | x) times p(s | x, y). On trees the second factor is a boosted model of its own, which sees the class; on dense
features it is a linear one within each class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from counterpoise.methods.heads.softmax import softmax_head
from counterpoise.nn.trees import ONE_THREAD, Boosting

TEMPERATURES = tuple(2.0 ** (step / 8) for step in range(-12, 17))
"""What the log odds of a model are divided by: from sharper to flatter than they come."""


def joint(of_class: Float64[Tensor, "n k"], of_group: Float64[Tensor, "n k G"]) -> Float[Tensor, "n cells"]:
    """Return p(y, s | x), class by class: the columns are (y, s) = (0, 0), (0, 1), …."""
    return (of_class.unsqueeze(-1) * of_group).flatten(1).float()


@dataclass(frozen=True, eq=False)
class GroupTrees:
    """p(s | x, y) by boosted trees that see the class as a further column: LightGBM's text, and the temperature."""

    text: str
    groups: int
    classes: int
    temperature: float = 1.0

    @property
    def rounds(self) -> int:
        """How many times trees were added."""
        from lightgbm import Booster

        return int(Booster(model_str=self.text).current_iteration())

    def __call__(self, x: Float[Tensor, "n D"]) -> Float64[Tensor, "n k G"]:
        """Return the probabilities of the groups, given each class in turn."""
        from lightgbm import Booster

        booster = Booster(model_str=self.text)
        odds = [
            _log_odds(booster.predict(_with_class(x, torch.full((len(x),), label)), raw_score=True, num_threads=1))
            for label in range(self.classes)
        ]
        return (torch.stack(odds, dim=1) / self.temperature).softmax(dim=-1)


def fit_group_trees(
    settings: Boosting,
    x: Float[Tensor, "n D"],
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    *,
    groups: int,
    classes: int,
    watched: Watched | None,
    patience: int,
    seed: int,
) -> GroupTrees:
    """Grow trees that tell the groups apart; their number and their temperature are what is best on the watched rows.

    Args:
        watched: features, classes and groups; without them, all rounds and a temperature of 1.
    """
    import lightgbm

    goal = {"objective": "binary"} if groups == 2 else {"objective": "multiclass", "num_class": groups}
    data = lightgbm.Dataset(_with_class(x, y), s.numpy(), params=ONE_THREAD)
    if watched is None:
        everything = {**ONE_THREAD, **settings.parameters, **goal, "seed": seed}
        return GroupTrees(lightgbm.train(everything, data, settings.rounds).model_to_string(), groups, classes)
    held_out = lightgbm.Dataset(_with_class(*watched[:2]), watched[2].numpy(), reference=data, params=ONE_THREAD)
    stop = lightgbm.early_stopping(patience, verbose=False)
    parameters: dict[str, Any] = {**ONE_THREAD, **settings.parameters, **goal, "seed": seed}
    booster = lightgbm.train(parameters, data, settings.rounds, [held_out], callbacks=[stop])
    model = GroupTrees(booster.model_to_string(num_iteration=booster.best_iteration), groups, classes)
    return replace(model, temperature=_calibration(model, watched)[0])


STEP, WEAKEST, STRONGEST = 3.0, 1e-8, 1e3
"""From one strength of the L2 penalty of groups' heads to the next, and between which ones."""

Watched = tuple[Tensor, Tensor, Tensor]
"""Features, classes and groups of rows that settings are chosen on."""


@dataclass(frozen=True, eq=False)
class GroupHeads:
    """p(s | x, y) by a linear head within each class: log odds [k, q + 1, G], and the temperature.

    pull: the strength of the L2 penalty that they were fitted under.
    """

    heads: Float64[Tensor, "k p G"]
    temperature: float = 1.0
    pull: float = 0.0

    def __call__(self, x: Float[Tensor, "n q"]) -> Float64[Tensor, "n k G"]:
        """Return the probabilities of the groups, given each class in turn."""
        odds = torch.einsum("nq,kqg->nkg", x.double(), self.heads[:, :-1]) + self.heads[:, -1]
        return (odds / self.temperature).softmax(dim=-1)


def fit_group_heads(
    x: Float[Tensor, "n q"],
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    pull: float,
    *,
    groups: int,
    classes: int,
    watched: Watched | None,
) -> GroupHeads:
    """Fit L2-penalised logistic regressions of the group within each class; a class of one group tells it for sure."""
    heads = [softmax_head(x[y == label], s[y == label], pull, groups) for label in range(classes)]
    model = GroupHeads(torch.stack(heads), pull=pull)
    return model if watched is None else replace(model, temperature=_calibration(model, watched)[0])


def choose_group_heads(
    x: Float[Tensor, "n q"],
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    start: float,
    *,
    groups: int,
    classes: int,
    watched: Watched,
) -> GroupHeads:
    """Fit the same with the pull under which the watched rows' groups are likeliest.

    What suits the classes suits the groups within a small class badly. From `start` the pull is made stronger in steps
    of three until that does worse; if the first step does worse already, weaker.
    """

    watched = (watched[0].double(), *watched[1:])

    def fitted(pull: float) -> tuple[float, GroupHeads]:
        model = fit_group_heads(x, y, s, pull, groups=groups, classes=classes, watched=watched)
        return _calibration(model, watched)[1], model

    best = fitted(start)
    for step in (STEP, 1 / STEP):
        pull, moved = start * step, False
        while WEAKEST <= pull <= STRONGEST and (tried := fitted(pull))[0] < best[0]:
            best, pull, moved = tried, pull * step, True
        if moved:
            break
    return best[1]


def _calibration(model: GroupTrees | GroupHeads, watched: Watched) -> tuple[float, float]:
    """Return the temperature at which the groups of watched rows are likeliest, given their classes, and −log of that.

    The temperature is a factor on top of the model's own.
    """
    x, y, s = watched
    odds = model(x).clamp(min=1e-12).log()[torch.arange(len(y)), y]

    @cache
    def loss(place: int) -> float:
        return torch.nn.functional.cross_entropy(odds / TEMPERATURES[place], s).item()

    low, high = 0, len(TEMPERATURES) - 1
    while low < high:  # −log likelihood is convex in the factor on the log odds: it falls to its minimum, then rises
        middle = (low + high) // 2
        if loss(middle + 1) < loss(middle):
            low = middle + 1
        else:
            high = middle
    return TEMPERATURES[low], loss(low)


def _with_class(x: Float[Tensor, "n D"], y: Int[Tensor, "n"]) -> np.ndarray:
    return np.concatenate([x.numpy(), y.numpy()[:, None].astype(np.float32)], axis=1)


def _log_odds(raw: Any) -> Float64[Tensor, "n G"]:
    odds = torch.from_numpy(np.asarray(raw))
    return torch.stack([torch.zeros_like(odds), odds], dim=1) if odds.ndim == 1 else odds
