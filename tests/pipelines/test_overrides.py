"""An override reaches every stage, whether it is given for a run or by an environment."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from counterpoise.artifacts.datasets import read_checkpoint

TO_PREDICTIONS = {"to_nodes": ["finetune.train_heads"]}
OVERRIDES = {"seeds": [11, 4], "pretrain": {"epochs": 1}, "finetune": {"epochs": 2}}


def check(project: Any) -> None:
    """Check that `OVERRIDES` are what was done, and that what they leave out is as in `smoke`."""
    for file in ("05_model_input/*/splits", "06_models/*/pretrained", "06_models/*/finetuned_heads"):
        assert read_checkpoint(project.file(f"{file}.safetensors")).header["seeds"] == [11, 4]
    assert list(project.predictions["seed"].unique()) == [11, 4]
    curves = pd.read_parquet(project.file("07_model_output/*/learning_curves.parquet"))
    assert list(curves["seed"].unique()) == [11, 4]
    assert list(curves["epoch"].unique()) == [1, 2]
    assert set(curves["variant"]) == {"tl", "svd_r1", "svd_r2", "win_r1_a0.5", "win_r2_a0.5"}


@pytest.fixture(scope="module")
def for_one_run(project_factory: Any) -> Any:
    project = project_factory("overrides")
    project.run(params=OVERRIDES, **TO_PREDICTIONS)
    return project


def test_for_one_run(for_one_run: Any) -> None:
    check(for_one_run)


def test_by_an_environment_gives_the_same_bytes(for_one_run: Any, tmp_path: Any) -> None:
    other = type(for_one_run).create(tmp_path / "other")
    (other.path / "conf" / "own").mkdir()
    (other.path / "conf" / "own" / "globals.yml").write_text("root: data/smoke")
    for file in ("parameters.yml", "catalog.yml"):
        (other.path / "conf" / "own" / file).write_text((other.path / "conf" / "smoke" / file).read_text())
    other.override("own", OVERRIDES)
    other.run(env="own", **TO_PREDICTIONS)
    check(other)
    for file in ("07_model_output/*/predictions.parquet", "06_models/*/pretrained.safetensors"):
        assert other.file(file).read_bytes() == for_one_run.file(file).read_bytes()


def test_the_run_wins_over_the_environment(project: Any) -> None:
    project.override("smoke", {"seeds": [1, 2, 3], "epochs": 5})
    project.run(params={"seeds": [6], "epochs": 1}, **TO_PREDICTIONS)
    curves = pd.read_parquet(project.file("07_model_output/*/learning_curves.parquet"))
    assert (set(curves["seed"]), set(curves["epoch"])) == ({6}, {1})


def test_pretraining_epochs_reach_the_network(project: Any, smoke: Any) -> None:
    """Fewer epochs: another network, from the same split."""
    project.run(params={"pretrain": {"epochs": 1}}, to_nodes=["pretrain.train_networks"])
    ours, theirs = ([p.file(f"{f}.safetensors").read_bytes() for f in SAVED] for p in (project, smoke))
    assert [one == other for one, other in zip(ours, theirs, strict=True)] == [True, False]


SAVED = ("05_model_input/*/splits", "06_models/*/pretrained")
