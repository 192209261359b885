"""Small problems with a trained, unfair base, and what methods are handed that come after another."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch

from counterpoise.methods.objective import Objective
from counterpoise.methods.outputs import task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, prefixed
from counterpoise.methods.tuning import WeightTuning
from counterpoise.methods.weights.judging import validation_figures
from counterpoise.nn import Examples, Optimizer, generators
from counterpoise.nn.builders import ResNetBuilder, StackedBuilder
from counterpoise.nn.networks import State

N, D, HIDDEN = 1600, 4, (8, 8)
PARTS = {"pretrain": 700, "fit": 300, "select": 200, "test": 400}
EPOCHS, BATCH = 10, 64


@functools.cache
def make_task(seeds: Sequence[int] = (0, 1, 5), classes: int = 2, bias: str = "spd", dropout: float = 0.0) -> Problem:
    """Return a task whose base is right more often than not and favours group 1 (two classes) or a class of a group.

    The group is one of the inputs, and the class depends on it, so that the best classifier is unfair.
    """
    drawn = torch.Generator().manual_seed(0)
    s = torch.randint(0, 2, (N,), generator=drawn)
    x = torch.randn(N, D, generator=drawn)
    x[:, 0] += 1.2 * s
    x[:, -1] = s
    signal = x[:, 0] + 0.7 * x[:, 1] + 0.5 * s + 0.8 * torch.randn(N, generator=drawn)
    y = torch.bucketize(signal, signal.quantile(torch.linspace(0, 1, classes + 1)[1:-1]))
    orders = torch.stack([torch.randperm(N, generator=g) for g in generators(seeds, "split")])
    rows = dict(zip(PARTS, orders.split([*PARTS.values()], dim=1), strict=True))

    build = StackedBuilder(D, HIDDEN, 1 if classes == 2 else classes, tuple(seeds), dropout)
    performance = "balanced_accuracy" if classes == 2 else "accuracy"
    task = Problem(
        build=build,
        base=build().copied(),
        examples=Examples(x, y, s),
        objective=Objective(bias, performance, tolerance=0.08, margin=0.02, classes=classes),  # type: ignore[arg-type]
        seeds=list(seeds),
        **rows,
    )
    trainee = WeightTuning(
        task.network(),
        lambda output, y, s: task_loss(output.logits, y),
        optimizer=Optimizer(lr=0.01),
        steps=1,
        batch_size=BATCH,
        generators=task.generators("base: noise"),
    )
    trained = task.train(
        trainee,
        name="base",
        settings=(),
        epochs=EPOCHS,
        batch_size=BATCH,
        rows=task.pretrain,
        figures=lambda: validation_figures(task.goal, task.judged(trainee.network, task.select, aim="performance")),
    )
    fields = {field: getattr(task, field) for field in ("build", "examples", "objective", "seeds")}
    return Problem(base=trained.last, **rows, **fields)


@pytest.fixture(scope="session")
def unfair() -> Callable[..., Problem]:
    """Make the task of given seeds, number of classes, bias measure and dropout; each is trained once."""
    return make_task


@functools.cache
def make_images(classes: int = 2) -> Problem:
    """Return the same problem seen as images, flat colours, by one small untrained ResNet-18."""
    task = make_task((0,), classes, "spd" if classes == 2 else "mean_bias")
    colours = (task.examples.x[:, [0, 1, -1]] * 40 + 128).clamp(0, 255).to(torch.uint8)
    examples = replace(task.examples, x=colours[:, :, None, None].repeat(1, 1, 8, 8))
    build = ResNetBuilder(outputs=1 if classes == 2 else classes, seeds=(0,), width=4, accelerated=False)
    return replace(task, build=build, base=build().copied(), examples=examples)


@pytest.fixture(scope="session")
def unfair_images() -> Callable[..., Problem]:
    """Make the task of images of a number of classes."""
    return make_images


Earlier = dict[str, list[Result]]


@pytest.fixture(scope="session")
def after_masks() -> Callable[..., Earlier]:
    """Make what comes of a discovery whose masks leave out three weights in ten, drawn by the seeds and a purpose."""

    def draw(problem: Problem, purpose: str = "") -> Earlier:
        masks = {
            name: torch.stack(
                [torch.rand(weight.shape[1:], generator=own) > 0.3 for own in generators(problem.seeds, purpose + name)]
            )
            for name, weight in problem.network().weights().items()
        }
        return earlier(problem, "mask_only", prefixed("masks", masks))

    return draw


@pytest.fixture(scope="session")
def after_repair() -> Callable[[Problem, State], Earlier]:
    """Make what comes of a repair that leaves networks in a state."""
    return lambda problem, state: earlier(problem, "repair", prefixed("network", state))


def earlier(problem: Problem, name: str, tensors: State) -> Earlier:
    """Return a method's only result, of which nothing but the tensors is looked at."""
    score = torch.zeros(*problem.test.shape, 1)
    return {name: [Result(name, score, score.squeeze(-1).long(), tensors=tensors)]}
