"""A small network that went by the colour of its images, and unbiased images to find a better part of it on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from counterpoise.catalogue import methods_of
from counterpoise.methods.gates.gating import GateSettings
from counterpoise.methods.gates.heads import HeadSettings
from counterpoise.methods.gates.lastlayer import BankSettings, RefitSettings
from counterpoise.methods.gates.schedules import Geometric, StraightThrough
from counterpoise.methods.outputs import task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, run
from counterpoise.methods.tuning import WeightTuning
from counterpoise.nn import Examples, Optimizer
from counterpoise.nn.builders import ImageBuilder, PixelPerceptronBuilder, PlainConvBuilder

SIDE, CLASSES = 8, 3
PARTS = {"pretrain": 360, "fit": 240, "select": 150, "test": 210}
RHO = 0.9
EPOCHS, BATCH = 8, 40


@functools.cache
def make_problem(kind: str = "perceptron", biases: int = 1, seed: int = 0) -> Problem:
    """Return a problem whose base was trained on images of which nine in ten have the colour of their class.

    A class is a bright third of the image, faint and noisy; the colour is that of the background. With two biases the
    second one is the brightness of the last column, and both are aligned on their own. All other rows are unbiased.
    """
    drawn = torch.Generator().manual_seed(seed)
    rows = dict(zip(PARTS, torch.arange(sum(PARTS.values())).split([*PARTS.values()]), strict=True))
    count = sum(PARTS.values())
    y = torch.arange(count) % CLASSES
    colours = torch.stack([_values(y, len(rows["pretrain"]), drawn) for _ in range(biases)])
    build = _builder(kind, (seed,))
    problem = Problem(
        build=build,
        base=build().copied(),
        examples=Examples(_images(y, colours, drawn), y, colours[0]),
        **{name: members.unsqueeze(0) for name, members in rows.items()},
        seeds=[seed],
        biases=colours,
        values=(CLASSES,) * biases,
        classes=CLASSES,
    )
    return replace(problem, base=_trained(problem))


def _values(y: Tensor, biased: int, drawn: torch.Generator) -> Tensor:
    """The value of a bias in each row: the class's own in most of the first rows, any in the others."""
    any_value = torch.randint(0, CLASSES, y.shape, generator=drawn)
    other = (y + torch.randint(1, CLASSES, y.shape, generator=drawn)) % CLASSES
    aligned = torch.rand(y.shape, generator=drawn) < RHO
    return torch.where(torch.arange(len(y)) < biased, torch.where(aligned, y, other), any_value)


def _images(y: Tensor, colours: Tensor, drawn: torch.Generator) -> Tensor:
    x = 100 + 22 * torch.randn(len(y), 3, SIDE, SIDE, generator=drawn)
    for row, (label, colour) in enumerate(zip(y.tolist(), colours[0].tolist(), strict=True)):
        x[row, colour] += 40
        x[row, :, 2 * label : 2 * label + 2] += 26
        if len(colours) > 1:
            x[row, :, :, -1] += 40 * int(colours[1, row])
    return x.clamp(0, 255).to(torch.uint8)


def _builder(kind: str, seeds: tuple[int, ...]) -> ImageBuilder:
    if kind == "perceptron":
        return PixelPerceptronBuilder(
            outputs=CLASSES, seeds=seeds, inputs=3 * SIDE * SIDE, widths=(24, 16), accelerated=False
        )
    return PlainConvBuilder(outputs=CLASSES, seeds=seeds, widths=(8, 16), kernel=3, strides=(2, 2), accelerated=False)


def _trained(problem: Problem) -> dict[str, Tensor]:
    trainee = WeightTuning(
        problem.network(),
        lambda output, y, s: task_loss(output.logits, y),
        optimizer=Optimizer(lr=0.003),
        steps=1,
        batch_size=BATCH,
        generators=problem.generators("base: noise"),
    )

    def figures() -> dict[str, Tensor]:
        return {"judgement": torch.zeros(1)}

    trained = problem.train(
        trainee,
        name="base",
        settings=(),
        epochs=EPOCHS,
        batch_size=BATCH,
        rows=problem.pretrain,
        figures=figures,
    )
    return dict(trained.last)


@pytest.fixture(scope="session")
def coloured() -> Callable[..., Problem]:
    """Make the problem of a kind of network, a number of biases and a seed; each is trained once."""
    return make_problem


HEAD = HeadSettings(most=20)
"""Far from the plateau: what a head reads is not what these tests are about, and each step costs as much as a batch."""

JUDGE = HeadSettings(most=80)
GATES = GateSettings(
    lr=0.2, batch_size=60, temperature=Geometric(factor=0.35, epochs=4, end=0.02), head=HEAD, judge=JUDGE
)
STRUCTURED = replace(GATES, granularity="channels", temperature=StraightThrough(epochs=4), schedule="cosine")
REFIT = RefitSettings(epochs=8, batch_size=40, lr=0.02, judge=JUDGE)
SETTINGS = {
    **dict.fromkeys(("vanilla", "magnitude_mask", "chance_mask"), JUDGE),
    "ffw": GATES,
    "ffw_strong": replace(GATES, gamma=5.0),
    "ffw_best_reader": replace(GATES, reader="best", gamma=5.0),
    "ffw_structured": STRUCTURED,
    "ffw_without_information": replace(GATES, gamma=0.0),
    **dict.fromkeys(("refit", "svd", "win", "leace"), REFIT),
    "bank": BankSettings(judge=JUDGE),
}


@pytest.fixture(scope="session")
def settings() -> dict[str, Any]:
    """Settings of each method that are enough for the small problem."""
    return SETTINGS


@functools.cache
def _results(kind: str, biases: int, names: tuple[str, ...]) -> dict[str, Result]:
    results = run(make_problem(kind, biases), {name: SETTINGS[name] for name in names}, ("gates",))
    return {result.name: result for result in results}


@pytest.fixture(scope="session")
def ran() -> Callable[..., dict[str, Result]]:
    """Run methods on a problem, all of them by default; each set is run once."""

    def results(
        kind: str = "plain", biases: int = 1, names: tuple[str, ...] = tuple(methods_of("gates"))
    ) -> dict[str, Result]:
        return _results(kind, biases, names)

    return results


@pytest.fixture(scope="session")
def few_rows() -> Callable[[Problem], Problem]:
    """Return a problem with a fraction of its unbiased rows, for what needs no result worth having."""
    return lambda problem: replace(
        problem, fit=problem.fit[:, :60], select=problem.select[:, :40], test=problem.test[:, :40]
    )


@pytest.fixture(scope="session")
def accuracy() -> Callable[[Problem, Result], float]:
    """Return the share of the test rows that a result is right about."""
    return lambda problem, result: (result.prediction == problem.labels(problem.test)[0]).double().mean().item()
