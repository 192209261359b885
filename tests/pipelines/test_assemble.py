"""Experiments of several parts: each part's models are its own, rows are shared, the report has all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from counterpoise.artifacts.datasets import Checkpoint, read_checkpoint
from counterpoise.experiments import EXPERIMENTS
from counterpoise.methods.heads.penalties import penalty
from counterpoise.pipelines.assemble import assemble, audits
from counterpoise.pipelines.data_split.nodes import split_samples, split_to_compare

FEW = {"seeds": 2, "finetune": {"epochs": 2}, "report": {"leakage": False}}


def checkpoint(project: Any, path: str) -> Checkpoint:
    return read_checkpoint(project.file(path))


@pytest.fixture(scope="module")
def fair(project_factory: Any) -> Any:
    made = project_factory("parts")
    made.run("fair_pretrain_adult", params=FEW | {"pretrain": {"epochs": 15}})
    return made


class TestFairPretraining:
    def test_every_part_is_in_the_contracts_files(self, fair: Any) -> None:
        parts = [part.name for part in next(e for e in EXPERIMENTS if e.name == "fair_pretrain_adult").parts]
        metrics = pd.read_parquet(fair.file("08_reporting/fair_pretrain_adult/metrics.parquet"))
        assert list(dict.fromkeys(metrics["part"])) == parts
        predictions = pd.read_parquet(fair.file("07_model_output/fair_pretrain_adult/predictions.parquet"))
        for part in parts:
            own = predictions[predictions["variant"] == f"{part}/win_r2_a0.5"]
            value = metrics.query("variant == @part + '/win_r2_a0.5' and metric == 'accuracy' and seed == 0")[
                "value"
            ].item()
            first = own[own["seed"] == 0]
            assert value == pytest.approx((first["y"] == first["prediction"]).mean())

    def test_the_stronger_the_penalty_the_smaller_the_gap_it_is_on(self, fair: Any) -> None:
        splits = checkpoint(fair, "05_model_input/fair_pretrain_adult/splits.safetensors")
        samples = pd.read_parquet(fair.file("05_model_input/fair_pretrain_adult/samples.parquet"))
        rows = splits.tensors["splits"][0] == 0
        gaps = []
        for key in ("biased", "dp_01", "dp_05", "dp_09"):
            bank = checkpoint(fair, f"06_models/fair_pretrain_adult__{key}/pretrained.safetensors").tensors
            features = checkpoint(fair, f"04_feature/fair_pretrain_adult__{key}/features.safetensors").tensors[
                "features"
            ]
            logits = features[0][rows] @ bank["weights.1"][0, 0] + bank["biases.1"][0, 0]
            y, s = (torch.tensor(samples[name].to_numpy())[rows].unsqueeze(0) for name in ("y", "s"))
            gaps.append(float(penalty(logits[None, None], y, s, constraint="dp", groups=2)))
        assert gaps[0] > gaps[2] > gaps[3]
        assert gaps[0] > gaps[1]

    def test_all_parts_start_from_the_same_rows_and_weights(self, fair: Any) -> None:
        assert len(list(fair.data.glob("05_model_input/*/splits.safetensors"))) == 1
        heads = [
            checkpoint(fair, f"06_models/fair_pretrain_adult__{key}/pretrained.safetensors").tensors["mean"]
            for key in ("biased", "dp_09")
        ]
        assert torch.equal(*heads)

    def test_the_report_shows_tables_and_parts(self, fair: Any) -> None:
        report = fair.file("08_reporting/fair_pretrain_adult/report.html").read_text()
        assert "EO 0.5" in report
        assert (fair.data / "08_reporting/fair_pretrain_adult/figures/parts.json").is_file()


def test_the_part_without_a_penalty_is_the_experiment_without_parts(fair: Any, project_factory: Any) -> None:
    plain = project_factory("plain")
    plain.run("win_adult", params=FEW | {"pretrain": {"epochs": 15}}, to_nodes=["finetune.train_heads"])
    alone = plain.predictions
    own = pd.read_parquet(fair.file("07_model_output/fair_pretrain_adult/predictions.parquet"))
    own = own[own["variant"].str.startswith("biased/")]
    np.testing.assert_array_equal(own["score"].to_numpy(), alone["score"].to_numpy())


def test_whole_networks_are_retrained_under_every_penalty(project_factory: Any) -> None:
    made = project_factory("retrained")
    made.run("inprocessing_adult", params=FEW)
    retrained = checkpoint(made, "06_models/inprocessing_adult/retrained.safetensors")
    pretrained = checkpoint(made, "06_models/inprocessing_adult/pretrained.safetensors")
    names = list(retrained.header["variants"])
    assert len(names) == 7
    assert retrained.tensors["weights.0"].shape[:2] == (2, 7)
    assert not torch.equal(retrained.tensors["weights.0"][:, :1], pretrained.tensors["weights.0"])
    report = made.file("08_reporting/inprocessing_adult/report.html").read_text()
    network = sum(t[0, 0].numel() for n, t in pretrained.tensors.items() if n.startswith(("weights", "biases")))
    assert f"{network:,}" in report, "the number of trainable parameters is in the table"


def test_two_optimisers_side_by_side(project_factory: Any) -> None:
    made = project_factory("ablation")
    made.run("ablation_adult", params=FEW, to_nodes=["fairness_report.join_metrics"])
    metrics = pd.read_parquet(made.file("08_reporting/ablation_adult/metrics.parquet"))
    values = metrics[metrics["metric"] == "auc"].pivot_table(index=["part", "seed"], columns="variant", values="value")
    sgd = values.loc["sgd"].dropna(axis=1)
    # At full rank SGD is equivariant to WIN's rotation: α is without effect.
    full = sgd[[name for name in sgd if "win_r2" in name]].to_numpy()
    assert np.abs(full - full[:, :1]).max() < 1e-3
    adam = values.loc["adam"].dropna(axis=1)
    own = adam[[name for name in adam if "win_r1" in name]].to_numpy()
    assert np.abs(own - own[:, :1]).max() > 0


def test_catalog_paths_have_no_dots_of_parts(fair: Any) -> None:
    folders = {path.name for path in Path(fair.data / "06_models").iterdir()}
    assert "fair_pretrain_adult__eo_01" in folders


def test_an_audit_compares_nothing_and_refuses_no_small_group() -> None:
    experiment = next(e for e in EXPERIMENTS if e.name == "win_adult")
    funcs = [
        {node.name.rsplit(".", 1)[-1]: node.func for node in assemble(each).nodes}["split_samples"]
        for each in (*audits([experiment]), experiment)
    ]
    assert funcs == [split_samples, split_to_compare]
