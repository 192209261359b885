"""The exported model: one of the chosen models of all replicates."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.artifacts.networks_served import served
from counterpoise.artifacts.serving import Servable
from counterpoise.catalogue import CHOSEN
from counterpoise.config.parameters import Block, Dataset
from counterpoise.data.encode import feature_names
from counterpoise.data.encoding import EXAMPLE_ROWS, numbers
from counterpoise.errors import InputError
from counterpoise.fairness import typical
from counterpoise.methods.frontier_results import HEAD, RULE
from counterpoise.methods.repair import under
from counterpoise.methods.rules.linear import share_divided
from counterpoise.pipelines.shared.bases import inputs_of, read_bases
from counterpoise.pipelines.shared.bodies import body_of, on_body
from counterpoise.pipelines.shared.trained import Trained

logger = logging.getLogger(__name__)


def export_model(
    samples: pd.DataFrame,
    bases: Checkpoint,
    chosen_models: Checkpoint,
    selection: pd.DataFrame,
    dataset: Dataset,
    run: dict[str, Any],
    encoding: dict[str, Any] | None = None,
    features: Checkpoint | None = None,
) -> Servable:
    """Return one replicate's chosen model, its input the columns of a table or the features f0 … of an image.

    Args:
        chosen_models: heads and rules by family.
        selection: `seed, family, variant, base, constraint, strength, tolerance, criterion, validation_err,
            validation_bias, meets`; the row that decided becomes the model's metadata, with the share of rows that a
            rule's dither decides otherwise, `divided`.
        encoding: of a table; without one, samples or features are numbers that are taken as they are.

    Raises:
        InputError: the chosen models are of other seeds than the bases.
    """
    seeds = chosen_models.header["seeds"]
    if seeds != (expected := bases.header["seeds"]):
        raise InputError(
            f"chosen_models.safetensors has the seeds {seeds}, expected {expected}, as in bases.safetensors: run "
            "the stages before this one too"
        )
    chosen = exported_choice(selection)
    x = inputs_of(samples, features)
    if encoding is None:
        names = feature_names(samples) if features is None else [f"f{i}" for i in range(x.shape[1])]
        encoding = numbers(names) | {"example": dict(zip(names, x[:EXAMPLE_ROWS].double().T.tolist(), strict=True))}
    grounds = read_bases(bases, groups=len(dataset.groups), classes=len(dataset.classes))
    (ground,) = (one for one in grounds[seeds.index(chosen["seed"])] if one.kind == chosen["base"])
    stored = under(f"{CHOSEN}.{chosen['seed']}", chosen_models.tensors)
    head = stored.get(HEAD)
    if head is not None:  # of the widest replicate's length, with zeros before the intercept
        head = torch.cat([head[: len(ground.head) - 1], head[-1:]])
    rule = stored.get(RULE)
    divided = 0.0 if rule is None else share_divided(ground.joint(x), rule)
    if divided > 0:
        logger.info(
            "The exported rule divides rows near a tie by a fixed pattern of their scores: %.1f%% are decided "
            "otherwise than without it (bias_scores.dither)",
            100 * divided,
        )
    return served(
        ground,
        head=head,
        rule=rule,
        threshold=chosen["threshold"] or 0.0,
        encoding={name: value for name, value in encoding.items() if name != "example"},
        classes=tuple(dataset.classes),
        label=dataset.label,
        experiment=run["experiment"],
        example=pd.DataFrame(encoding["example"]),
        metadata={**chosen, "divided": divided, "digests": bases.header["digests"]},
    )


def export_on_model(
    samples: pd.DataFrame,
    bases: Checkpoint,
    chosen_models: Checkpoint,
    selection: pd.DataFrame,
    dataset: Dataset,
    run: dict[str, Any],
    encoding: dict[str, Any],
    features: Checkpoint,
    table: pd.DataFrame,
    model_files: Path,
    model: Block[Trained],
) -> Servable:
    """Return one replicate's chosen model on a model of the user's: its input are columns of the table.

    Where that model has no form without pickled objects, the input are its features f0, f1, …; see `bodies.body_of`.
    """
    servable = export_model(samples, bases, chosen_models, selection, dataset, run, features=features)
    written = body_of(samples, table, model_files, model.root, dataset, encoding)
    return servable if written is None else on_body(servable, *written)


def exported_choice(selection: pd.DataFrame) -> dict[str, Any]:
    """Return the row of the family `chosen` whose seed stands for all (`fairness.typical`), as validation judges them.

    Plain values, null where there is none.
    """
    ours = selection[selection["family"] == CHOSEN].drop(columns="family")
    err, bias = (torch.tensor(ours[name].to_numpy(dtype=np.float64)) for name in ("validation_err", "validation_bias"))
    place = typical(err, bias, torch.tensor(ours["meets"].to_numpy(dtype=bool)))
    (row,) = ours.iloc[[place]].to_dict("records")
    return {str(name): None if pd.isna(value) else value for name, value in row.items()}
