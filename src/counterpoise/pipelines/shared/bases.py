"""Bases as an artifact: the tensors of each replicate's bases, and in the header what validation chose for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Dataset
from counterpoise.methods.bases.ground import Choice, Ground, from_tensors
from counterpoise.methods.bases.perceptron import Shape
from counterpoise.methods.repair import under
from counterpoise.nn.trees import Boosting
from counterpoise.pipelines.shared.arrays import feature_matrix


def inputs_of(samples: pd.DataFrame, features: Checkpoint | None) -> Tensor:
    """Return what bases read: features that come ready, else the columns of a table [N, D]."""
    return feature_matrix(samples) if features is None else features.tensors["features"]


def perceptron_features(bases: Checkpoint, x: Float[Tensor, "N D"], dataset: Dataset) -> Float[Tensor, "R N d"] | None:
    """Return what the last layer of each replicate's perceptron sees; narrower ones end in zeros. None without one."""
    grounds = read_bases(bases, groups=len(dataset.groups), classes=len(dataset.classes))
    views = [ground.base.view(x)[0] for each in grounds for ground in each if ground.kind == "perceptron"]
    if not views:
        return None
    width = max(view.shape[1] for view in views)
    return torch.stack([functional.pad(view, (0, width - view.shape[1])) for view in views])


def write_bases(bases: Sequence[Sequence[Ground]], **header: Any) -> Checkpoint:
    """Store the bases of all replicates as `<replicate>.<kind>.<name>`."""
    tensors = {
        f"{r}.{ground.kind}.{name}": tensor.detach().contiguous()
        for r, each in enumerate(bases)
        for ground in each
        for name, tensor in ground.tensors().items()
    }
    # Lists, whose order a header keeps, as it does not keep that of mappings.
    chosen = [[{"kind": ground.kind, **asdict(ground.choice)} for ground in each] for each in bases]
    return Checkpoint(tensors, as_header(architecture="bases", chosen=chosen, **header))


def read_bases(checkpoint: Checkpoint, *, groups: int, classes: int) -> list[list[Ground]]:
    """Return the bases of `write_bases`."""
    return [
        [
            from_tensors(
                chosen["kind"],
                _choice(chosen),
                under(f"{r}.{chosen['kind']}", checkpoint.tensors),
                groups=groups,
                classes=classes,
            )
            for chosen in each
        ]
        for r, each in enumerate(checkpoint.header["chosen"])
    ]


def _choice(stored: dict[str, Any]) -> Choice:
    stored = {"group_pull": stored["pull"]} | stored  # earlier versions held both kinds of heads alike
    boosting, shape = stored["boosting"], stored["shape"]
    return Choice(
        None if boosting is None else Boosting(**boosting),
        None if shape is None else Shape(**shape),
        **{name: value for name, value in stored.items() if name not in ("kind", "boosting", "shape")},
    )
