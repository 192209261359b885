"""Fit common methods on the same rows as ours: on the same features, and on the columns of a table."""

from __future__ import annotations

import logging
from dataclasses import replace

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Block, Compute, Dataset, Seeds
from counterpoise.data.encode import IMAGE
from counterpoise.methods.heads.problem import settings_of
from counterpoise.methods.peers.estimators import COMPLEXITIES
from counterpoise.methods.peers.run import run
from counterpoise.methods.peers.settings import BINARY, Peers
from counterpoise.pipelines.shared.arrays import LEARNT, feature_matrix, origin, require_seeds
from counterpoise.pipelines.shared.bases import inputs_of, perceptron_features
from counterpoise.pipelines.shared.heads import followed, problem_of, stacked

LOG = logging.getLogger(__name__)


def fit_peers(
    samples: pd.DataFrame,
    splits: Checkpoint,
    bases: Checkpoint,
    dataset: Dataset,
    peers: Block[Peers],
    compute: Compute,
    seeds: Seeds,
    features: Checkpoint | None = None,
) -> Checkpoint:
    """Fit every peer on each replicate's rows to learn from: all that are neither validation nor test.

    Of a table, features are those of the perceptron that is one of our bases, if there is one.

    Returns:
        `<part>.score` float32 and `<part>.prediction` uint8 [R, V, m] of the parts validation and test. Axis V is in
        the order of the names in the header's `variants`, which is alphabetical, as it comes back from a file;
        `complexity` is what each replicate chose for the estimator of each variant, by name.
    """
    require_seeds(seeds, bases=bases)
    x = inputs_of(samples, features)
    frozen = x if features is not None else perceptron_features(bases, x, dataset)
    problem = problem_of(samples, splits, x if frozen is None else frozen, dataset, seeds, learnt=LEARNT)
    if IMAGE not in samples:
        problem = replace(problem, columns=feature_matrix(samples))
    settings = peers.root if frozen is not None else replace(peers.root, inputs=("columns",))
    if len(dataset.classes) > 2 and (undefined := [name for name in settings.methods if name in BINARY]):
        LOG.warning(
            "%s: peers that are defined for two classes alone are left out: %s", dataset.title, ", ".join(undefined)
        )
    with followed(problem, compute) as problem:
        results = run(problem, settings, {})
    tensors = {
        "validation.score": stacked(results, "validation.score"),
        "validation.prediction": stacked(results, "validation.prediction"),
        "test.score": torch.stack([result.score.squeeze(-1) for result in results], dim=1),
        "test.prediction": torch.stack([result.prediction for result in results], dim=1).to(torch.uint8),
    }
    replicates = range(len(seeds.root))
    complexity = {
        result.name: {name: [result.fact(name, r) for r in replicates] for name in COMPLEXITIES if name in result.facts}
        for result in results
    }
    header = as_header(architecture="outcomes", variants=settings_of(results), complexity=complexity, **origin(splits))
    return Checkpoint(tensors, header)
