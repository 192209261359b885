"""Masks by chance, and by the size of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from counterpoise.methods.masks import magnitude_masks, random_masks
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.mask_discovery import discovered, pruned_by_layer

Earlier = dict[str, list[Result]]


def test_random_masks_prune_as_many_of_each_layer(
    unfair: Callable[..., Problem], after_masks: Callable[..., Earlier]
) -> None:
    task = unfair()
    masks = discovered(after_masks(task))
    drawn = random_masks(task, masks)
    for name, share in pruned_by_layer(masks).items():
        assert torch.equal(pruned_by_layer(drawn)[name], share)
        assert not torch.equal(drawn[name], masks[name])
    assert all(torch.equal(mask, drawn[name]) for name, mask in random_masks(task, masks).items())
    often = torch.stack(
        [random_masks(unfair((seed,)), {"w": torch.arange(40).view(1, 5, 8) >= 10})["w"] for seed in (0, 1, 5)]
    )
    assert (~often).sum(dim=(2, 3)).flatten().tolist() == [10, 10, 10]


def test_magnitude_masks_close_the_smallest_weights_of_each_replicate(
    unfair: Callable[..., Problem], generator: torch.Generator
) -> None:
    weights = torch.randn(3, 4, 5, generator=generator)
    like = torch.ones(3, 20, dtype=torch.bool)
    for replicate, closed in enumerate((0, 7, 20)):
        like[replicate, :closed] = False
    problem = replace(unfair(), base={"w": weights})
    opened = magnitude_masks(problem, {"w": like.view(3, 4, 5)})["w"]
    assert (~opened).sum(dim=(1, 2)).tolist() == [0, 7, 20]
    size = weights[1].abs()
    assert size[~opened[1]].max() < size[opened[1]].min()
