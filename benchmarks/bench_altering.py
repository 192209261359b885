"""Repairs of ten networks at once against one after the other, and what learning a mask adds to training.

    python benchmarks/bench_altering.py [--quick]

Both sides use the project's own loop and optimiser on one thread. Sizes are those of alter_adult: 98 columns, eleven
hidden layers of 32, 6,331 rows to fit on; ten replicates. That the masks and weights come out equal is checked. What
mask discovery adds is measured against steps of the same masked network whose mask does not move.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from timing import in_turn, ratio, show, threads
from torch import Tensor
from torchvision.models import resnet18

from counterpoise.methods.objective import Objective, fairness_loss
from counterpoise.methods.weights.adversarial import Adversarial, AdversarialFinetuning
from counterpoise.methods.weights.mask_discovery import MaskDiscovery, MaskSettings
from counterpoise.nn import Examples, generators
from counterpoise.nn.epochs import Trainee, run_epochs
from counterpoise.nn.fast.memory import keep_freed_memory
from counterpoise.nn.networks import Masks, Networks, Output, SingleNetwork, StackedNetwork, masked
from counterpoise.nn.optimizers import Optimizer

REPLICATES, COLUMNS, HIDDEN, ROWS, BATCH = 10, 98, [32] * 11, 6331, 64
IMAGE_BATCH, CLASSES = 64, 10
ROUNDS = 7
ADULT = Objective("aod", "balanced_accuracy")
CIFAR = Objective("mean_bias", "accuracy", classes=CLASSES)

MASKS = MaskSettings(epochs=1, batch_size=BATCH)
FINETUNING = Adversarial(epochs=1, warmup=0, batch_size=BATCH)


def examples(replicates: int) -> Examples:
    """Return rows with a label and a group that can be told from them, as far as speed cares."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, COLUMNS, generator=generator)
    return Examples(x, (x[:, 0] > 0).long(), torch.randint(0, 2, (ROWS,), generator=generator))


def perceptrons(seeds: Sequence[int]) -> StackedNetwork:
    return StackedNetwork([COLUMNS, *HIDDEN, 1], generators=generators(seeds, "weights"), dropout=0.2)


def fit(trainee: Trainee, data: Examples, seeds: Sequence[int]) -> None:
    """Train for one epoch, and judge nothing."""
    run_epochs(
        trainee,
        data,
        torch.arange(ROWS).expand(len(seeds), ROWS),
        epochs=1,
        batch_size=BATCH,
        generators=generators(seeds, "batches"),
        judge=lambda: {"judgement": torch.zeros(len(seeds))},
        device=torch.device("cpu"),
        whole_batches=True,
    )


def adult_loss(output: Output, y: Tensor, s: Tensor, rows: Tensor) -> Tensor:
    return fairness_loss(ADULT, output.logits, y, s, weight=5.0)


def cifar_loss(output: Output, y: Tensor, s: Tensor, rows: Tensor) -> Tensor:
    return fairness_loss(CIFAR, output.logits, y, s, weight=5.0)


def discovered(data: Examples, seeds: Sequence[int]) -> Tensor:
    """Return m after an epoch of mask discovery."""
    trainee = MaskDiscovery(
        perceptrons(seeds), adult_loss, MASKS, steps=ROWS // BATCH, generators=generators(seeds, "noise")
    )
    fit(trainee, data, seeds)
    return trainee.m.detach()


def finetuned(data: Examples, seeds: Sequence[int]) -> Tensor:
    """Return the first weights after an epoch of adversarial fine-tuning of pruned networks."""
    network = perceptrons(seeds)
    trainee = AdversarialFinetuning(
        network,
        ADULT,
        FINETUNING,
        data,
        torch.arange(ROWS).expand(len(seeds), ROWS),
        generators=generators(seeds, "dropout"),
        critic_generators=generators(seeds, "critic"),
        masks=some_masks(network, seeds),
    )
    fit(trainee, data, seeds)
    return trainee.outcome()["weight0"]


def some_masks(network: Networks, seeds: Sequence[int]) -> Masks:
    """Prune eight in a hundred weights."""
    return {
        name: torch.stack([torch.rand(weight.shape[1:], generator=one) for one in generators(seeds, name)]) > 0.08
        for name, weight in network.weights().items()
    }


