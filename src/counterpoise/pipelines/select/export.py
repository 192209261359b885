"""The exported model: of the chosen heads of all replicates, the one to use."""

from __future__ import annotations

from typing import Any

import pandas as pd

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.artifacts.serving import Servable, servable
from counterpoise.config.parameters import Dataset
from counterpoise.errors import InputError
from counterpoise.pipelines.shared.arrays import feature_matrix, require_features
from counterpoise.pipelines.shared.heads import CHOSEN, read_heads

EXAMPLE_ROWS = 5


def export_model(
    samples: pd.DataFrame,
    features: Checkpoint,
    pretrained: Checkpoint,
    chosen_models: Checkpoint,
    selection: pd.DataFrame,
    dataset: Dataset,
    run: dict[str, Any],
) -> Servable:
    """Return one replicate's chosen model, its input the columns of a table or the features f0 … of an image.

    Args:
        chosen_models: heads by family.
        selection: `seed, family, variant, constraint, strength, tolerance, criterion, validation_err, validation_bias,
            meets`; the row that decided becomes the model's metadata.

    Raises:
        InputError: the chosen heads are of other seeds, or of another number of features, than the networks.
    """
    seeds = chosen_models.header["seeds"]
    if seeds != (expected := pretrained.header["seeds"]):
        raise InputError(
            f"chosen_models.safetensors has the seeds {seeds}, expected {expected}, as in pretrained.safetensors: run "
            "the stages before this one too"
        )
    head = read_heads(chosen_models)[CHOSEN]
    require_features(features.tensors["features"], "chosen_models", head.first.shape[-2])
    chosen = best(selection)
    if "image" in samples:
        x = features.tensors["features"]
        columns = [f"f{i}" for i in range(x.shape[1])]
    else:
        x, columns = feature_matrix(samples), list(samples.columns.drop(["y", "s"]))
    return servable(
        pretrained,
        head,
        seeds.index(chosen["seed"]),
        columns=columns,
        classes=dataset.classes,
        label=dataset.label,
        experiment=run["experiment"],
        example=x[:EXAMPLE_ROWS],
        metadata={**chosen, "digests": pretrained.header["digests"]},
    )


def best(selection: pd.DataFrame) -> dict[str, Any]:
    """Return the row of the family `chosen` with the lowest validation error among those that meet the tolerance.

    If none meets it, the row with the lowest validation bias. Plain values, null where there is none.
    """
    ours = selection[selection["family"] == CHOSEN].drop(columns="family")
    meeting = ours[ours["meets"].astype(bool)]
    by_error, by_bias = ["validation_err", "validation_bias", "seed"], ["validation_bias", "validation_err", "seed"]
    first = (ours.sort_values(by_bias) if meeting.empty else meeting.sort_values(by_error)).iloc[:1]
    (row,) = first.to_dict("records")
    return {str(name): None if pd.isna(value) else value for name, value in row.items()}
