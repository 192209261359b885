"""What the peers of one replicate on one input share: rows, the estimator, and models of it that several use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int

from counterpoise.errors import InputError
from counterpoise.methods.cells import fold_numbers
from counterpoise.methods.peers.estimators import Boosted, Estimator, Model, choose_boosted
from counterpoise.methods.peers.settings import Peers

Decide = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]]
"""(x [m, d], s [m] if the peer needs the group, else None) to scores and predictions [m]."""

HALFWAY = 0.5


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs, standardised for logistic regression, with classes and groups, and what rows belong to, if anything."""

    x: Float[np.ndarray, "n d"]
    y: Int[np.ndarray, "n"]
    s: Int[np.ndarray, "n"]
    unit: Int[np.ndarray, "n"] | None = None


@dataclass(frozen=True, eq=False)
class Setup:
    """Rows to fit on and to choose on, and the estimator that was chosen.

    Attributes:
        validation: None where nothing is to be chosen.
        groups: G. seed: of folds, subsamples and randomised predictions. classes: k.
    """

    train: Rows
    validation: Rows | None
    estimator: Estimator
    settings: Peers
    groups: int
    seed: int
    classes: int = 2

    @cached_property
    def plain(self) -> Model:
        """The estimator, fitted without any regard to groups."""
        return self.estimator.fit(self.train.x, self.train.y, classes=self.classes)

    @cached_property
    def held_out(self) -> Float[np.ndarray, "n"]:
        """Probability of class 1 of every training row, by a model fitted on the other folds."""
        return self._cross_fitted(self.estimator, self.train.y, 2)[:, 1]

    @cached_property
    def cells(self) -> Int[np.ndarray, "n"]:
        """The cell 2 s + y of every training row."""
        return 2 * self.train.s + self.train.y

    @cached_property
    def joint(self) -> Model:
        """The estimator of p(s, y | x), with cells as classes; trees have as many rounds as that takes."""
        return self._of_cells.fit(self.train.x, self.cells, classes=2 * self.groups)

    @cached_property
    def joint_held_out(self) -> Float[np.ndarray, "n G 2"]:
        """p(s, y | x) of every training row, by a model fitted on the other folds."""
        return self._cross_fitted(self._of_cells, self.cells, 2 * self.groups).reshape(-1, self.groups, 2)

    @cached_property
    def _of_cells(self) -> Estimator:
        if not isinstance(self.estimator, Boosted) or self.validation is None:
            return self.estimator
        held = self.validation
        settings = replace(self.settings.boosting, leaves=(self.estimator.leaves,))
        return choose_boosted(
            *(self.train.x, self.cells, held.x, 2 * held.s + held.y), settings, classes=2 * self.groups
        )

    def _cross_fitted(self, estimator: Estimator, target: np.ndarray, classes: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(self.seed)
        y, s = torch.from_numpy(self.train.y), torch.from_numpy(self.train.s)
        unit = None if self.train.unit is None else torch.from_numpy(self.train.unit)
        fold = fold_numbers(y, s, unit, folds=self.settings.folds, generator=generator).numpy()
        probability = np.empty((len(target), classes))
        for number in range(self.settings.folds):
            out, rest = fold == number, fold != number
            probability[out] = estimator.fit(self.train.x[rest], target[rest], classes=classes)(self.train.x[out])
        return probability


def decide_by(model: Model) -> Decide:
    """Return the rule that predicts the most probable class; of more than two its probability is the score."""

    def decide(x: np.ndarray, _: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        probability = model(x)
        if probability.shape[1] > 2:
            return probability.max(axis=1), probability.argmax(axis=1)
        score = probability[:, 1]
        return score, score > HALFWAY

    return decide


def require_groups(s: np.ndarray | None, name: str, seen: Int[np.ndarray, "n"]) -> Int[np.ndarray, "m"]:
    """Return the groups of rows that are to be classified.

    Raises:
        InputError: there are none, or one that no training row had.
    """
    if s is None:
        raise InputError(f"{name}: the rows come without their groups, which it needs to classify them")
    there = sorted(set(seen.tolist()))
    if unseen := sorted(set(s.tolist()) - set(there)):
        raise InputError(f"{name}: found s = {unseen[0]}, expected one of {there}, as in training")
    return s
