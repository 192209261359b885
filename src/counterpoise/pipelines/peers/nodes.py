"""Fit common methods on the same features and the same rows as ours."""

from __future__ import annotations

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.catalogue import methods_of
from counterpoise.config.parameters import Block, Compute, Dataset, Seeds
from counterpoise.methods.heads import peers as methods
from counterpoise.methods.heads.peers import Peers
from counterpoise.methods.heads.problem import settings_of
from counterpoise.pipelines.shared.arrays import origin
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
        `C` is what each replicate chose.
    """
    with followed(problem_of(samples, splits, features.tensors["features"], dataset, seeds), compute) as problem:
        results = methods.run(problem, peers.root, {})
    tensors = {
        "validation.score": stacked(results, "validation.score"),
        "validation.prediction": stacked(results, "validation.prediction"),
        "test.score": torch.stack([result.score.squeeze(-1) for result in results], dim=1),
        "test.prediction": torch.stack([result.prediction for result in results], dim=1).to(torch.uint8),
    }
    rows = methods_of("peers")
    variants = {
        name: settings | {"needs_group": rows[settings["method"]].needs_group}
        for name, settings in settings_of(results).items()
    }
    C = [results[0].fact("C", r) for r in range(len(seeds.root))]
    return Checkpoint(tensors, as_header(architecture="outcomes", variants=variants, C=C, **origin(splits)))
