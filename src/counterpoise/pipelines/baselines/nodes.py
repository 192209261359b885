"""What the repairs are compared with: the base, thresholds, full networks, post- and in-processing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Compute, Dataset, Seeds
from counterpoise.config.repairs import Altering, ObjectiveSettings
from counterpoise.pipelines.shared import repairs


def run_baselines(
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
) -> tuple[Checkpoint, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Run every baseline and control on the rows that the repairs are given.

    Returns:
        The networks; their predictions, how each was chosen, and learning curves.
    """
    task = repairs.task_of(
        "baselines", samples, splits, pretrained, dataset, network, objective, seeds, training_states, pixels
    )
    return repairs.run_stage(task, "baselines", altering, epochs, compute, pretrained, {})
