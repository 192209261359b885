"""Experiments that repair whole networks: what they leave, what a kill costs, and what cannot be repaired."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pandas as pd
import pytest
import torch
from counterpoise.pipelines.mask_discovery.nodes import describe_masks
from counterpoise.pipelines.reconstruct.nodes import reconstruct

from counterpoise.artifacts.compacted import load
from counterpoise.artifacts.datasets import Checkpoint, SafetensorsDataset, read_checkpoint
from counterpoise.artifacts.states import TrainingStates
from counterpoise.config import repairs as params_altering
from counterpoise.config.parameters import Compute, Dataset, Seeds
from counterpoise.config.repairs import Altering, ObjectiveSettings
from counterpoise.errors import InputError
from counterpoise.fairness import confusion_counts
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.weights import catalogue
from counterpoise.pipelines.shared import repairs
from counterpoise.pipelines.shared.arrays import feature_matrix

# Networks that have seen their images twice need not predict every class.
pytestmark = pytest.mark.filterwarnings("ignore::counterpoise.fairness.UndefinedMetricWarning")

SEEDS = [0, 1]
REPAIRS = ["mask_only", "prune_adversarial_finetuning", "netaug"]
METHODS = [*REPAIRS, "baseline", "threshold", "equalized_odds_postprocessing"]
FEW = {"seeds": 2, "repairs": {"tables": {"methods": METHODS}}}
IMAGES = {
    "seeds": 2,
    "repairs": {"images": {"methods": ["mask_only", "prune_adversarial_finetuning", "baseline"]}},
}


@pytest.fixture(scope="module")
def compas(project_factory: Any) -> Any:
    made = project_factory("alter_compas")
    made.run("alter_compas", params=FEW)
    return made


@pytest.fixture(scope="module")
def images(project_factory: Any) -> Any:
    made = project_factory("alter_cifar10s")
    made.run("alter_cifar10s", params=IMAGES)
    return made


class TestWhatItLeaves:
    def test_every_method_is_there_with_its_last_epoch(self, compas: Any) -> None:
        table = pd.read_parquet(compas.file("08_reporting/alter_compas/repairs.parquet"))
        assert set(table["variant"]) == {*METHODS, *(f"{name}_last" for name in REPAIRS)}
        assert table.groupby("variant").size().eq(len(SEEDS)).all()
        assert set(table.loc[table["epoch"].notna(), "method"]) == set(REPAIRS)
        assert set(table.loc[table["needs_group"], "method"]) == {"equalized_odds_postprocessing"}

    def test_metrics_are_those_of_the_predictions(self, compas: Any) -> None:
        metrics = pd.read_parquet(compas.file("08_reporting/alter_compas/metrics.parquet"))
        for key, own in compas.predictions.groupby(["variant", "seed"]):
            y, said, s = (torch.tensor(own[name].to_numpy()) for name in ("y", "prediction", "s"))
            counts = confusion_counts(y, said, s, groups=2, classes=2)
            for metric in ("eod", "balanced_accuracy"):
                row = metrics.set_index(["variant", "seed"]).loc[key].set_index("metric")
                known = row.loc[metric, "value"]
                assert known == pytest.approx(COUNT_METRICS[metric](counts).item(), nan_ok=True)

    def test_decisions_are_the_scores_above_the_threshold_that_was_chosen(self, compas: Any) -> None:
        table = pd.read_parquet(compas.file("08_reporting/alter_compas/repairs.parquet"))
        for row in table[~table["needs_group"]].itertuples():
            own = compas.predictions.query("variant == @row.variant and seed == @row.seed")
            assert ((own["score"] > row.threshold) == (own["prediction"] == 1)).all()

    def test_pruned_weights_are_zero_in_the_models_that_leave(self, compas: Any) -> None:
        masks = repairs.read_masks(read_checkpoint(compas.file("06_models/alter_compas/masks.safetensors")))["first"]
        pretrained = read_checkpoint(compas.file("06_models/alter_compas/pretrained.safetensors")).tensors
        masked = read_checkpoint(compas.file("06_models/alter_compas/masked_networks.safetensors")).tensors
        tuned = read_checkpoint(compas.file("06_models/alter_compas/reconstructed.safetensors")).tensors
        pruned = 0
        for name, mask in masks.items():
            assert torch.equal(masked[f"mask_only.{name}"], pretrained[name] * mask)
            assert (tuned[f"prune_adversarial_finetuning.{name}"][~mask] == 0).all()
            pruned += int((~mask).sum())
        assert pruned

    @pytest.mark.parametrize(("experiment", "pruned"), [("compas", REPAIRS), ("images", REPAIRS[:2])])
    def test_pruned_networks_leave_as_small_ones_that_decide_the_same(
        self, experiment: str, pruned: list[str], request: pytest.FixtureRequest
    ) -> None:
        """Loaded again and asked for their decisions on the test rows, of every method and seed."""
        made = request.getfixturevalue(experiment)
        path = made.file("06_models/alter_*/compact_networks.safetensors")
        samples = pd.read_parquet(made.file("05_model_input/alter_*/samples.parquet"))
        if experiment == "compas":
            x = feature_matrix(samples)
        else:
            x = read_checkpoint(made.file("04_feature/alter_*/pixels.safetensors")).tensors["pixels"]
        for variant in pruned:
            for seed in SEEDS:
                model = load(path, variant, seed)
                said = made.predictions.query("variant == @variant and seed == @seed")
                assert model.predict(x[said["row"].tolist()]).tolist() == said["prediction"].tolist()
        assert set(read_checkpoint(path).header["variants"]) == set(pruned)

    def test_what_pruning_saves_is_counted(self, compas: Any) -> None:
        costs = pd.read_parquet(compas.file("08_reporting/alter_compas/costs.parquet"))
        table = pd.read_parquet(compas.file("08_reporting/alter_compas/repairs.parquet"))
        known = table.set_index(["variant", "seed"])["pruned"]
        assert list(zip(costs["variant"], costs["seed"], strict=True)) == [(v, s) for s in SEEDS for v in REPAIRS]
        for row in costs.itertuples():
            zero = 1 - row.nonzero / row.parameters
            assert zero == pytest.approx(known[row.variant, row.seed], abs=0.1)  # biases and batch norm are not pruned
            assert row.compared == len(compas.predictions.query("variant == 'mask_only' and seed == 0"))
            assert row.latency_ratio == pytest.approx(row.latency_compact / row.latency)
        assert "What pruning saves" in compas.file("08_reporting/alter_compas/report.html").read_text()

    def test_the_report_says_what_repairs_are_judged_by(self, compas: Any) -> None:
        html = compas.file("08_reporting/alter_compas/report.html").read_text()
        for said in ("Repairs in the paper", "Performance and bias of every repair", "figure-plane", "critic"):
            assert said in html, said

    def test_images_too(self, images: Any) -> None:
        predictions = images.predictions
        assert set(predictions["prediction"]) <= set(range(10))
        test = predictions[(predictions["variant"] == "baseline") & (predictions["seed"] == 0)]
        assert test.groupby(["y", "s"]).size().nunique() == 1
        metrics = pd.read_parquet(images.file("08_reporting/alter_cifar10s/metrics.parquet"))
        value = metrics.query("variant == 'baseline' and seed == 0 and metric == 'accuracy'")["value"].item()
        assert value == pytest.approx((test["y"] == test["prediction"]).mean())

    def test_nothing_is_left_half_done(self, compas: Any, images: Any) -> None:
        for made in (compas, images):
            assert made.leftovers() == []
            assert list(made.data.glob("06_models/under_way/*")) == []


class TestAKilledRun:
    def test_goes_on_at_its_epoch_with_the_same_results(
        self, images: Any, project: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Killed after the first epoch of the second replicate's network; only what was missing is trained again."""
        saved: list[str] = []
        save = TrainingStates.save

        def dying(self: TrainingStates, key: str, state: Any) -> None:
            save(self, key, state)
            saved.append(str(self.path(key)))
            if len(saved) == EPOCHS + 1:
                raise KeyboardInterrupt

        stop = {"to_nodes": ["pretrain.train_base"]}
        with monkeypatch.context() as patch:
            patch.setattr(TrainingStates, "save", dying)
            with pytest.raises(KeyboardInterrupt):
                project.run("alter_cifar10s", params=IMAGES, **stop)
        assert len(set(saved)) == len(SEEDS)
        counted: list[int] = []
        monkeypatch.setattr(
            TrainingStates, "save", lambda self, key, state: (save(self, key, state), counted.append(state["epoch"]))
        )
        project.run("alter_cifar10s", params=IMAGES, **stop)
        assert counted == [EPOCHS]
        again, once = (
            read_checkpoint(made.file("06_models/alter_cifar10s/pretrained.safetensors")) for made in (project, images)
        )
        assert again.tensors.keys() == once.tensors.keys()
        assert all(torch.equal(again.tensors[name], once.tensors[name]) for name in once.tensors)


