"""The bases that a frontier stands on, one of each kind for each replicate."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pandas as pd

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Block, Compute, Dataset, Seeds
from counterpoise.methods import frontier as methods
from counterpoise.methods.bases.ground import Ground
from counterpoise.methods.frontier import Frontier
from counterpoise.pipelines.shared.arrays import LEARNT, origin
from counterpoise.pipelines.shared.bases import inputs_of, write_bases
from counterpoise.pipelines.shared.heads import followed, problem_of

LOG = logging.getLogger(__name__)


def train_bases(
    samples: pd.DataFrame,
    splits: Checkpoint,
    dataset: Dataset,
    frontier: Block[Frontier],
    compute: Compute,
    seeds: Seeds,
    features: Checkpoint | None = None,
) -> Checkpoint:
    """Train every kind of base on each replicate's rows to learn from; validation rows choose their settings.

    Returns:
        `<replicate>.<kind>.<name>`: the tensors of each base, of its unrepaired head and of the probabilities of
        groups; texts of trees as bytes. The header's `chosen` says what validation chose.
    """
    problem = problem_of(samples, splits, inputs_of(samples, features), dataset, seeds, learnt=LEARNT)
    with followed(problem, compute) as problem:
        bases = methods.train_bases(problem, frontier.root)
    _compare(bases, dataset)
    return write_bases(bases, **origin(splits))


def _compare(bases: Sequence[Sequence[Ground]], dataset: Dataset) -> None:
    """Warn of a kind of base that predicts worse than logistic regression on the columns, on validation rows."""
    losses = {
        place.kind: sum(each[number].choice.log_loss for each in bases) / len(bases)
        for number, place in enumerate(bases[0])
    }
    linear = losses.get("linear")
    for kind, loss in losses.items():
        if linear is not None and round(loss, 3) > round(linear, 3):  # by digits that can be shown
            LOG.warning(
                "%s: the %s base predicts worse than logistic regression on the columns: a log loss of %.3f against "
                "%.3f on validation",
                dataset.title,
                kind,
                loss,
                linear,
            )
