"""What the stages that work on whole networks share: how networks are made, and how all replicates are run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.artifacts.states import TrainingStates
from counterpoise.compute import replicate
from counterpoise.config.parameters import Compute, Dataset, Network, Seeds
from counterpoise.config.repairs import PixelPerceptron, PlainConvNet, ResNet, image_network
from counterpoise.features.weights import read_state
from counterpoise.methods.problem import Problem
from counterpoise.nn.builders import (
    Builder,
    ImageBuilder,
    InitialWeights,
    PixelPerceptronBuilder,
    PlainConvBuilder,
    ResNetBuilder,
    StackedBuilder,
)
from counterpoise.nn.epochs import digest
from counterpoise.pipelines.shared.arrays import examples, feature_matrix, input_statistics, require_seeds, rows
from counterpoise.pipelines.shared.progress import training_progress, trainings_progress

IMAGE_BUILDERS: Mapping[type[Any], Callable[..., ImageBuilder]] = {
    ResNet: ResNetBuilder,
    PlainConvNet: PlainConvBuilder,
    PixelPerceptron: PixelPerceptronBuilder,
}

PARTS = ("pretrain", "train", "validation", "test")


def builder_of(
    network: Mapping[str, Any],
    dataset: Dataset,
    seeds: Seeds,
    x: Tensor,
    mean: Float[Tensor, "R D"] | None = None,
    scale: Float[Tensor, "R D"] | None = None,
) -> Builder:
    """Return what makes an experiment's networks, for images [N, 3, H, W] or tables [N, D]; all weights are drawn.

    Args:
        network: a block of `convnets` or `networks`. Kedro cannot check a type that may be one or the other; both were
            checked when the session opened.
    """
    outputs = 1 if len(dataset.classes) == 2 else len(dataset.classes)
    if x.ndim > 2:
        settings = image_network(network)
        own = settings.model_dump(exclude={"architecture", "weights"}) | {"outputs": outputs, "seeds": seeds.root}
        if isinstance(settings, PixelPerceptron):
            own["inputs"] = math.prod(x.shape[1:])
        return IMAGE_BUILDERS[type(settings)](**own)
    small = Network(**network)
    hidden = (small.width,) * (small.layers - 1)
    return StackedBuilder(x.shape[1], hidden, outputs, seeds.root, small.dropout, mean, scale)


def resting_builder(
    network: Mapping[str, Any],
    dataset: Dataset,
    seeds: Seeds,
    x: Tensor,
    mean: Float[Tensor, "R D"] | None = None,
    scale: Float[Tensor, "R D"] | None = None,
) -> Builder:
    """Return what makes the same networks on the processor, for weights that all come from checkpoints."""
    builder = builder_of(network, dataset, seeds, x, mean, scale)
    return replace(builder, accelerated=False) if isinstance(builder, ImageBuilder) else builder


def inputs(samples: pd.DataFrame, pixels: Checkpoint | None) -> Tensor:
    """Return what networks read: the columns of a table, or images."""
    return feature_matrix(samples) if pixels is None else pixels.tensors["pixels"]


def problem_of(
    stage: str,
    samples: pd.DataFrame,
    splits: Checkpoint,
    pretrained: Checkpoint | None,
    dataset: Dataset,
    network: Mapping[str, Any],
    seeds: Seeds,
    training_states: Path,
    pixels: Checkpoint | None,
) -> Problem:
    """Return the problem that all methods of a stage are given.

    Args:
        pretrained: None where it is about to be trained: the base is empty, and a table's input is standardised with
            the statistics of the pretraining rows.

    Raises:
        InputError: the checkpoints are of other seeds.
    """
    require_seeds(seeds, splits=splits, **({} if pretrained is None else {"pretrained": pretrained}))
    x, parts = inputs(samples, pixels), [rows(splits, part) for part in PARTS]
    pretrain, fit, select, test = parts
    base = {} if pretrained is None else pretrained.tensors
    mean, scale = base.get("mean"), base.get("scale")
    if pretrained is None and pixels is None:
        mean, scale = input_statistics(x, pretrain)
    builder = builder_of(network, dataset, seeds, x, mean, scale)
    if isinstance(builder, ResNetBuilder) and (path := network.get("weights")) is not None:
        builder = replace(builder, weights=InitialWeights(path, read_state(Path(path))))
    # Parts of an experiment may share their samples and differ in the rows alone, and run side by side.
    known = digest(splits.header["digests"]["samples"], *(part[:1] for part in parts))
    return Problem(
        build=builder,
        base=base,
        examples=examples(samples, x),
        pretrain=pretrain,
        fit=fit,
        select=select,
        test=test,
        seeds=seeds.root,
        states=TrainingStates(training_states / f"{stage}-{known}"),
        device=builder.device if isinstance(builder, ImageBuilder) else torch.device("cpu"),
    )


def run(
    task: Problem, function: Callable[..., Any], arguments: tuple[Any, ...], compute: Compute, description: str
) -> list[Any]:
    """Return `function(task, *arguments)`: of all replicates at once, or of each on its own where they do not stack.

    Trainings under way are kept in the task's folder; a run that is killed goes on at the epoch it had reached.
    """
    seeds = task.seeds
    if not isinstance(task.build, ImageBuilder):
        with trainings_progress() as follow:
            results = [function(replace(task, progress=follow), *arguments)]
    else:
        shared, where = (task, function, arguments), compute.model_dump()
        with training_progress(description, len(seeds)) as advance:
            results = replicate(_one, range(len(seeds)), shared=shared, on_done=advance, **where)
    return results


def _one(position: int, task: Problem, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    own = [_replicate_of(argument, position) for argument in arguments]
    return function(task.replicate(position), *own)


def _replicate_of(argument: Any, position: int) -> Any:
    """Return a replicate's part of masks by kind and name; settings and names are for all."""
    if not isinstance(argument, dict):
        return argument
    return {
        kind: {name: tensor[position : position + 1] for name, tensor in masks.items()}
        for kind, masks in argument.items()
    }


@runtime_checkable
class Followed(Protocol):
    """What a method has made of the networks, as far as its training was followed."""

    @property
    def name(self) -> str:
        """The variant's."""

    @property
    def curves(self) -> Mapping[str, Float64[Tensor, "R E"]]:
        """Figures of every epoch, by name."""


def learning_curves(results: Sequence[Followed], seeds: Sequence[int]) -> pd.DataFrame:
    """Return `variant, seed, epoch, figure, value` of every epoch of every training."""
    curves = [
        pd.DataFrame({"epoch": range(1, values.shape[1] + 1), "value": values[r].numpy()}).assign(
            variant=result.name, seed=seed, figure=figure
        )
        for result in results
        for r, seed in enumerate(seeds)
        for figure, values in result.curves.items()
    ]
    columns = ["variant", "seed", "epoch", "figure", "value"]
    return pd.concat(curves, ignore_index=True)[columns] if curves else pd.DataFrame(columns=columns)


def epochs_of(result: Followed) -> int | None:
    """Return how many epochs a training had; None where nothing was trained."""
    return next((values.shape[1] for values in result.curves.values()), None)


def forget(task: Problem) -> None:
    """Remove the states of trainings under way once all of them are done."""
    assert isinstance(task.states, TrainingStates)
    task.states.delete()