EPOCHS = 2
"""Of the base on images in the environment smoke."""


class TestParameters:
    @pytest.mark.parametrize("block", ["masks", "adversarial", "penalty", "perturbation", "layerwise", "reject_option"])
    def test_defaults_are_those_of_the_methods(self, block: str) -> None:
        ours = getattr(Altering(methods=("baseline",)), block).model_dump()
        theirs = getattr(catalogue.Settings(), block)
        assert ours == {name: getattr(theirs, name) for name in ours}
        assert set(ours) == {field.name for field in fields(theirs)} - {"reading", "critic"}

    def test_all_that_is_said_reaches_the_methods(self) -> None:
        said = Altering(
            methods=("baseline",),
            rounds=3,
            diversity=0.2,
            scale=0.5,
            consistency=2.0,
            paper_batch_size=16,
            in_processing=params_altering.InProcessingParameters(strength=0.3, epochs=7),
            calibrated=params_altering.CalibratedParameters(cost="fnr"),
        )
        made = repairs.settings_of(said, None)
        assert (made.rounds, made.diversity, made.scale, made.consistency) == (3, 0.2, 0.5, 2.0)
        assert (made.paper_masks.batch_size, made.paper_masks.reading) == (16, "paper")
        assert (made.contested.strength, made.contested.epochs, made.in_processing.epochs) == (0.3, 7, 7)
        assert made.calibrated.cost == "fnr"
        assert {repairs.settings_of(said, 2).adversarial.epochs, repairs.settings_of(said, 2).masks.epochs} == {2}

    @pytest.mark.parametrize(
        ("params", "sentence"),
        [
            ({"repairs": {"tables": {"methods": ["netaugg"]}}}, "'netaugg' is unknown.*netaug"),
            (
                {"repairs": {"tables": {"methods": ["mask_only", "prune_guided_by_netaug"]}}},
                "needs 'netaug' as its teacher",
            ),
            ({"repairs": {"tables": {"masks": {"prunable": 1.5}}}}, "prunable"),
            ({"objectives": {"eod": {"margin": 0.05}}}, "tolerance 0.05 is not above the margin 0.05"),
            ({"objectives": {"eod": {"bias": "mean_bias"}}}, "'mean_bias' for more than two"),
            ({"convnets": {"faces": {"width": 12}}}, "multiple of 8"),
        ],
    )
    def test_bad_input_is_one_sentence(
        self, preflight: Callable[..., None], params: dict[str, Any], sentence: str
    ) -> None:
        with pytest.raises(InputError, match=sentence):
            preflight(params, "alter_compas")


