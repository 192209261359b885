"""Experiments that repair whole networks: what they leave, what a kill costs, and what cannot be repaired."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import torch

from counterpoise.artifacts.compacted import load
from counterpoise.artifacts.datasets import read_checkpoint
from counterpoise.artifacts.states import TrainingStates
from counterpoise.fairness import confusion_counts
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.pipelines.repair.nodes import read_masks
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
        masks = read_masks(read_checkpoint(compas.file("06_models/alter_compas/masks.safetensors")))["mask_only"]
        pretrained = read_checkpoint(compas.file("06_models/alter_compas/pretrained.safetensors")).tensors
        repaired = read_checkpoint(compas.file("06_models/alter_compas/repaired.safetensors")).tensors
        pruned = 0
        for name, mask in masks.items():
            assert torch.equal(repaired[f"mask_only.{name}"], pretrained[name] * mask)
            assert (repaired[f"prune_adversarial_finetuning.{name}"][~mask] == 0).all()
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
