"""Masks without regard to fairness: controls of learnt masks, with as many zeros in each layer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool
from torch import Tensor

from counterpoise.methods.problem import Problem
from counterpoise.nn.networks import Masks


def random_masks(problem: Problem, masks: Masks) -> dict[str, Bool[Tensor, "R ..."]]:
    """Return masks that prune as many weights of each layer as `masks`, chosen by chance."""
    drawn = problem.generators("random mask")
    drawn_masks = {}
    for name, mask in masks.items():
        flat = mask.flatten(1)
        order = torch.stack([torch.rand(flat.shape[1], generator=generator) for generator in drawn]).argsort(dim=1)
        pruned = (flat == 0).sum(dim=1, keepdim=True)
        drawn_masks[name] = (order.argsort(dim=1) >= pruned).view(mask.shape)
    return drawn_masks


def magnitude_masks(problem: Problem, like: Mapping[str, Tensor]) -> dict[str, Bool[Tensor, "R ..."]]:
    """Return masks that close as many weights of each layer as `like`, the smallest ones."""
    masks = {}
    for name, mask in like.items():
        size = problem.base[name].abs().flatten(1)
        closed = (~mask.bool()).flatten(1).sum(dim=1, keepdim=True)
        masks[name] = (size.argsort(dim=1).argsort(dim=1) >= closed).view(mask.shape)
    return masks
