"""What leaves the stage `subnetwork`: small networks that say what the gated ones say, and what networks look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from counterpoise.pipelines.subnetwork.leaving import compact_subnetworks, explain_subnetworks
from torch import Tensor

from counterpoise.artifacts.compacted import load
from counterpoise.artifacts.datasets import Checkpoint, SafetensorsDataset
from counterpoise.artifacts.schemas_repairs import Costs
from counterpoise.config.parameters import Dataset, Report, Seeds
from counterpoise.data import SPLITS
from counterpoise.errors import InputError
from counterpoise.methods.gates.gating import gated_forward
from counterpoise.methods.outputs import decisions
from counterpoise.nn.gates import activation_sizes
from counterpoise.nn.gradcam import explained
from counterpoise.nn.networks import SingleNetwork
from counterpoise.pipelines.fairness_report.nodes import shows_images
from counterpoise.pipelines.shared.networks import resting_builder
from counterpoise.reporting.maps import Explained, heat_maps

SEEDS, EDGE, PART = Seeds((3, 8)), 16, 40
"""Rows of each part; in those for pretraining the group is the class."""

CONVNETS: dict[str, dict[str, Any]] = {
    "plain": {"architecture": "plain", "widths": [8, 8], "kernel": 3, "strides": [2, 1]},
    "resnet": {"width": 8},
    "pixels": {"architecture": "perceptron", "widths": [10, 9]},
}


def dataset(classes: int, reader: str = "biased_mnist") -> Dataset:
    names = tuple("abcdefghij"[:classes])
    return Dataset(
        title="invented",
        reader=reader,
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
class Found:
    """The stage's artifacts after `extract_subnetworks`, with gates that are drawn."""

    convnet: dict[str, Any]
    dataset: Dataset
    samples: pd.DataFrame
    splits: Checkpoint
    pretrained: Checkpoint
    pixels: Checkpoint
    subnetworks: Checkpoint

    @property
    def given(self) -> tuple[Any, ...]:
        return (
            self.samples,
            self.splits,
            self.pretrained,
            self.subnetworks,
            self.pixels,
            self.dataset,
            self.convnet,
        )

    def network(self, r: int) -> SingleNetwork:
        made = resting_builder(self.convnet, self.dataset, SEEDS, self.pixels.tensors["pixels"]).replicate(r)()
        assert isinstance(made, SingleNetwork)
        made.load({name: tensor[r : r + 1] for name, tensor in self.pretrained.tensors.items()})
        made.eval()
        return made

    def gated(self, variant: str, r: int, rows: list[int]) -> Tensor:
        """Return the logits of a sub-network, gates and all; the gates in the order of the activations."""
        network, x = self.network(r), self.pixels.tensors["pixels"][rows].unsqueeze(0)
        opened = {
            name.removeprefix(f"{variant}."): gates[r : r + 1].float()
            for name, gates in self.subnetworks.tensors.items()
            if name.startswith(f"{variant}.")
        }
        places = sorted(opened, key=lambda name: (len(name), name))  # channels2 before channels10
        with torch.no_grad():
            return gated_forward(network, network.weights(), x, {name: opened[name] for name in places}).logits


def found(kind: str, folder: Path, classes: int = 5) -> Found:
    generator, drawn = torch.Generator().manual_seed(5), np.random.default_rng(5)
    n = PART * len(SPLITS)
    y = np.tile(np.arange(n) % classes, 1)
    s = np.where(np.arange(n) < PART, y, drawn.integers(0, classes, n))
    own = Found(
        convnet=CONVNETS[kind],
        dataset=dataset(classes),
        samples=pd.DataFrame({"image": [f"{row}.png" for row in range(n)], "y": y, "s": s}),
        splits=Checkpoint({"splits": torch.arange(len(SPLITS), dtype=torch.uint8).repeat_interleave(PART).tile(2, 1)}),
        pretrained=Checkpoint({}),
        pixels=Checkpoint(
            {"pixels": torch.randint(0, 256, (n, 3, EDGE, EDGE), generator=generator, dtype=torch.uint8)}
        ),
        subnetworks=Checkpoint({}),
    )
    header = {"seeds": list(SEEDS.root), "digests": {"samples": "0" * 64}, "architecture": "", "network": {}}
    for checkpoint in (own.splits, own.pretrained, own.pixels):
        checkpoint.header.update(header)
    builder = resting_builder(own.convnet, own.dataset, SEEDS, own.pixels.tensors["pixels"])
    networks = [builder.replicate(r)() for r in range(len(SEEDS.root))]
    states = [network.state() for network in networks]
    own.pretrained.tensors.update({name: torch.cat([state[name] for state in states]) for name in states[0]})
    weights, last = networks[0].weights(), networks[0].maskable()[-1]
    sizes = activation_sizes(networks[0], own.pixels.tensors["pixels"][:1].unsqueeze(0))
    shapes = {
        **{f"ffw.{name}": tuple(weight.shape[1:]) for name, weight in weights.items()},
        **{f"ffw_structured.channels{i}": (size,) for i, size in enumerate(sizes)},
        f"ffw_structured.{last}": tuple(weights[last].shape[1:]),
    }
    gates = {name: torch.rand(2, *shape, generator=generator) < 0.6 for name, shape in shapes.items()}
    variants = {name: {"method": name} for name in ("vanilla", "ffw", "ffw_structured", "refit")}
    stored = SafetensorsDataset(str(folder / "subnetworks.safetensors"))
    stored.save(Checkpoint(gates, {**header, "variants": variants}))
    own.subnetworks = stored.load()  # from a file, where names are in the order of the alphabet
    return own


