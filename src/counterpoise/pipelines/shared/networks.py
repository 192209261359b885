"""What the stages that work on whole networks share: how networks are made, and how all replicates are run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.artifacts.states import TrainingStates
from counterpoise.compute import replicate
from counterpoise.config.parameters import (
    Compute,
    Dataset,
    Network,
    PixelPerceptron,
    PlainConvNet,
    ResNet,
    Seeds,
    image_network,
)
from counterpoise.features.weights import read_state
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
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
        drawn = settings.model_dump(exclude={"architecture", "weights"})
        options = drawn | {"outputs": outputs, "seeds": seeds.root}
        if isinstance(settings, PixelPerceptron):
            options["inputs"] = math.prod(x.shape[1:])
        return IMAGE_BUILDERS[type(settings)](**options)
    small = Network(**network)
    hidden = (small.width,) * (small.layers - 1)
    return StackedBuilder(x.shape[1], hidden, outputs, seeds.root, small.dropout, mean, scale)


def resting(builder: Builder) -> Builder:
    """Return what makes the same networks on the processor, for weights that all come from checkpoints."""
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
    **judged_by: Any,
) -> Problem:
    """Return the problem that all methods of a stage are given.

    Args:
        pretrained: None where it is about to be trained: the base is empty, and a table's input is standardised with
            the statistics of the pretraining rows.
        judged_by: the objective, biases and numbers of their values, where methods need them.

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
    key = digest(splits.header["digests"]["samples"], *(part[:1] for part in parts))
    return Problem(
        build=builder,
        base=base,
        examples=examples(samples, x),
        pretrain=pretrain,
        fit=fit,
        select=select,
        test=test,
        seeds=seeds.root,
        classes=len(dataset.classes),
        states=TrainingStates(training_states / f"{stage}-{key}"),
        device=builder.device if isinstance(builder, ImageBuilder) else torch.device("cpu"),
        **judged_by,
    )


def run(
    task: Problem, function: Callable[..., Any], arguments: tuple[Any, ...], compute: Compute, description: str
) -> list[Any]:
    """Return `function(task, *arguments)`: of all replicates at once, or of each on its own where they do not stack.

    Trainings under way are kept in the task's folder; a run that is killed goes on at the epoch it had reached.
    """
    seeds = task.seeds
    if not isinstance(task.build, ImageBuilder):
        with trainings_progress(unit="steps") as follow:
            results = [function(replace(task, progress=follow), *arguments)]
    else:
        shared, where = (task, function, arguments), compute.model_dump()
        with training_progress(description, len(seeds), unit="seeds") as advance:
            results = replicate(_one, range(len(seeds)), shared=shared, on_done=advance, **where)
    return results


def _one(position: int, task: Problem, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(task.replicate(position), *arguments)


def learning_curves(results: Sequence[Result], seeds: Sequence[int]) -> pd.DataFrame:
    """Return `variant, seed, epoch, figure, value` of every epoch of every training, up to the last that was needed."""
    curves = [
        pd.DataFrame({"epoch": range(1, count + 1), "value": values[r, :count].numpy()}).assign(
            variant=result.name, seed=seed, figure=figure
        )
        for result in results
        for r, seed in enumerate(seeds)
        for count in [_epochs_needed(result, r)]
        for figure, values in result.curves.items()
    ]
    columns = {"variant": "str", "seed": "int64", "epoch": "int64", "figure": "str", "value": "float64"}
    joined = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=list(columns))
    return joined[list(columns)].astype(columns)


def _epochs_needed(result: Result, r: int) -> int:
    """Return the last epoch of which there is any figure: a training may end before its last epoch."""
    if not result.curves:
        return 0
    followed = torch.stack([~values[r].isnan() for values in result.curves.values()]).any(dim=0)
    return int(followed.nonzero().max()) + 1 if followed.any() else 0


def delete_checkpoints(problem: Problem) -> None:
    """Delete the states of trainings under way, once all of them are done."""
    assert isinstance(problem.states, TrainingStates)
    problem.states.delete()
