"""Make fair networks of the masks, by fine-tuning, grafts, augmentation, mimicry; and small ones of what is pruned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Compute, Dataset, Seeds
from counterpoise.config.repairs import Altering, ObjectiveSettings
from counterpoise.methods.tuning import under
from counterpoise.nn.networks import Networks, require_fitting
from counterpoise.pipelines.shared import networks as whole_networks
from counterpoise.pipelines.shared import repairs
from counterpoise.pipelines.shared.arrays import require_seeds, rows
from counterpoise.pipelines.shared.compacting import Pruned, compact_pruned
from counterpoise.reporting.wording import LAST


def reconstruct(
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
    masks: Checkpoint,
    pixels: Checkpoint | None = None,
) -> tuple[Checkpoint, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Run every reconstruction on each replicate's masks.

    Returns:
        The networks; their predictions, how each was chosen, and learning curves.

    Raises:
        InputError: the masks are of another network.
    """
    task = repairs.task_of(
        "reconstruct", samples, splits, pretrained, dataset, network, objective, seeds, training_states, pixels
    )
    found = repairs.read_masks(masks)
    weights = {name: pretrained.tensors[name] for name in task.replicate(0).network().maskable()}
    for own in found.values():
        require_fitting(own, weights)
    return repairs.run_stage(task, "reconstruct", altering, epochs, compute, pretrained, found)


def compact_networks(
    samples: pd.DataFrame,
    splits: Checkpoint,
    pretrained: Checkpoint,
    masked_networks: Checkpoint,
    reconstructed: Checkpoint,
    masked_repairs: pd.DataFrame,
    reconstructed_repairs: pd.DataFrame,
    dataset: Dataset,
    network: dict[str, Any],
    seeds: Seeds,
    pixels: Checkpoint | None = None,
) -> tuple[Checkpoint, pd.DataFrame]:
    """Cut what is wholly pruned out of every pruned network, and measure what that saves.

    Args:
        masked_repairs, reconstructed_repairs: the variants with a share `pruned` are pruned, by weights that are zero.

    Returns:
        The compact networks; what each network needs before and after.

    Raises:
        InputError: the checkpoints are of other seeds.
    """
    require_seeds(
        seeds, splits=splits, pretrained=pretrained, masked_networks=masked_networks, reconstructed=reconstructed
    )
    x = whole_networks.inputs(samples, pixels)
    statistics = {name: pretrained.tensors.get(name) for name in repairs.STATISTICS}
    builder = whole_networks.resting_builder(network, dataset, seeds, x, **statistics)
    columns = () if pixels is not None else tuple(samples.columns.drop(["y", "s"]))
    tensors = masked_networks.tensors | reconstructed.tensors
    chosen = _pruned(masked_repairs, reconstructed_repairs)

    def pruned_of(r: int, single: Networks) -> Iterator[Pruned]:
        known = chosen[chosen["seed"] == seeds.root[r]]
        for method, variant, threshold in zip(known["method"], known["variant"], known["threshold"], strict=True):
            own = under(variant, tensors)
            yield Pruned(method, variant, threshold, {name: tensor[r : r + 1] for name, tensor in own.items()})

    return compact_pruned(builder, seeds, x, rows(splits, "test"), pruned_of, dataset, pretrained, columns)


def _pruned(*chosen: pd.DataFrame) -> pd.DataFrame:
    """Return how the models were chosen whose networks are stored and pruned."""
    every = pd.concat([frame for frame in chosen if len(frame)] or chosen)
    return every[every["pruned"].notna() & ~every["variant"].str.endswith(LAST)]
