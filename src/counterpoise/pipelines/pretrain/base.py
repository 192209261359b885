"""The models that are repaired by altering weights, or reduced to an unbiased part: whole networks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Block, Compute, Dataset, Seeds
from counterpoise.methods.outputs import task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.tuning import WeightTuning
from counterpoise.nn.epochs import Figures, Trained
from counterpoise.nn.networks import Output, evaluate
from counterpoise.nn.settings import Training
from counterpoise.pipelines.shared.arrays import origin
from counterpoise.pipelines.shared.networks import delete_checkpoints, problem_of, run


def train_base(
    samples: pd.DataFrame,
    splits: Checkpoint,
    dataset: Dataset,
    network: dict[str, Any],
    pretrain: Block[Training],
    training_states: Path,
    compute: Compute,
    epochs: int | None,
    seeds: Seeds,
    pixels: Checkpoint | None = None,
) -> tuple[Checkpoint, pd.DataFrame]:
    """Train each replicate's network on its pretraining rows; images may be cropped and mirrored at random.

    Returns:
        The networks, at their epochs with the lowest loss on `dval` or at the last one, and the learning curves.
    """
    problem = problem_of("pretrain", samples, splits, None, dataset, network, seeds, training_states, pixels)
    settings = pretrain.root.lasting(epochs)
    augment = pixels is not None and settings.augment
    architecture = repr(sorted(network.items()))
    trained: list[Trained] = run(problem, _train, (settings, architecture, augment), compute, "pretrain")
    delete_checkpoints(problem)
    chosen = [one.best if settings.keep == "best" else one.last for one in trained]
    state = {name: torch.cat([outcome[name] for outcome in chosen]).cpu() for name in chosen[0]}
    best = torch.cat([one.best_epoch for one in trained])
    kept_epoch = best.tolist() if settings.keep == "best" else [settings.epochs] * len(best)
    header = as_header(
        architecture=network.get("architecture", "resnet18") if pixels is not None else "perceptron",
        network=network,
        kept_epoch=kept_epoch,
        **origin(splits),
    )
    losses = torch.cat([-one.curves["judgement"] for one in trained])
    curves = [
        pd.DataFrame({"epoch": range(1, len(values) + 1), "value": values.numpy()}).assign(
            variant="base", seed=seed, figure="validation_loss"
        )
        for seed, values in zip(seeds.root, losses, strict=True)
    ]
    followed = pd.concat(curves, ignore_index=True)[["variant", "seed", "epoch", "figure", "value"]]
    return Checkpoint(state, header), followed


def _train(problem: Problem, settings: Training, architecture: str, augment: bool) -> Trained:
    network, batch = problem.build(), settings.batch_size or problem.pretrain.shape[1]

    def loss(output: Output, y: Tensor, s: Tensor) -> Tensor:
        return task_loss(output.logits, y)

    def figures() -> Figures:
        logits = evaluate(network, problem.examples, problem.dval).logits
        return {"judgement": -task_loss(logits, problem.labels(problem.dval)[0])}

    trainee = WeightTuning(
        network,
        loss,
        optimizer=settings.optimizer,
        steps=settings.epochs * math.ceil(problem.pretrain.shape[1] / batch),
        batch_size=batch,
        generators=problem.generators("base: noise"),
        augment=augment,
    )
    return problem.train(
        trainee,
        name="base",
        settings=(settings, architecture, augment),
        epochs=settings.epochs,
        batch_size=batch,
        rows=problem.pretrain,
        figures=figures,
    )