def stacked_against_apart(rounds: int) -> list[list[str]]:
    """Compare the stack with a loop over its replicates."""
    data, seeds = examples(REPLICATES), range(REPLICATES)
    rows = []
    for name, repair in (("mask discovery", discovered), ("Prune + AdvFT", finetuned)):
        together = repair(data, seeds)
        apart = torch.cat([repair(data, [seed]) for seed in seeds])
        torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-6)
        share = (together == apart).double().mean()
        times = in_turn(
            {
                "apart": lambda repair=repair: [repair(data, [seed]) for seed in seeds],
                "together": lambda repair=repair: repair(data, seeds),
            },
            rounds=rounds,
        )
        rows.append([name, f"{ratio(times['apart'], times['together']):.1f}", f"{share:.1%}"])
    return rows


class Plain:
    """Steps of a masked network whose mask does not move: the gradient of W ⊙ M."""

    def __init__(self, network: Networks, loss: Callable[..., Tensor], masks: Masks) -> None:
        self.network, self.loss, self.masks = network.eval(), loss, masks

    def step(self, x: Tensor, y: Tensor, s: Tensor, rows: Tensor) -> None:
        weights = masked(self.network.weights(), self.masks)
        leaves = {name: weight.requires_grad_() for name, weight in weights.items()}
        value = self.loss(self.network(x, leaves), y, s, rows)
        torch.autograd.grad(value.sum(), list(leaves.values()))


class Updating(Plain):
    """The same, and Adam on W."""

    def __init__(self, network: Networks, loss: Callable[..., Tensor], masks: Masks) -> None:
        super().__init__(network, loss, masks)
        own = dict(network.named_parameters())
        self.moving = [own[name] for name in network.maskable()]
        self.move = Optimizer(fused=True).build(self.moving, 10**6)

    def step(self, x: Tensor, y: Tensor, s: Tensor, rows: Tensor) -> None:
        value = self.loss(self.network(x, masked(self.network.differentiable(), self.masks)), y, s, rows)
        value.sum().backward(inputs=self.moving)
        self.move()


def overhead(
    network: Callable[[], Networks],
    loss: Callable[..., Tensor],
    settings: MaskSettings,
    batch: tuple[Tensor, Tensor, Tensor],
    *,
    steps: int,
    rounds: int,
) -> list[str]:
    """Return what a step of mask discovery takes more than one that only computes the gradient, or trains weights."""
    x, y, s = batch
    seeds, rows = range(len(x)), torch.arange(x.shape[1]).expand(x.shape[:2])
    masks = some_masks(network(), seeds)
    discovery = MaskDiscovery(network(), loss, settings, steps=10**6, generators=generators(seeds, "noise"))

    def repeat(step: Callable[..., object]) -> Callable[[], None]:
        return lambda: [step(x, y, s, rows) for _ in range(steps)] and None

    times = in_turn(
        {
            "gradient": repeat(Plain(network(), loss, masks).step),
            "training": repeat(Updating(network(), loss, masks).step),
            "discovery": repeat(discovery.step),
        },
        rounds=rounds,
    )
    return [f"{ratio(times['discovery'], times[plain]) - 1:+.0%}" for plain in ("gradient", "training")]


def small_resnet() -> SingleNetwork:
    """Return a ResNet-18 for images of 32 pixels: a stem of stride 1, no pooling after it."""
    module = resnet18(num_classes=CLASSES)
    module.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    module.maxpool = torch.nn.Identity()
    return SingleNetwork(
        module.to(memory_format=torch.channels_last), head="fc", mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="few rounds")
    rounds = 3 if arguments.parse_args().quick else ROUNDS
    keep_freed_memory()
    with threads(1):
        show(
            f"{REPLICATES} replicates, batches of {BATCH}: one after the other / stacked",
            ["repair", "ratio", "equal to the bit"],
            stacked_against_apart(rounds),
        )
        data, rows = examples(REPLICATES), []
        for size in (64, 256):
            batch = data.take(torch.arange(size).expand(REPLICATES, size))
            settings = replace(MASKS, batch_size=size)
            found = overhead(
                lambda: perceptrons(range(REPLICATES)), adult_loss, settings, batch, steps=5, rounds=12 * rounds
            )
            rows.append([f"tabular, batches of {size}", *found])
        images = torch.randint(0, 256, (1, IMAGE_BATCH, 3, 32, 32), dtype=torch.uint8)
        labels = torch.randint(0, CLASSES, (1, IMAGE_BATCH)), torch.randint(0, 2, (1, IMAGE_BATCH))
        settings = replace(MASKS, batch_size=IMAGE_BATCH)
        found = overhead(small_resnet, cifar_loss, settings, (images, *labels), steps=1, rounds=rounds)
        rows.append([f"ResNet-18, batches of {IMAGE_BATCH}", *found])
        show(
            "mask discovery against steps of the same network with a mask that does not move",
            ["network", "gradient only", "gradient, and Adam on the weights"],
            rows,
        )


if __name__ == "__main__":
    main()
