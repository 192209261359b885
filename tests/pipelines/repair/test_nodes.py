"""The stage `repair` node by node: what of results is stored, described, refused, and put together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from counterpoise.artifacts.datasets import Checkpoint, SafetensorsDataset, read_checkpoint
from counterpoise.artifacts.schemas_repairs import MaskAgreement, PrunedLayers, RepairCurves
from counterpoise.config.parameters import Compute, Seeds
from counterpoise.config.repairs import Repairs
from counterpoise.errors import InputError
from counterpoise.methods.objective import ObjectiveSettings
from counterpoise.pipelines.repair.nodes import TABLE, describe_masks, read_masks, repair_networks

# Networks that have seen their images once need not predict every class.
pytestmark = pytest.mark.filterwarnings("ignore::counterpoise.fairness.UndefinedMetricWarning")

Repair = Callable[..., tuple[Checkpoint, Checkpoint, pd.DataFrame, pd.DataFrame, pd.DataFrame]]
FEW: dict[str, Any] = {
    "masks": {"epochs": 2, "batch_size": 20, "lr": 1.5},
    "adversarial": {"epochs": 2, "warmup": 0, "batch_size": 20},
}


@pytest.fixture
def repair(tmp_path: Path) -> Repair:
    """Run methods on the networks of a stage; `objective` judges repairs of weights."""

    def run(stage: Any, methods: list[str], *, objective: str | None = None, **blocks: Any) -> Any:
        return repair_networks(
            **stage.base,
            repairs=Repairs.model_validate({"methods": methods, **blocks}),
            training_states=tmp_path / "under_way",
            compute=Compute(backend="serial"),
            epochs=None,
            objective=None if objective is None else ObjectiveSettings(objective),  # type: ignore[arg-type]
        )

    return run


def test_the_table_has_a_row_for_every_variant_and_seed(stage: Callable[..., Any], repair: Repair) -> None:
    artifacts = stage("plain", 2)
    methods = ["mask_only", "prune_adversarial_finetuning", "baseline", "reject_option"]
    repaired, masks, predictions, table, curves = repair(artifacts, methods, objective="spd", **FEW)
    trained = methods[:2]
    variants = {*methods, *(f"{name}_last" for name in trained)}
    assert list(table) == list(TABLE)
    assert set(table["variant"]) == set(predictions["variant"]) == variants
    assert table.groupby("variant")["seed"].apply(list).map([3, 8].__eq__).all()
    assert set(table.loc[table["epoch"].notna(), "method"]) == set(trained)
    assert set(table.loc[table["needs_group"], "method"]) == {"reject_option"}
    assert (table.loc[table["variant"] == "mask_only_last", "epoch"] == FEW["masks"]["epochs"]).all()
    assert table["pruned"].notna().eq(table["method"].isin(trained)).all()
    assert table.loc[table["variant"] == "mask_only", "pruned"].between(0, 1, inclusive="neither").all()
    assert table[["information", "leakage", "sparsity"]].isna().all(axis=None), "nobody has measured them"
    assert set(curves["variant"]) == set(trained)
    assert set(repaired.header["variants"]) == set(methods), "of the last epoch only decisions are kept"
    for name, mask in read_masks(masks)["mask_only"].items():
        assert torch.equal(repaired.tensors[f"mask_only.{name}"], artifacts.pretrained.tensors[name] * mask)
        assert not repaired.tensors[f"prune_adversarial_finetuning.{name}"][~mask].any()
    for row in table[~table["needs_group"]].itertuples():
        rows = predictions.query("variant == @row.variant and seed == @row.seed")
        assert ((rows["score"] > row.threshold) == (rows["prediction"] == 1)).all()


def test_replicates_are_the_same_alone(stage: Callable[..., Any], repair: Repair) -> None:
    """Each image network is repaired apart, and stands at the place of its seed."""
    artifacts = stage("plain", 2)
    _, masks, predictions, table, _ = repair(artifacts, ["mask_only"], objective="spd", **FEW)
    swapped = stage("plain", 2)
    for checkpoint in (swapped.splits, swapped.pretrained):
        checkpoint.header["seeds"] = [8, 3]
        for name, tensor in checkpoint.tensors.items():
            checkpoint.tensors[name] = tensor.flip(0)
    swapped.seeds = Seeds((8, 3))
    _, other, again, facts, _ = repair(swapped, ["mask_only"], objective="spd", **FEW)
    assert all(torch.equal(mask.flip(0), other.tensors[name]) for name, mask in masks.tensors.items())
    keys = ["variant", "seed", "row"]
    one, two = (frame.sort_values(keys, ignore_index=True)[[*keys, "score"]] for frame in (predictions, again))
    pd.testing.assert_frame_equal(one, two)
    pd.testing.assert_frame_equal(
        *(frame.sort_values(["variant", "seed"], ignore_index=True) for frame in (table, facts))
    )


class TestAVanillaNetworkThatKnowsNothing:
    @pytest.fixture
    def ignorant(self, stage: Callable[..., Any]) -> Any:
        artifacts = stage("plain")
        rows = range(0, 40, 2)  # conflict with the bias, as some have to
        artifacts.samples.loc[rows, "s"] = (artifacts.samples.loc[rows, "y"] + 1) % 5
        for tensor in artifacts.pretrained.tensors.values():
            tensor.zero_()
        return artifacts

    def test_ends_the_stage_with_one_sentence(self, ignorant: Any, repair: Repair) -> None:
        sentence = r"seed 3: is right about .* accept it with accept_vanilla: true"
        with pytest.raises(InputError, match=sentence) as caught:
            repair(ignorant, ["vanilla"])
        assert "\n" not in str(caught.value)

    def test_is_taken_as_it_is_if_one_says_so(self, ignorant: Any, repair: Repair) -> None:
        repaired, masks, predictions, table, curves = repair(ignorant, ["vanilla"], accept_vanilla=True)
        assert predictions["prediction"].nunique() == 1
        assert table["leakage"].tolist() == pytest.approx([0.2, 0.2], abs=0.1)
        assert table["information"].abs().max() < 1e-3
        assert (len(table), len(repaired.tensors), len(masks.tensors), len(curves)) == (2, 0, 0, 0)
        layers, pairs = describe_masks(masks)
        assert list(layers) == ["mask", "layer", "position", "seed", "pruned"]
        assert list(pairs) == ["mask", "left", "right", "iou", "chance"]
        assert len(layers) == len(pairs) == 0

    def test_is_no_matter_to_repairs_of_weights(self, stage: Callable[..., Any], repair: Repair) -> None:
        artifacts = stage("plain", 2)
        for tensor in artifacts.pretrained.tensors.values():
            tensor.zero_()
        *_, table, _ = repair(artifacts, ["baseline"], objective="spd")
        assert set(table["method"]) == {"baseline"}


def test_masks_are_described_in_the_networks_order_and_beside_what_each_layer_gives_by_chance(tmp_path: Path) -> None:
    """Two masks that prune half of the first of eleven weights, one number of it in common."""
    names = [f"weight{layer}" for layer in range(11)]
    masks = {f"first.{name}": torch.ones(2, 4, 1, dtype=torch.bool) for name in names}
    masks["first.weight0"][0, :2] = False
    masks["first.weight0"][1, 1:3] = False
    header = {"seeds": [3, 8], "layers": {"first": names}, "architecture": "masks"}
    SafetensorsDataset(filepath=str(tmp_path / "masks.safetensors")).save(Checkpoint(masks, header))
    layers, pairs = describe_masks(read_checkpoint(tmp_path / "masks.safetensors"))
    assert layers.sort_values("position")["layer"].tolist() == [name for name in names for _ in range(2)]
    assert layers.set_index(["layer", "seed"])["pruned"].loc["weight0"].tolist() == [0.5, 0.5]
    (pair,) = pairs.to_dict("records")
    assert (pair["left"], pair["right"]) == (8, 3)
    assert pair["iou"] == pytest.approx(1 / 3)
    assert pair["chance"] == pytest.approx(1 / (2 + 2 - 1))  # of 2 weights in 4 and 2 in 4, one is expected in both


def test_masks_keep_variant_weight_and_order_through_a_file(
    stage: Callable[..., Any], repair: Repair, tmp_path: Path
) -> None:
    """Eleven layers and more are not in the order of the alphabet."""
    artifacts = stage("plain", 2)
    _, masks, *_ = repair(artifacts, ["mask_only"], objective="spd", **FEW)
    SafetensorsDataset(str(tmp_path / "stored.safetensors")).save(masks)
    stored, order = read_masks(read_checkpoint(tmp_path / "stored.safetensors")), artifacts.network(0).maskable()
    assert list(stored) == ["mask_only"], "of the last epoch no mask is stored"
    assert list(stored["mask_only"]) == list(order)
    assert all(torch.equal(mask, masks.tensors[f"mask_only.{name}"]) for name, mask in stored["mask_only"].items())


def test_without_masks_and_trainings_the_tables_are_empty_and_of_their_types(
    stage: Callable[..., Any], repair: Repair
) -> None:
    _, masks, _, _, curves = repair(stage("plain", 2), ["baseline"], objective="spd")
    layers, agreement = describe_masks(masks)
    for schema, table in ((PrunedLayers, layers), (MaskAgreement, agreement), (RepairCurves, curves)):
        assert table.empty
        schema.validate(table)
