"""Fine-tune the heads of every variant, and whole networks beside them; store their predictions of the test rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Block, Dataset, Seeds
from counterpoise.methods.heads import finetuning, retraining
from counterpoise.methods.heads.problem import settings_of
from counterpoise.methods.heads.retraining import Penalties, Retraining
from counterpoise.methods.repair import Result
from counterpoise.nn import Factors, StackedMLP
from counterpoise.nn.settings import Training
from counterpoise.pipelines.shared.arrays import feature_matrix, origin, require_seeds
from counterpoise.pipelines.shared.heads import followed, pretrained_head, problem_of, write_results
from counterpoise.pipelines.shared.predictions import joined, predictions_of_results


def train_heads(
    samples: pd.DataFrame,
    splits: Checkpoint,
    features: Checkpoint,
    pretrained: Checkpoint,
    head_bank: Checkpoint,
    dataset: Dataset,
    finetune: Block[Training],
    epochs: int | None,
    seeds: Seeds,
) -> tuple[Checkpoint, pd.DataFrame, pd.DataFrame]:
    """Train the bank on the new task; each head keeps its epoch with the lowest validation error.

    Returns:
        The heads at their chosen epochs, the learning curves, and the predictions of the pretrained head and of these.
    """
    head, x = Factors(*pretrained_head(pretrained)), features.tensors["features"]
    with followed(problem_of(samples, splits, x, dataset, seeds, head_bank, head)) as problem:
        results = finetuning.run(problem, finetune.root.lasting(epochs), {})
    predicted = [finetuning.pretrained(problem), *results]
    return (
        write_results(results, **origin(splits)),
        _curves(results, seeds),
        predictions_of_results(problem.examples, predicted, seeds.root, problem.test),
    )


def retrain_networks(
    samples: pd.DataFrame,
    splits: Checkpoint,
    pretrained: Checkpoint,
    head_predictions: pd.DataFrame,
    retrain: Block[Penalties],
    dataset: Dataset,
    finetune: Block[Training],
    epochs: int | None,
    seeds: Seeds,
) -> tuple[Checkpoint, pd.DataFrame]:
    """Fine-tune every weight of the pretrained networks on the new task, once under each penalty.

    Returns:
        The networks at their epochs with the lowest validation error, variants on the second axis; the predictions of
        heads and of networks.
    """
    require_seeds(seeds, splits=splits, pretrained=pretrained)
    widths = pretrained.header["widths"]
    problem = replace(
        problem_of(samples, splits, feature_matrix(samples), dataset, seeds),
        networks=lambda copies: StackedMLP.from_state(pretrained.tensors, widths, copies=copies),
    )
    with followed(problem) as problem:
        results = retraining.run(problem, Retraining(retrain.root, finetune.root.lasting(epochs)), {})
    parts = [result.part("network") for result in results]
    networks = {name: torch.stack([part[name] for part in parts], dim=1) for name in parts[0]}
    header = as_header(architecture="mlp", widths=widths, variants=settings_of(results), **origin(splits))
    predicted = predictions_of_results(problem.examples, results, seeds.root, problem.test)
    return (
        Checkpoint(pretrained.tensors | networks, header),
        joined([head_predictions.copy(deep=False), predicted]),
    )


def _curves(results: Sequence[Result], seeds: Seeds) -> pd.DataFrame:
    """Return `method, variant, seed, epoch, loss, validation_err, chosen`, one row per epoch of every head."""
    curves = []
    for result in results:
        assert result.epoch is not None
        epochs = np.arange(1, (result.epochs or 0) + 1)
        curves += [
            pd.DataFrame(
                {
                    "method": result.facts["method"],
                    "variant": result.name,
                    "seed": seed,
                    "epoch": epochs,
                    **{name: values[r].numpy() for name, values in result.curves.items()},
                    "chosen": epochs == result.epoch[r].item(),
                }
            )
            for r, seed in enumerate(seeds.root)
        ]
    return pd.concat(curves, ignore_index=True)