def test_masks_of_another_network_are_refused(compas: Any) -> None:
    settings = json.loads(compas.file("08_reporting/alter_compas/report.json").read_text())["settings"]
    read = {
        name: read_checkpoint(compas.file(f"0*/alter_compas/{name}.safetensors"))
        for name in ("splits", "pretrained", "masks")
    }
    foreign = {name: mask for name, mask in read["masks"].tensors.items() if name != "first.weight3"}
    with pytest.raises(InputError, match="'weight3' is missing, expected masks of weight0, weight1"):
        reconstruct(
            pd.read_parquet(compas.file("05_model_input/alter_compas/samples.parquet")),
            read["splits"],
            read["pretrained"],
            Dataset.model_validate(settings["dataset"]),
            settings["network"],
            ObjectiveSettings.model_validate(settings["objective"]),
            Altering.model_validate(settings["repairs"]),
            compas.data / "under_way",
            Compute(backend="serial"),
            None,
            Seeds((0, 1)),
            Checkpoint(foreign, read["masks"].header),
        )


def test_results_of_replicates_that_ran_apart_are_put_together(compas: Any) -> None:
    """Masks keep discovery, weight and replicate through a file."""
    checkpoint = read_checkpoint(compas.file("06_models/alter_compas/masks.safetensors"))
    found = repairs.read_masks(checkpoint)
    apart = [{kind: {n: m[r : r + 1] for n, m in own.items()} for kind, own in found.items()} for r in range(2)]
    again = repairs.write_masks(catalogue.join_weights(apart), Checkpoint({}, checkpoint.header))
    assert all(torch.equal(again.tensors[name], mask) for name, mask in checkpoint.tensors.items())


def test_masks_are_described_in_the_networks_order_and_beside_what_each_layer_gives_by_chance(tmp_path: Any) -> None:
    """Two masks that prune half of the first of eleven weights, one number of it in common."""
    names = [f"weight{layer}" for layer in range(11)]
    first = {name: torch.ones(2, 4, 1, dtype=torch.bool) for name in names}
    first["weight0"][0, :2] = False
    first["weight0"][1, 1:3] = False
    SafetensorsDataset(filepath=str(tmp_path / "masks.safetensors")).save(
        repairs.write_masks({"first": first}, Checkpoint({}, {"seeds": [3, 8], "digests": {"samples": "0"}}))
    )
    layers, pairs = describe_masks(read_checkpoint(tmp_path / "masks.safetensors"))
    assert layers.sort_values("position")["layer"].tolist() == [name for name in names for _ in range(2)]
    assert layers.set_index(["layer", "seed"])["pruned"].loc["weight0"].tolist() == [0.5, 0.5]
    (pair,) = pairs.to_dict("records")
    assert (pair["left"], pair["right"]) == (8, 3)
    assert pair["iou"] == pytest.approx(1 / 3)
    assert pair["chance"] == pytest.approx(1 / (2 + 2 - 1))  # of 2 weights in 4 and 2 in 4, one is expected in both
