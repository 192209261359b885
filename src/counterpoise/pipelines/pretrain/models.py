"""Networks that come trained: their features of every row, and their head as that of all replicates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.models import file_in
from counterpoise.config.parameters import Block, Compute, Dataset, Seeds
from counterpoise.errors import InputError
from counterpoise.methods import frontier as methods
from counterpoise.methods.frontier import Frontier
from counterpoise.pipelines.shared.arrays import LEARNT, origin, require_seeds
from counterpoise.pipelines.shared.bases import write_bases
from counterpoise.pipelines.shared.heads import followed, pretrained_head, problem_of
from counterpoise.pipelines.shared.trained import (
    Trained,
    network_on_table,
    require_oriented,
    say_what_it_saw,
    with_classes,
)

ARCHITECTURE = "trained"


def read_model(
    samples: pd.DataFrame,
    splits: Checkpoint,
    model_files: Path,
    dataset: Dataset,
    model: Block[Trained],
    seeds: Seeds,
    table: pd.DataFrame,
) -> tuple[Checkpoint, Checkpoint]:
    """Run a user's network, or the preprocessing of a linear classifier, over all rows, once.

    Returns:
        The head, `weights.0` [R, 1, d, k] and `biases.0` [R, 1, k], the same in every replicate; one logit v becomes
        −v/2 and v/2. What it sees of every row, `features` [N, d].

    Raises:
        InputError: the network cannot be had, has another number of classes, gives numbers that are not finite, or
            means the other class.
    """
    require_seeds(seeds, splits=splits)
    network, x = network_on_table(samples, table, model_files, model.root, dataset)
    source = file_in(model.root)
    features, weight, bias = network.features(x), network.weight.T, network.bias
    if not bool(features.isfinite().all()):
        row = int((~features.isfinite()).any(dim=1).nonzero()[0])
        raise InputError(f"{source}: gives numbers that are not finite for row {row}, expected finite features")
    weight, bias = with_classes(weight, bias, dataset, f"{source}: its last layer {network.name!r}")
    if len(dataset.classes) == 2:
        margins = features @ (weight[:, 1] - weight[:, 0]) + bias[1] - bias[0]
        require_oriented(margins, torch.tensor(samples["y"].to_numpy()), dataset, source)
    say_what_it_saw(dataset, source)
    replicates = len(seeds.root)
    head = {
        "weights.0": weight.expand(replicates, 1, *weight.shape).contiguous(),
        "biases.0": bias.expand(replicates, 1, -1).contiguous(),
    }
    header = as_header(architecture=ARCHITECTURE, widths=list(weight.shape), head=network.name, **origin(splits))
    if network.obstacle is not None:
        header["obstacle"] = f"{source}: its last layer {network.name!r} {network.obstacle}"
    return Checkpoint(head, header), Checkpoint({"features": features}, as_header(**origin(splits)))


def train_bases_on_head(
    samples: pd.DataFrame,
    splits: Checkpoint,
    features: Checkpoint,
    pretrained: Checkpoint,
    dataset: Dataset,
    frontier: Block[Frontier],
    compute: Compute,
    seeds: Seeds,
) -> Checkpoint:
    """Return the base of features that come ready, whose unrepaired model is the head that came with them.

    See `pretrain.bases.train_bases` for what is returned, and `pretrain.tree_files` for why there is no other kind.

    Raises:
        InputError: a repaired head could not be written into the state of the model.
    """
    if "obstacle" in pretrained.header:
        raise InputError(pretrained.header["obstacle"])
    weight, bias = (each[0] for each in pretrained_head(pretrained))
    head = torch.cat([weight[:, 1] - weight[:, 0], (bias[1] - bias[0]).view(1)])
    problem = problem_of(samples, splits, features.tensors["features"], dataset, seeds, learnt=LEARNT)
    with followed(replace(problem, trained=head), compute) as problem:
        bases = methods.train_bases(problem, replace(frontier.root, kinds=("frozen",)))
    return write_bases(bases, **origin(splits))
