"""Boosted trees in checkpoints: how they are written, read, and written back with a head's leaf values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.errors import InputError
from counterpoise.nn import Factors
from counterpoise.nn.trees import Trees, as_bytes, as_text

ARCHITECTURE = "trees"


def write_trees(texts: Sequence[str], **header: Any) -> Checkpoint:
    """Store each replicate's trees as text, `trees.<r>` (UTF-8), and their leaf values as a head of two classes.

    `weights.0` [R, 1, L, 2] is −v/2 and v/2, so that z₁ − z₀ = v, and `biases.0` [R, 1, 2] zero: LightGBM's own bias is
    part of the first tree's leaves. L is the largest number of leaves; replicates with fewer have zeros at the end.
    """
    grown = [Trees(text) for text in texts]
    most = max(trees.leaves for trees in grown)
    values = torch.stack([pad(trees.values.float(), (0, most - trees.leaves)) for trees in grown])
    tensors = {
        "weights.0": torch.stack([-values / 2, values / 2], dim=-1).unsqueeze(1),
        "biases.0": torch.zeros(len(grown), 1, 2),
        **{f"trees.{r}": as_bytes(text) for r, text in enumerate(texts)},
    }
    return Checkpoint(tensors, as_header(architecture=ARCHITECTURE, widths=[most, 2], **header))


def read_trees(pretrained: Checkpoint, replicate: int) -> Trees:
    """Return one replicate's trees.

    Raises:
        InputError: the checkpoint is of another architecture.
    """
    if (architecture := pretrained.header["architecture"]) != ARCHITECTURE:
        raise InputError(f"pretrained.safetensors has the architecture {architecture!r}, expected {ARCHITECTURE!r}")
    return Trees(as_text(pretrained.tensors[f"trees.{replicate}"]))


def repaired_trees(pretrained: Checkpoint, head: Factors, replicate: int, shift: float = 0.0) -> Trees:
    """Return one replicate's trees with the leaf values of a head: an ordinary LightGBM model with the head's margins.

    Args:
        shift: added to every margin: minus the decision threshold, where the decision is to be at a margin of 0.
    """
    trees = read_trees(pretrained, replicate)
    first, second = head.first[replicate].double(), None if head.second is None else head.second[replicate].double()
    weight = (first if second is None else first @ second)[: trees.leaves]
    bias = head.bias[replicate].double()
    return trees.with_values(weight[:, 1] - weight[:, 0], shift=float(bias[1] - bias[0]) + shift)
