"""An epoch of learning gates against a plain epoch of training the same network on the same images (FFW).

    python benchmarks/bench_gates.py [--quick]

Random images of MNIST's and CIFAR-10's sizes: what is measured does not depend on what they show. A plain epoch trains
all weights, batch norm in training mode; a gate epoch is the fit of the bias head to cached features, then a step of
the gates on each batch, the head following. Judging the gates on validation rows is apart: a training is judged too.
And, for the networks of digits, whether ten would train faster as one computation (torch.func.vmap) than one by one.
`--quick` shows in a minute that everything works.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from timing import in_turn, ratio, show, threads
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from counterpoise.methods.gates.biases import biases_of
from counterpoise.methods.gates.gating import GateSettings, GateTraining
from counterpoise.methods.gates.schedules import StraightThrough
from counterpoise.methods.outputs import task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.tuning import WeightTuning
from counterpoise.nn import Examples
from counterpoise.nn.builders import ImageBuilder, PixelPerceptronBuilder, PlainConvBuilder, ResNetBuilder
from counterpoise.nn.optimizers import Optimizer

VALUES = 10
BATCH = 100
SEED = 0
GOAL_EPOCH, GOAL_REFIT = 1.6, 0.1
KINDS = {
    "weights": GateSettings(batch_size=BATCH),
    "channels": GateSettings(granularity="channels", temperature=StraightThrough(), batch_size=BATCH),
}
DIGIT = 28
DIGITS: dict[str, Callable[..., ImageBuilder]] = {
    "convolutions for digits": partial(PlainConvBuilder, kernel=3, strides=(2, 2, 2, 1)),
    "perceptron for digits": partial(PixelPerceptronBuilder, inputs=3 * DIGIT**2),
}
STACKED = 10
NETWORKS: dict[str, tuple[Callable[..., ImageBuilder], int]] = {
    "convolutions for digits": (DIGITS["convolutions for digits"], DIGIT),
    "ResNet-18, a quarter of the width": (partial(ResNetBuilder, width=16), 32),
}


def problem_of(build: ImageBuilder, edge: int, images: int) -> Problem:
    """Return a problem with random images, labels and biases; every part is the same rows."""
    generator = torch.Generator().manual_seed(SEED)
    pixels = torch.randint(256, (images, 3, edge, edge), dtype=torch.uint8, generator=generator)
    y, s = torch.randint(VALUES, (2, images), generator=generator)
    rows = torch.arange(images).unsqueeze(0)
    return Problem(
        build=build,
        base={name: tensor.clone() for name, tensor in build().state().items()},
        examples=Examples(pixels, y, s),
        pretrain=rows,
        fit=rows,
        select=rows,
        test=rows,
        seeds=(SEED,),
        biases=s.unsqueeze(0),
        values=(VALUES,),
        classes=VALUES,
    )


def plain_epoch(problem: Problem) -> Callable[[], None]:
    """Return a function that trains all weights for one epoch."""
    trainee = WeightTuning(
        problem.network(),
        lambda output, y, _: task_loss(output.logits, y),
        optimizer=Optimizer(fused=True),
        steps=10**6,
        batch_size=BATCH,
        generators=problem.generators("plain"),
    )
    return partial(_steps, problem, trainee.step)


def _steps(problem: Problem, step: Callable[..., object]) -> None:
    for rows in problem.fit.split(BATCH, dim=1):
        step(*problem.examples.take(rows), rows)


def measured(problem: Problem, settings: GateSettings, rounds: int) -> list[str]:
    """Return the ratios of one network and kind of gate as cells."""
    gates = GateTraining(problem, settings, steps=10**6)
    z = gates.evaluate(gates.head_rows, hard=settings.temperature.hard).features
    biases = biases_of(problem, gates.head_rows)

    def fit() -> Tensor:
        gates.heads.fit(z, biases)
        return z

    times = in_turn(
        {
            "plain": plain_epoch(problem),
            "steps": partial(_steps, problem, gates.step),
            "head and its features": lambda: gates.begin_epoch(1),
            "fit": fit,
        },
        rounds=rounds,
    )
    whole = [a + b for a, b in zip(times["steps"], times["head and its features"], strict=True)]
    return [
        f"{ratio(whole, times['plain']):.2f}",
        f"{ratio(times['steps'], times['plain']):.2f}",
        f"{ratio(times['head and its features'], times['plain']):.2f}",
        f"{ratio(times['fit'], times['plain']):.1%}",
        f"{median(times['plain']):.1f}",
    ]


def stacking(builder: Callable[..., ImageBuilder], rounds: int) -> float:
    """Return the time of a batch's gradients of ten networks, one by one, over that of all at once."""
    build = builder(outputs=VALUES, seeds=(SEED,), accelerated=False)
    modules = [build.module(VALUES).train() for _ in range(STACKED)]
    weights, statistics = stack_module_state(modules)
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(STACKED, BATCH, 3, DIGIT, DIGIT, generator=generator)
    y = torch.randint(VALUES, (STACKED, BATCH), generator=generator)

    def loss(own: dict[str, Tensor], running: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(functional_call(modules[0], (own, running), (images,)), labels)

    def one_by_one() -> None:
        for module, images, labels in zip(modules, x, y, strict=True):
            cross_entropy(module(images), labels).backward()

    at_once = vmap(grad(loss))
    times = in_turn(
        {"one by one": one_by_one, "at once": lambda: at_once(weights, statistics, x, y)}, rounds=5 * rounds
    )
    return ratio(times["one by one"], times["at once"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    images, rounds = (600, 1) if quick else (10_000, 3)
    rows = []
    with threads(1):
        for title, (builder, edge) in NETWORKS.items():
            build = builder(outputs=VALUES, seeds=(SEED,), accelerated=False)
            problem = problem_of(build, edge, images if edge == DIGIT else images // 4)
            rows += [[f"{title}: {kind}", *measured(problem, settings, rounds)] for kind, settings in KINDS.items()]
    show(
        f"a gate epoch over a plain epoch (goals: whole <= {GOAL_EPOCH}, fit of the head <= {GOAL_REFIT:.0%})",
        ["network: gates", "whole", "steps", "features + fit", "fit", "plain epoch, s"],
        rows,
    )
    with threads(1):
        show(
            f"gradients of {STACKED} networks, one by one / stacked",
            ["network", "ratio"],
            [[title, f"{stacking(builder, rounds):.2f}"] for title, builder in DIGITS.items()],
        )


if __name__ == "__main__":
    main()
