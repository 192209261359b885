"""Small networks without what their masks close: they decide as the gated ones, and say what that saves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from counterpoise.artifacts.compacted import load
from counterpoise.artifacts.datasets import SafetensorsDataset
from counterpoise.artifacts.schemas_repairs import Costs
from counterpoise.errors import InputError
from counterpoise.methods.outputs import decisions
from counterpoise.pipelines.repair.compacting import compact_networks

KINDS = ["plain", "resnet", "pixels"]
SMALL = ["ffw", "ffw_structured"]


def compacted(stage: Any) -> tuple[Any, Any]:
    return compact_networks(**stage.base, repaired=stage.repaired, masks=stage.masks, repairs=stage.repairs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [2, 5])
def test_small_networks_decide_as_the_gated_ones(
    kind: str, classes: int, stage: Callable[..., Any], tmp_path: Path
) -> None:
    artifacts = stage(kind, classes)
    models, costs = compacted(artifacts)
    path = tmp_path / "compact_networks.safetensors"
    SafetensorsDataset(str(path)).save(models)
    x, seeds = artifacts.pixels.tensors["pixels"][artifacts.test], artifacts.base["seeds"].root
    for variant in SMALL:
        for r, seed in enumerate(seeds):
            model, logits = load(path, variant, seed), artifacts.gated(variant, r, artifacts.test)
            torch.testing.assert_close(model.module(x.float()), logits[0], rtol=1e-4, atol=1e-5)
            assert model.predict(x).tolist() == decisions(logits)[0].tolist()
            assert model.classes == artifacts.dataset.classes
    checked = Costs.validate(costs)
    assert list(zip(checked["seed"], checked["variant"], strict=True)) == [(seed, v) for seed in seeds for v in SMALL]
    structured = checked[checked["variant"] == "ffw_structured"]
    assert (structured["parameters_compact"] < 0.85 * structured["parameters"]).all()
    assert (checked["compared"] == len(artifacts.test)).all()


def test_where_nothing_is_pruned_the_table_of_costs_is_empty(stage: Callable[..., Any]) -> None:
    artifacts = stage("plain")
    artifacts.repairs = artifacts.repairs[artifacts.repairs["variant"] == "vanilla"]
    models, costs = compacted(artifacts)
    assert not models.tensors
    assert len(Costs.validate(costs)) == 0


def test_pruned_networks_leave_at_their_threshold(stage: Callable[..., Any], tmp_path: Path) -> None:
    """Of those with a share that is pruned; the last epoch's, whose weights are not stored, does not."""
    artifacts = stage("plain", 2)
    weights = {name: tensor.clone() for name, tensor in artifacts.pretrained.tensors.items()}
    weights["conv1.weight"][:, :4] = 0
    artifacts.repaired.tensors.update({f"netaug.{name}": tensor for name, tensor in weights.items()})
    artifacts.repaired.header["variants"] = {"netaug": {"method": "netaug"}}
    names = {"vanilla": "netaug", "refit": "netaug_last"}
    repairs = artifacts.repairs[artifacts.repairs["variant"].isin(names)].copy()
    repairs["variant"] = repairs["variant"].map(names)
    artifacts.repairs = repairs.assign(method="netaug", pruned=0.1, threshold=0.25)
    models, costs = compacted(artifacts)
    path = tmp_path / "compact_networks.safetensors"
    SafetensorsDataset(str(path)).save(models)
    assert costs["variant"].tolist() == ["netaug", "netaug"]
    for r, seed in enumerate(artifacts.base["seeds"].root):
        network = artifacts.network(r)
        network.load({name: tensor[r : r + 1] for name, tensor in weights.items()})
        x = artifacts.pixels.tensors["pixels"][artifacts.test]
        with torch.no_grad():
            score = network(x.unsqueeze(0)).logits[0, :, 0].sigmoid()
        assert load(path, "netaug", seed).predict(x).tolist() == (score > 0.25).long().tolist()


def test_checkpoints_of_other_seeds_are_refused(stage: Callable[..., Any]) -> None:
    artifacts = stage("plain")
    artifacts.masks.header["seeds"] = [1]
    with pytest.raises(InputError, match=r"masks.safetensors has the seeds \[1\], expected \[3, 8\]"):
        compacted(artifacts)
