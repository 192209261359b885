"""Relaxed equalised odds by a threshold for each group (Cruz and Hardt, ICLR 2024), of those without randomising."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from jaxtyping import Float, Int

from counterpoise.methods.heads.penalties import Constraint
from counterpoise.methods.peers.settings import Peer
from counterpoise.methods.peers.setup import Decide, Setup, require_groups

COMBINATIONS = 1_000_000
"""Thresholds of all groups together that are compared: with two groups 1,000 of each, with three 100, with four 31."""


def fit(peer: Peer, setup: Setup) -> Decide:
    """Set the thresholds on scores of training rows by models that have not seen them.

    The score is the probability of class 1, of which the group's threshold is asked.
    """
    constraint, tolerance = peer.bound
    thresholds = group_thresholds(
        *(setup.held_out, setup.train.y, setup.train.s),
        groups=setup.groups,
        constraint=constraint,
        tolerance=tolerance,
    )

    def decide(x: np.ndarray, s: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        score = setup.plain(x)[:, 1]
        return score, score > thresholds[require_groups(s, peer.name, setup.train.s)]

    return decide


def group_thresholds(
    score: Float[np.ndarray, "n"],
    y: Int[np.ndarray, "n"],
    s: Int[np.ndarray, "n"],
    *,
    groups: int,
    constraint: Constraint,
    tolerance: float,
) -> Float[np.ndarray, "G"]:
    """Return the threshold of each group at which the fewest rows err, of those whose gap is within the tolerance.

    The gap is ΔDP or ΔEO of these rows, as metrics define them. All combinations are tried, of every threshold that
    makes a difference or of so many quantiles of a group's scores that there are `COMBINATIONS`; those by which
    everyone or nobody is predicted 1 are among them, so that some combination is within any tolerance.
    """
    most = int(COMBINATIONS ** (1 / groups))
    curves = [_Curve(score[s == group], y[s == group], most) for group in range(groups)]
    errors = np.zeros(())
    for curve in curves:
        errors = np.add.outer(errors, curve.errors)
    gap = np.zeros(errors.shape)
    for pair in combinations(range(groups), 2):
        first, second = (_along(group, curves[group].rates(constraint), groups) for group in pair)
        gap = np.maximum(gap, np.abs(first - second).sum(axis=0))
    best = np.unravel_index(np.where(gap <= tolerance, errors, np.inf).argmin(), errors.shape)
    return np.array([curve.thresholds[place] for curve, place in zip(curves, best, strict=True)])


def _along(axis: int, values: Float[np.ndarray, "q K"], axes: int) -> np.ndarray:
    """Return values along one axis of many, the others of length 1: [q, 1, …, K, …, 1]."""
    return values.reshape(len(values), *(-1 if other == axis else 1 for other in range(axes)))


class _Curve:
    """What each threshold of one group comes to: score > threshold predicts 1.

    Attributes:
        thresholds: increasing, from −∞ to ∞ [K]. errors: rows that are wrong [K].
    """

    def __init__(self, score: np.ndarray, y: np.ndarray, most: int) -> None:
        values = np.unique(score)
        between = (values[1:] + values[:-1]) / 2
        if len(between) > most - 2:
            between = np.unique(np.quantile(score, np.linspace(0, 1, most)[1:-1]))
        self.thresholds = np.concatenate([[-np.inf], between, [np.inf]])
        of_class = [np.sort(score[y == label]) for label in (0, 1)]
        above = [len(part) - np.searchsorted(part, self.thresholds, side="right") for part in of_class]
        self._predicted, self._sizes = above, [len(part) for part in of_class]
        self.errors = above[0] + self._sizes[1] - above[1]

    def rates(self, constraint: Constraint) -> Float[np.ndarray, "q K"]:
        """Return the share that is predicted 1, of all rows (dp) or of each true class (eo)."""
        if constraint == "dp":
            return np.stack([sum(self._predicted) / sum(self._sizes)])
        return np.stack([above / size for above, size in zip(self._predicted, self._sizes, strict=True)])
