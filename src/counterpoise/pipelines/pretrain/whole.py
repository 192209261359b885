"""The models that the second paper repairs: whole networks, each at its epoch with the lowest validation loss."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from counterpoise.methods.altering.objective import task_loss
from counterpoise.methods.altering.task import Task
from counterpoise.methods.altering.tuning import WeightTuning
from counterpoise.nn import Optimizer
from counterpoise.nn.epochs import Figures, Trained
from counterpoise.nn.networks import Output, evaluate
from counterpoise.params import Compute, Dataset, Seeds, Training
from counterpoise.params_altering import ObjectiveSettings
from counterpoise.pipelines import repairs
from counterpoise.pipelines.arrays import origin
from counterpoise.storage import Checkpoint, as_header


def train_base(
    samples: pd.DataFrame,
    splits: Checkpoint,
    dataset: Dataset,
    network: dict[str, Any],
    objective: ObjectiveSettings,
    pretrain: Training,
    training_states: Path,
    compute: Compute,
    epochs: int | None,
    seeds: Seeds,
    pixels: Checkpoint | None = None,
) -> tuple[Checkpoint, pd.DataFrame]:
    """Train each replicate's network on its pretraining rows; images are cropped and mirrored at random.

    Returns:
        The networks at their epochs with the lowest loss on D_val, and the learning curves.
    """
    task = repairs.task_of(
        "pretrain", samples, splits, None, dataset, network, objective, seeds, training_states, pixels
    )
    settings = pretrain if epochs is None else pretrain.model_copy(update={"epochs": epochs})
    augment = pixels is not None
    known = repr(sorted(network.items()))
    trained: list[Trained] = repairs.run(task, _train, (settings, known, augment), compute, "pretrain")
    repairs.forget(task)
    state = {name: torch.cat([one.best[name] for one in trained]).cpu() for name in trained[0].best}
    best_epoch = torch.cat([one.best_epoch for one in trained]).tolist()
    header = as_header(
        architecture="resnet18" if augment else "perceptron",
        network=network,
        best_epoch=best_epoch,
        **origin(splits),
    )
    losses = torch.cat([-one.curves["judgement"] for one in trained])
    curves = [
        pd.DataFrame({"epoch": range(1, own.shape[0] + 1), "value": own.numpy()}).assign(
            variant="base", seed=seed, figure="validation_loss"
        )
        for seed, own in zip(seeds.root, losses, strict=True)
    ]
    followed = pd.concat(curves, ignore_index=True)[["variant", "seed", "epoch", "figure", "value"]]
    return Checkpoint(state, header), followed


def _train(task: Task, settings: Training, known: str, augment: bool) -> Trained:
    network, batch = task.build(), settings.batch_size or task.pretrain.shape[1]

    def loss(output: Output, y: Tensor, s: Tensor) -> Tensor:
        return task_loss(output.logits, y)

    def figures() -> Figures:
        logits = evaluate(network, task.examples, task.validation).logits
        return {"judgement": -task_loss(logits, task.labels(task.validation)[0])}

    trainee = WeightTuning(
        network,
        loss,
        optimizer=Optimizer(**settings.optimizer.model_dump()),
        steps=settings.epochs * math.ceil(task.pretrain.shape[1] / batch),
        batch_size=batch,
        generators=task.generators("base: noise"),
        augment=augment,
    )
    return task.train(
        trainee,
        name="base",
        settings=(settings.model_dump(), known, augment),
        epochs=settings.epochs,
        batch_size=batch,
        rows=task.pretrain,
        figures=figures,
    )
