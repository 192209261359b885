"""Boosted trees as the pretrained model: their leaves are the features, the leaf values the head."""

from __future__ import annotations

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.compute import replicate
from counterpoise.config.parameters import Block, Compute, Seeds
from counterpoise.nn.trees import NO_LEAF, Boosting, grow
from counterpoise.pipelines.shared.arrays import feature_matrix, origin, require_seeds, rows
from counterpoise.pipelines.shared.progress import training_progress
from counterpoise.pipelines.shared.trees import read_trees, write_trees


def grow_trees(
    samples: pd.DataFrame, splits: Checkpoint, boosting: Block[Boosting], compute: Compute, seeds: Seeds
) -> Checkpoint:
    """Grow trees on each replicate's pretraining rows."""
    require_seeds(seeds, splits=splits)
    shared = (feature_matrix(samples), torch.tensor(samples["y"].to_numpy()), boosting.root)
    tasks = list(zip(seeds.root, rows(splits, "pretrain"), strict=True))
    with training_progress("pretrain", len(tasks)) as advance:
        grown = replicate(_grow, tasks, shared=shared, on_done=advance, **compute.model_dump())
    return write_trees(grown, **origin(splits))


def _grow(task: tuple[int, Int[Tensor, "n"]], x: Float[Tensor, "N D"], y: Int[Tensor, "N"], settings: Boosting) -> str:
    seed, members = task
    trees, _ = grow(x[members], y[members], settings, seed=seed)
    return trees.text


def compute_leaves(samples: pd.DataFrame, pretrained: Checkpoint) -> Checkpoint:
    """Return the leaves of every row in every replicate, int32 [R, N, T]: columns of the head's input that are one.

    [N, T] where all replicates have the same trees.

    Replicates with fewer trees than others, because nothing was left to split, have `NO_LEAF` in the others' place.
    """
    x = feature_matrix(samples)
    trees = [read_trees(pretrained, r) for r in range(len(pretrained.header["seeds"]))]
    if len(trees) > 1 and len({each.text for each in trees}) == 1:
        return Checkpoint({"features": trees[0].leaf_of(x)}, as_header(**origin(pretrained)))
    leaves = [each.leaf_of(x) for each in trees]
    most = max(leaf.shape[1] for leaf in leaves)
    padded = torch.stack([pad(leaf, (0, most - leaf.shape[1]), value=NO_LEAF) for leaf in leaves])
    return Checkpoint({"features": padded}, as_header(**origin(pretrained)))
