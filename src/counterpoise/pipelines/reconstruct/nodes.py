"""Make fair networks of the masks, by fine-tuning, grafts, augmentation, mimicry; and small ones of what is pruned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from counterpoise import compacted
from counterpoise.compacted import CompactModel
from counterpoise.nn.builders import ResNetBuilder
from counterpoise.nn.costs import Saving, shrink
from counterpoise.nn.networks import require_fitting
from counterpoise.params import Compute, Dataset, Seeds
from counterpoise.params_altering import Altering, ObjectiveSettings
from counterpoise.pipelines import repairs, whole_networks
from counterpoise.pipelines.arrays import origin, require_seeds, rows
from counterpoise.reporting.wording import LAST
from counterpoise.storage import Checkpoint

COSTS = {
    "method": "str",
    "variant": "str",
    "seed": "int64",
    **{f"{number}{state}": "int64" for number in ("parameters", "nonzero", "macs") for state in ("", "_compact")},
    **dict.fromkeys(("latency", "latency_compact", "latency_ratio"), "float64"),
    "batch": "int64",
    "difference": "float64",
    "compared": "int64",
}
"""The columns of `costs.parquet`, which has no row where nothing is pruned."""


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
    x, test = whole_networks.inputs(samples, pixels), rows(splits, "test")
    statistics = {name: pretrained.tensors.get(name) for name in repairs.STATISTICS}
    builder = whole_networks.builder_of(network, dataset, seeds, x, **statistics)
    if isinstance(builder, ResNetBuilder):
        builder = replace(builder, weights=None, accelerated=False)  # all weights come from the checkpoints
    columns = () if pixels is not None else tuple(samples.columns.drop(["y", "s"]))
    tensors = masked_networks.tensors | reconstructed.tensors
    chosen = _pruned(masked_repairs, reconstructed_repairs)
    models, costs = [], []
    for r, seed in enumerate(seeds.root):
        single, seen = builder.replicate(r)(), x[test[r]].unsqueeze(0)
        known = chosen[chosen["seed"] == seed]
        for method, variant, threshold in zip(known["method"], known["variant"], known["threshold"], strict=True):
            own = repairs.network_of(tensors, variant)
            single.load(single.state() | {name: tensor[r : r + 1] for name, tensor in own.items()})
            saving = shrink(single, seen, name=f"{variant}, seed {seed}")
            models.append(CompactModel(variant, seed, saving.module, dataset.classes, columns, threshold))
            costs.append(_cost(method, variant, seed, saving))
    table = pd.DataFrame(costs, columns=list(COSTS)).astype(COSTS)
    return compacted.write(models, **origin(pretrained)), table


def _pruned(*chosen: pd.DataFrame) -> pd.DataFrame:
    """Return how the models were chosen whose networks are stored and pruned."""
    every = pd.concat([frame for frame in chosen if len(frame)] or chosen)
    return every[every["pruned"].notna() & ~every["variant"].str.endswith(LAST)]


def _cost(method: str, variant: str, seed: int, saving: Saving) -> dict[str, Any]:
    """Return a row of the table of costs; times in milliseconds."""
    before, after = saving.before, saving.after
    return {
        "method": method,
        "variant": variant,
        "seed": seed,
        "parameters": before.parameters,
        "parameters_compact": after.parameters,
        "nonzero": before.nonzero,
        "nonzero_compact": after.nonzero,
        "macs": before.macs,
        "macs_compact": after.macs,
        "latency": saving.seconds[0] * 1000,
        "latency_compact": saving.seconds[1] * 1000,
        "latency_ratio": saving.seconds[1] / saving.seconds[0],
        "batch": saving.batch,
        "difference": saving.difference,
        "compared": saving.compared,
    }
