"""Find the weights that carry the unfairness, and show what leaving them out alone does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Compute, Dataset, Seeds
from counterpoise.config.repairs import Altering, ObjectiveSettings
from counterpoise.methods.weights import catalogue
from counterpoise.methods.weights.mask_discovery import agreement, pruned_by_layer
from counterpoise.nn.networks import Weights
from counterpoise.pipelines.shared import repairs
from counterpoise.pipelines.shared.networks import forget, run


def discover(
    samples: pd.DataFrame,
    splits: Checkpoint,
    pretrained: Checkpoint,
    dataset: Dataset,
    network: dict[str, Any],
    objective: ObjectiveSettings,
    altering: Altering,
    training_states: Path,
    compute: Compute,
    epochs: int | None,
    seeds: Seeds,
    pixels: Checkpoint | None = None,
) -> tuple[Checkpoint, Checkpoint, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Learn every replicate's masks; the networks' weights stay as they are.

    Returns:
        The masks by discovery; the masked networks; their predictions, how each was chosen, and learning curves.
    """
    task = repairs.task_of(
        "masks", samples, splits, pretrained, dataset, network, objective, seeds, training_states, pixels
    )
    names = catalogue.methods_of("mask_discovery", altering.methods)
    settings, second = repairs.settings_of(altering, epochs), "external_graft" in altering.methods
    find = partial(catalogue.discover_masks, second=second)
    found = run(task, find, (names, settings), compute, "mask discovery")
    results = catalogue.join([own for own, _ in found])
    masks = catalogue.join_weights([own for _, own in found])
    forget(task)
    return (
        repairs.write_masks(masks, pretrained),
        repairs.networks(results, pretrained),
        *repairs.frames(task, results),
    )


def describe_masks(masks: Checkpoint) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the share that each discovery prunes, by layer and seed, and how far two seeds prune the same weights.

    Returns:
        `mask, layer, position, seed, pruned`; and `mask, left, right, iou, chance`, where chance is the intersection
        over union that masks would have that prune as many weights of each layer, anywhere in it.
    """
    seeds = masks.header["seeds"]
    layers, pairs = [], []
    for kind, own in repairs.read_masks(masks).items():
        layers += [
            {"mask": kind, "layer": name, "position": position, "seed": seed, "pruned": float(shares[r])}
            for position, (name, shares) in enumerate(pruned_by_layer(own).items())
            for r, seed in enumerate(seeds)
        ]
        pairs += _pairs(kind, own, seeds)
    return pd.DataFrame(layers), pd.DataFrame(pairs, columns=["mask", "left", "right", "iou", "chance"])


def _pairs(kind: str, masks: Weights, seeds: list[int]) -> list[dict[str, object]]:
    iou = agreement(masks)
    sizes = torch.tensor([mask[0].numel() for mask in masks.values()])
    pruned = torch.stack(list(pruned_by_layer(masks).values())) * sizes.unsqueeze(1)  # [layers, R]
    made = []
    for i, left in enumerate(seeds):
        for j, right in enumerate(seeds[:i]):
            both = (pruned[:, i] * pruned[:, j] / sizes).sum()
            chance = both / (pruned[:, i].sum() + pruned[:, j].sum() - both)
            made.append({"mask": kind, "left": left, "right": right, "iou": float(iou[i, j]), "chance": float(chance)})
    return made
