"""What the stage `repair` reads and leaves, with gates that are drawn: no network is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, SafetensorsDataset
from counterpoise.config.parameters import Dataset, Seeds
from counterpoise.data import SPLITS
from counterpoise.methods.gates.gating import gated_forward
from counterpoise.nn.gates import activation_sizes
from counterpoise.nn.networks import SingleNetwork
from counterpoise.pipelines.repair.nodes import read_masks
from counterpoise.pipelines.shared.networks import builder_of, resting

SEEDS, EDGE, PART = Seeds((3, 8)), 16, 40
"""Rows of each part; in those for pretraining the group is the class."""

CONVNETS: dict[str, dict[str, Any]] = {
    "plain": {"architecture": "plain", "widths": [8, 8], "kernel": 3, "strides": [2, 1]},
    "resnet": {"width": 8},
    "pixels": {"architecture": "perceptron", "widths": [10, 9]},
}


def make_dataset(classes: int) -> Dataset:
    names = tuple("abcdefghij"[:classes])
    return Dataset(
        title="invented",
        reader="biased_mnist",
        origin="here",
        label="class",
        positive=None,
        classes=names,
        sensitive="colour",
        groups=tuple(range(classes)),
        group_names=tuple(f"colour {name}" for name in names),
        split={"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 2, "validation": 1, "test": 1}},
    )


@dataclass
class Stage:
    """The stage's artifacts after `repair_networks`."""

    convnet: dict[str, Any]
    dataset: Dataset
    samples: pd.DataFrame
    splits: Checkpoint
    pretrained: Checkpoint
    pixels: Checkpoint
    repaired: Checkpoint
    masks: Checkpoint
    repairs: pd.DataFrame
    seeds: Seeds = SEEDS

    @property
    def base(self) -> dict[str, Any]:
        """What every node of the stage reads."""
        return {
            "samples": self.samples,
            "splits": self.splits,
            "pretrained": self.pretrained,
            "dataset": self.dataset,
            "network": self.convnet,
            "pixels": self.pixels,
            "seeds": self.seeds,
        }

    @property
    def test(self) -> list[int]:
        """The test rows."""
        return list(range(len(self.samples) - PART, len(self.samples)))

    def network(self, r: int) -> SingleNetwork:
        single = resting(builder_of(self.convnet, self.dataset, SEEDS, self.pixels.tensors["pixels"])).replicate(r)()
        assert isinstance(single, SingleNetwork)
        single.load({name: tensor[r : r + 1] for name, tensor in self.pretrained.tensors.items()})
        single.eval()
        return single

    def gated(self, variant: str, r: int, rows: list[int]) -> Tensor:
        """Return the logits of a sub-network, gates and all; the gates in the order of the activations."""
        network, x = self.network(r), self.pixels.tensors["pixels"][rows].unsqueeze(0)
        opened = {name: gates[r : r + 1].float() for name, gates in read_masks(self.masks)[variant].items()}
        places = sorted(opened, key=lambda name: (len(name), name))  # channels2 before channels10
        with torch.no_grad():
            return gated_forward(network, network.weights(), x, {name: opened[name] for name in places}).logits


def make_stage(kind: str, folder: Path, classes: int = 5) -> Stage:
    generator, drawn = torch.Generator().manual_seed(5), np.random.default_rng(5)
    n = PART * len(SPLITS)
    y = np.arange(n) % classes
    s = np.where(np.arange(n) < PART, y, drawn.integers(0, classes, n))
    pixels = torch.randint(0, 256, (n, 3, EDGE, EDGE), generator=generator, dtype=torch.uint8)
    header = {"seeds": list(SEEDS.root), "digests": {"samples": "0" * 64}, "architecture": "", "network": {}}
    data, convnet = make_dataset(classes), CONVNETS[kind]
    builder = resting(builder_of(convnet, data, SEEDS, pixels))
    networks = [builder.replicate(r)() for r in range(len(SEEDS.root))]
    states = [network.state() for network in networks]
    weights, last = networks[0].weights(), networks[0].maskable()[-1]
    sizes = activation_sizes(networks[0], pixels[:1].unsqueeze(0))
    shapes = {
        "ffw": {name: tuple(weight.shape[1:]) for name, weight in weights.items()},
        "ffw_structured": {
            **{f"channels{i}": (size,) for i, size in enumerate(sizes)},
            last: tuple(weights[last].shape[1:]),
        },
    }
    gates = {
        f"{variant}.{name}": torch.rand(2, *shape, generator=generator) < 0.6
        for variant, own in shapes.items()
        for name, shape in own.items()
    }
    layers = {variant: list(own) for variant, own in shapes.items()}
    stored = SafetensorsDataset(str(folder / "masks.safetensors"))
    stored.save(Checkpoint(gates, {**header, "layers": layers}))
    variants = ("vanilla", "ffw", "ffw_structured", "refit")
    return Stage(
        convnet=convnet,
        dataset=data,
        samples=pd.DataFrame({"image": [f"{row}.png" for row in range(n)], "y": y, "s": s}),
        splits=Checkpoint(
            {"splits": torch.arange(len(SPLITS), dtype=torch.uint8).repeat_interleave(PART).tile(2, 1)}, dict(header)
        ),
        pretrained=Checkpoint({name: torch.cat([state[name] for state in states]) for name in states[0]}, dict(header)),
        pixels=Checkpoint({"pixels": pixels}, dict(header)),
        repaired=Checkpoint({}, {**header, "variants": {name: {"method": name} for name in variants}}),
        masks=stored.load(),  # from a file, where names are in the order of the alphabet
        repairs=pd.DataFrame(
            [
                {"method": name, "variant": name, "seed": seed, "threshold": np.nan, "pruned": np.nan}
                for name in variants
                for seed in SEEDS.root
            ]
        ),
    )


@pytest.fixture
def stage(tmp_path: Path) -> Callable[..., Stage]:
    """Make the stage's artifacts for a kind of network and a number of classes."""
    return lambda kind, classes=5: make_stage(kind, tmp_path, classes)
