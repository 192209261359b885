"""Make fair networks of the masks: fine-tune, graft, augment; and prune the base until it mimics them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from counterpoise.nn.networks import require_fitting
from counterpoise.params import Compute, Dataset, Seeds
from counterpoise.params_altering import Altering, ObjectiveSettings
from counterpoise.pipelines import repairs
from counterpoise.storage import Checkpoint


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
