"""Boosted trees that come trained, as the pretrained model of all replicates, and as the base of a frontier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.models import TreeFile
from counterpoise.config.parameters import Block, Compute, Dataset, Seeds
from counterpoise.methods import frontier as methods
from counterpoise.methods.frontier import Frontier
from counterpoise.nn.trees import Trees
from counterpoise.pipelines.shared.arrays import LEARNT, feature_matrix, origin, require_seeds
from counterpoise.pipelines.shared.bases import write_bases
from counterpoise.pipelines.shared.heads import followed, problem_of
from counterpoise.pipelines.shared.trained import require_oriented, say_what_it_saw, trees_on_table
from counterpoise.pipelines.shared.trees import write_trees


def read_tree_file(
    samples: pd.DataFrame, splits: Checkpoint, model_files: Path, dataset: Dataset, trees: TreeFile, seeds: Seeds
) -> Checkpoint:
    """Return the trees of a file as every replicate's, with the table's columns in the place of their own."""
    require_seeds(seeds, splits=splits)
    text = _read(samples, model_files, dataset, trees).text
    return write_trees([text] * len(seeds.root), **origin(splits))


def train_bases_on_trees(
    samples: pd.DataFrame,
    splits: Checkpoint,
    model_files: Path,
    dataset: Dataset,
    trees: TreeFile,
    frontier: Block[Frontier],
    compute: Compute,
    seeds: Seeds,
) -> Checkpoint:
    """Return the base of trees that come trained: they stay as they are, what stands on them is each replicate's.

    See `pretrain.bases.train_bases` for what is returned. Other kinds of bases are left out: what a frontier shows and
    chooses are repairs of this model.
    """
    model = _read(samples, model_files, dataset, trees)
    problem = replace(
        problem_of(samples, splits, feature_matrix(samples), dataset, seeds, learnt=LEARNT), trained=model
    )
    with followed(problem, compute) as problem:
        bases = methods.train_bases(problem, replace(frontier.root, kinds=("boosted",)))
    return write_bases(bases, **origin(splits))


def _read(samples: pd.DataFrame, folder: Path, dataset: Dataset, settings: TreeFile) -> Trees:
    """Read the trees, and compare what they say of all rows with the classes."""
    _, rewritten = trees_on_table(samples, folder, dataset, settings)
    trees = Trees(rewritten.text())
    margins = trees.margins(feature_matrix(samples))
    require_oriented(margins, torch.tensor(samples["y"].to_numpy()), dataset, str(folder / settings.trees))
    say_what_it_saw(dataset, settings.trees)
    return trees
