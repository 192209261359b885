"""What networks and their sub-networks look at: which images, and whose heat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Report
from counterpoise.errors import InputError
from counterpoise.methods.outputs import decisions
from counterpoise.nn.gradcam import explained
from counterpoise.pipelines.fairness_report.nodes import shows_images
from counterpoise.pipelines.repair.explaining import explain_networks
from counterpoise.reporting.sections.bias import Explained, heat_maps

KINDS = ["plain", "resnet", "pixels"]


def explain(stage: Any, folder: Path) -> Checkpoint:
    return explain_networks(**stage.base, masks=stage.masks, training_states=folder / "under_way")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("classes", "each"), [(2, 5), (5, 2), (10, 1)])
def test_images_to_explain_are_of_all_classes_and_against_the_bias(
    kind: str, classes: int, each: int, stage: Callable[..., Any], tmp_path: Path
) -> None:
    artifacts = stage(kind, classes)
    checkpoint = explain(artifacts, tmp_path)
    rows = checkpoint.tensors["rows"].tolist()
    shown = artifacts.samples.iloc[rows]
    assert shown["y"].tolist() == sorted(list(range(classes)) * each) == checkpoint.tensors["y"].tolist()
    assert shown["s"].tolist() == checkpoint.tensors["s"].tolist()
    assert (shown["s"] != shown["y"]).all()
    assert set(rows) <= set(artifacts.test)
    assert torch.equal(checkpoint.tensors["images"], artifacts.pixels.tensors["pixels"][rows])


@pytest.mark.parametrize("kind", KINDS)
def test_heat_is_that_of_the_first_seeds_networks(kind: str, stage: Callable[..., Any], tmp_path: Path) -> None:
    artifacts = stage(kind)
    checkpoint = explain(artifacts, tmp_path)
    tensors, rows = checkpoint.tensors, checkpoint.tensors["rows"].tolist()
    images = artifacts.pixels.tensors["pixels"][rows].unsqueeze(0)
    heat = explained(artifacts.network(0), images, tensors["y"])
    assert torch.equal(tensors["vanilla.heat"], heat)
    assert heat.shape == (len(rows), *images.shape[-2:])
    assert checkpoint.header["method"] == ("input_gradients" if kind == "pixels" else "grad_cam")
    assert checkpoint.header["variants"] == ["vanilla", "ffw", "ffw_structured"]
    for variant in ("ffw", "ffw_structured"):
        assert not torch.equal(tensors[f"{variant}.heat"], heat)
        assert torch.isfinite(tensors[f"{variant}.heat"]).all()
        assert torch.equal(tensors[f"{variant}.prediction"], decisions(artifacts.gated(variant, 0, rows))[0])


def test_checkpoints_of_other_seeds_are_refused(stage: Callable[..., Any], tmp_path: Path) -> None:
    artifacts = stage("plain")
    artifacts.masks.header["seeds"] = [1]
    with pytest.raises(InputError, match=r"masks.safetensors has the seeds \[1\], expected \[3, 8\]"):
        explain(artifacts, tmp_path)


@pytest.mark.parametrize(
    ("reader", "examples", "pictures"), [("biased_mnist", 0, True), ("celeba", 0, False), ("celeba", 2, True)]
)
def test_people_are_drawn_only_where_somebody_asks_for_them(
    reader: str, examples: int, pictures: bool, stage: Callable[..., Any], tmp_path: Path
) -> None:
    artifacts = stage("plain")
    checkpoint, shown = explain(artifacts, tmp_path), artifacts.dataset.model_copy(update={"reader": reader})
    images = shows_images(shown, Report(examples=examples))
    maps = Explained.read(checkpoint.tensors, checkpoint.header, images=images)
    figure = heat_maps({"": maps}, shown.classes, shown.group_names)
    assert {trace.type for trace in figure.data} == ({"image", "heatmap"} if pictures else {"heatmap"})
