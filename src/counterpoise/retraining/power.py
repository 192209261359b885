"""With which probability a better model would be promoted: whether the rows of a decision can show an improvement."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from counterpoise.retraining.evidence import Evidence
from counterpoise.retraining.gate import Gate, verdicts

IMPROVEMENT = 0.02
"""By which the error of the imagined model is below the champion's."""

DRAWS = 400
"""Imagined weeks: the standard error of a probability is at most 2.5 points."""


def chance(
    evidence: Evidence,
    settings: Gate,
    *,
    level: float,
    improvement: float = IMPROVEMENT,
    draws: int = DRAWS,
    seed: int = 0,
) -> float:
    """Return the share of draws in which a better model is promoted on as many rows as the evidence has.

    In each draw, of the same numbers of rows by batch, group and class, the model is right where the champion is wrong
    more often by `improvement` of all rows, in proportion to the champion's errors, and wrong where it is right as
    often as the challenger. Its other errors, and so its biases, are those of the challenger. Against the first
    champion it is as against the present one.

    Args:
        evidence: of one challenger, [B, G, k, …].
        level: significance that the model is tested at.
    """
    generator = np.random.default_rng(seed)
    sizes = evidence.confusion.sum(-1)  # B G k
    paired, confusion = evidence.against_champion.sum(0), evidence.confusion.sum(0)
    classes = np.arange(confusion.shape[-1])
    wrong = confusion.sum(-1) - confusion[:, classes, classes] - paired[..., 2] + paired[..., 0]  # the champion's, G k
    champion = wrong / np.maximum(confusion.sum(-1), 1)
    error = float(wrong.sum() / confusion.sum())
    lost = paired[..., 2] / np.maximum(paired.sum(-1), 1)
    gained = np.minimum(lost + (improvement / error if error else 0.0) * champion, 1 - lost)
    shares = np.stack([gained, 1 - gained - lost, lost], axis=-1)
    shape = (draws, *sizes.shape)
    against = generator.multinomial(np.broadcast_to(sizes, shape), shares)
    confused = generator.multinomial(np.broadcast_to(sizes, shape), _rates(confusion))
    imagined = Evidence(against, against, confused, evidence.waiting, evidence.compared)
    looks = np.zeros(draws, dtype=np.int64)
    return float(verdicts(imagined, settings, level=np.full(draws, level), looks=looks)[0].mean())


def _rates(counts: NDArray[np.integer]) -> Float64[np.ndarray, "G k c"]:
    totals = counts.sum(-1, keepdims=True)
    return np.where(totals > 0, counts / np.maximum(totals, 1), 1 / counts.shape[-1])