@pytest.mark.parametrize("kind", CONVNETS)
@pytest.mark.parametrize("classes", [2, 5])
def test_small_networks_decide_as_the_gated_ones(kind: str, classes: int, tmp_path: Path) -> None:
    own = found(kind, tmp_path, classes)
    models, costs = compact_subnetworks(*own.given, SEEDS)
    path = tmp_path / "compact_networks.safetensors"
    SafetensorsDataset(str(path)).save(models)
    test = list(range(len(own.samples) - PART, len(own.samples)))
    x = own.pixels.tensors["pixels"][test]
    for variant in ("ffw", "ffw_structured"):
        for r, seed in enumerate(SEEDS.root):
            model, said = load(path, variant, seed), own.gated(variant, r, test)
            torch.testing.assert_close(model.module(x.float()), said[0], rtol=1e-4, atol=1e-5)
            assert model.predict(x).tolist() == decisions(said)[0].tolist()
            assert model.classes == own.dataset.classes
    checked = Costs.validate(costs)
    assert list(zip(checked["seed"], checked["variant"], strict=True)) == [
        (seed, variant) for seed in SEEDS.root for variant in ("ffw", "ffw_structured")
    ]
    structured = checked[checked["variant"] == "ffw_structured"]
    assert (structured["parameters_compact"] < 0.85 * structured["parameters"]).all()
    assert (checked["compared"] == PART).all()


@pytest.mark.parametrize("kind", CONVNETS)
@pytest.mark.parametrize(("classes", "each"), [(2, 5), (5, 2), (10, 1)])
def test_images_to_explain_are_of_all_classes_and_against_the_bias(
    kind: str, classes: int, each: int, tmp_path: Path
) -> None:
    own = found(kind, tmp_path, classes)
    made = explain_subnetworks(*own.given, tmp_path / "under_way", SEEDS)
    rows = made.tensors["rows"].tolist()
    shown = own.samples.iloc[rows]
    assert shown["y"].tolist() == sorted(list(range(classes)) * each) == made.tensors["y"].tolist()
    assert shown["s"].tolist() == made.tensors["s"].tolist()
    assert (shown["s"] != shown["y"]).all()
    assert all(row >= len(own.samples) - PART for row in rows)
    assert torch.equal(made.tensors["images"], own.pixels.tensors["pixels"][rows])


@pytest.mark.parametrize("kind", CONVNETS)
def test_heat_is_that_of_the_first_seeds_networks(kind: str, tmp_path: Path) -> None:
    own = found(kind, tmp_path)
    made = explain_subnetworks(*own.given, tmp_path / "under_way", SEEDS)
    rows = made.tensors["rows"].tolist()
    heat = explained(own.network(0), own.pixels.tensors["pixels"][rows].unsqueeze(0), made.tensors["y"])
    assert torch.equal(made.tensors["vanilla.heat"], heat)
    assert heat.shape == (10, EDGE, EDGE)
    assert made.header["method"] == ("input_gradients" if kind == "pixels" else "grad_cam")
    assert made.header["variants"] == ["vanilla", "ffw", "ffw_structured"]
    for variant in ("ffw", "ffw_structured"):
        assert not torch.equal(made.tensors[f"{variant}.heat"], heat)
        assert torch.isfinite(made.tensors[f"{variant}.heat"]).all()
        said = decisions(own.gated(variant, 0, rows))[0]
        assert torch.equal(made.tensors[f"{variant}.prediction"], said)


def test_checkpoints_of_other_seeds_are_refused(tmp_path: Path) -> None:
    own = found("plain", tmp_path)
    own.subnetworks.header["seeds"] = [1]
    with pytest.raises(InputError, match=r"subnetworks.safetensors has the seeds \[1\], expected \[3, 8\]"):
        compact_subnetworks(*own.given, SEEDS)
    with pytest.raises(InputError, match=r"subnetworks.safetensors has the seeds \[1\], expected \[3, 8\]"):
        explain_subnetworks(*own.given, tmp_path, SEEDS)


@pytest.mark.parametrize(
    ("reader", "examples", "pictures"), [("biased_mnist", 0, True), ("celeba", 0, False), ("celeba", 2, True)]
)
def test_people_are_drawn_only_where_somebody_asks_for_them(
    reader: str, examples: int, pictures: bool, tmp_path: Path
) -> None:
    made = explain_subnetworks(*found("plain", tmp_path).given, tmp_path / "under_way", SEEDS)
    shown = dataset(5, reader)
    images = shows_images(shown, Report(examples=examples))
    explained_ = Explained.read(made.tensors, made.header, images=images)
    figure = heat_maps({"": explained_}, shown.classes, shown.group_names)
    assert {trace.type for trace in figure.data} == ({"image", "heatmap"} if pictures else {"heatmap"})
