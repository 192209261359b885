"""Fit common methods on the same rows as ours: on the same features, and on the columns of a table."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Block, Compute, Dataset, Seeds
from counterpoise.data import IMAGES
from counterpoise.methods.heads.problem import settings_of
from counterpoise.methods.peers.estimators import COMPLEXITIES
from counterpoise.methods.peers.run import run
from counterpoise.methods.peers.settings import Peers
from counterpoise.pipelines.shared.arrays import feature_matrix, origin
from counterpoise.pipelines.shared.heads import followed, problem_of, stacked


def fit_peers(
    samples: pd.DataFrame,
    splits: Checkpoint,
    features: Checkpoint,
    dataset: Dataset,
    peers: Block[Peers],
    compute: Compute,
    seeds: Seeds,
) -> Checkpoint:
    """Fit every peer on each replicate's training rows.

    Returns:
        `<part>.score` float32 and `<part>.prediction` uint8 [R, V, m] of the parts validation and test. Axis V is in
        the order of the names in the header's `variants`, which is alphabetical, as it comes back from a file;
        `complexity` is what each replicate chose for the estimator of each variant, by name.
    """
    problem = problem_of(samples, splits, features.tensors["features"], dataset, seeds)
    if dataset.reader not in IMAGES:
        problem = replace(problem, columns=feature_matrix(samples))
    with followed(problem, compute) as problem:
        results = run(problem, peers.root, {})
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
