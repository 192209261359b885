"""From the frames and checkpoints of the catalog to the tensors that the rooms below compute with."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Seeds
from counterpoise.data import SPLITS
from counterpoise.data.encode import CLASS, GROUP, UNIT, feature_names
from counterpoise.errors import InputError
from counterpoise.nn import Examples
from counterpoise.nn.trees import columns, is_sparse


def origin(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the part of a checkpoint's header that what is made from it inherits: the seeds, the data's digest."""
    return {name: checkpoint.header[name] for name in ("seeds", "digests")}


def require_seeds(seeds: Seeds, **checkpoints: Checkpoint) -> None:
    """Raise InputError unless the checkpoints are of these seeds: a run may begin where another one ended."""
    for name, checkpoint in checkpoints.items():
        if checkpoint.header["seeds"] != list(seeds.root):
            raise InputError(
                f"{name}.safetensors has the seeds {checkpoint.header['seeds']}, expected {list(seeds.root)}, those of "
                "the parameters: run the stages before this one too"
            )


def require_features(features: Tensor, head: str, inputs: int) -> None:
    """Raise InputError unless a head reads as many features as there are; of leaves some may be in no row."""
    there = columns(features)
    if inputs < there or (inputs > there and not is_sparse(features)):
        raise InputError(
            f"{head}.safetensors has heads of {inputs} features, expected {there}, as in features.safetensors"
        )


def feature_matrix(samples: pd.DataFrame) -> Float[Tensor, "N D"]:
    """Return the feature columns of a table, in their order; each row in one piece, since rows are what is gathered."""
    return torch.from_numpy(samples[feature_names(samples)].to_numpy(dtype=np.float32).copy(order="C"))


def input_statistics(
    x: Float[Tensor, "N D"], members: Int[Tensor, "R n"]
) -> tuple[Float[Tensor, "R D"], Float[Tensor, "R D"]]:
    """Return mean and scale of each replicate's own rows.

    A category that none of them has is constant there: it is centred, not scaled.
    """
    mean = torch.stack([x[rows].mean(dim=0) for rows in members])
    scale = torch.stack([x[rows].std(dim=0, correction=0) for rows in members])
    return mean, torch.where(scale > 0, scale, torch.ones_like(scale))


def examples(samples: pd.DataFrame, x: Tensor) -> Examples:
    """Pair features with the classes and groups of the samples, and with what rows belong to, where that is said."""
    y, s, *unit = (torch.tensor(samples[name].to_numpy()) for name in (CLASS, GROUP, UNIT) if name in samples)
    return Examples(x, y, s, *unit)


LEARNT = ("pretrain", "train")
"""The parts that a frontier and its peers learn from: all rows that are neither validation nor test."""


def rows(splits: Checkpoint, *parts: str) -> Int[Tensor, "R n"]:
    """Return the row numbers of one part or several in every replicate; all replicates have equally many."""
    codes = splits.tensors["splits"]
    is_in = reduce(torch.logical_or, (codes == SPLITS.index(part) for part in parts))
    return torch.stack([each.nonzero().squeeze(1) for each in is_in])
