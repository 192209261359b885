"""Parts of the pipeline on data in memory: no project, no files, no experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Block, Dataset, Network, Seeds
from counterpoise.data import SPLITS
from counterpoise.errors import InputError
from counterpoise.hooks.slices import SLICES, Command
from counterpoise.methods.heads.penalties import Penalty
from counterpoise.methods.heads.variants import Variants
from counterpoise.nn import Optimizer
from counterpoise.nn.settings import Training
from counterpoise.pipelines.data_split import pipeline as data_split
from counterpoise.pipelines.finetune import pipeline as finetune
from counterpoise.pipelines.group_fisher import pipeline as group_fisher
from counterpoise.pipelines.pretrain import pipeline as pretrain
from counterpoise.pipelines.shared.arrays import rows
from counterpoise.pipelines.weighted_svd import pipeline as weighted_svd

N, D, WIDTH = 400, 5, 6
SEEDS = (3, 8)
TABLE = Dataset(
    title="invented",
    reader="table",
    origin="here",
    label="class",
    positive=1,
    classes=("no", "yes"),
    sensitive="group",
    groups=(0, 1),
    group_names=("a", "b"),
    min_test_rows=0,
    split={"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 2, "validation": 1, "test": 1}},
)
TRAINING = Block[Training](Training(epochs=4, batch_size=32, optimizer=Optimizer(lr=0.02)))
PARAMETERS = {
    "dataset": TABLE,
    "seeds": Seeds(SEEDS),
    "network": Network(layers=2, width=WIDTH),
    "penalty": Block[Penalty](Penalty("eo", 0.0)),
    "pretrain": TRAINING,
    "finetune": TRAINING,
    "epochs": None,
    "variants": Block[Variants](Variants(methods=("tl", "svd", "win"), ranks=(1, 2), alphas=(0.25, 0.75))),
}


@pytest.fixture(scope="module")
def samples() -> pd.DataFrame:
    """Rows whose class is the sign of the first feature, for both groups."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(N, D)).astype(np.float32)
    table = pd.DataFrame(x, columns=[f"x{i}" for i in range(D)])
    return table.assign(y=(x[:, 0] > 0).astype(np.int64), s=generator.integers(0, 2, N))


class Kept(MemoryDataset):
    """Data in memory that outlive the node that needs them last."""

    def __init__(self, *data: Any) -> None:
        super().__init__(*data, copy_mode="assign")

    def _release(self) -> None:
        pass


NONE_LEFT_OUT: dict[str, Any] = {"rows": 0, "columns": {}, "cells": []}


def run(pipeline: Pipeline, data: dict[str, Any], parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run a pipeline on data in memory; return the data with all that it made."""
    given = (
        {"left_out": NONE_LEFT_OUT}
        | data
        | {f"params:{name}": value for name, value in (PARAMETERS | (parameters or {})).items()}
    )
    catalog = DataCatalog({name: Kept(given[name]) for name in pipeline.inputs()})
    for name in pipeline.all_outputs():
        catalog[name] = Kept()
    SequentialRunner().run(pipeline, catalog)
    return data | {name: catalog.load(name) for name in pipeline.all_outputs()}


SPLIT = data_split.create_pipeline(images=False).only_nodes("split_samples", "describe_data")
NETWORK = pretrain.create_pipeline("network") + group_fisher.create_pipeline()
HEADS = weighted_svd.create_pipeline() + finetune.create_pipeline()


@pytest.fixture(scope="module")
def before_heads(samples: pd.DataFrame) -> dict[str, Any]:
    return run(SPLIT + NETWORK, {"samples": samples})


@pytest.fixture(scope="module")
def made(before_heads: dict[str, Any]) -> dict[str, Any]:
    return run(HEADS, before_heads)


def test_heads_learn(made: dict[str, Any]) -> None:
    predictions = made["predictions"]
    accuracy = (predictions["prediction"] == predictions["y"]).groupby(predictions["variant"]).mean()
    assert list(dict.fromkeys(predictions["variant"])) == [
        *("pretrained", "tl", "svd_r1", "svd_r2"),
        *("win_r1_a0.25", "win_r1_a0.75", "win_r2_a0.25", "win_r2_a0.75"),
    ]
    assert (accuracy > 0.85).all()
    assert set(predictions["seed"]) == set(SEEDS)


def test_a_score_is_that_of_class_one(made: dict[str, Any], samples: pd.DataFrame) -> None:
    """Class 1 is where the first feature is positive: a flipped class or sign would flip this correlation."""
    for _, own in made["predictions"].groupby(["variant", "seed"]):
        assert np.corrcoef(own["score"], samples["x0"][own["row"]])[0, 1] > 0.8


def test_all_parts_are_used_for_what_they_are_for(made: dict[str, Any], samples: pd.DataFrame) -> None:
    """Labels of a part are turned round: only what is learnt from that part changes."""
    for part, changes in {"test": set(), "train": {"heads"}, "pretrain": {"network", "heads"}}.items():
        altered = samples.copy()
        own = rows(made["splits"], part)[0].numpy()
        altered.loc[own, "y"] = 1 - altered.loc[own, "y"]
        again = run(NETWORK + HEADS, {"samples": altered, "splits": made["splits"]})
        same = {
            "network": torch.equal(*(m["pretrained"].tensors["weights.1"][0] for m in (made, again))),
            "heads": torch.equal(*(m["finetuned_heads"].tensors["tl.W"][0] for m in (made, again))),
        }
        assert {name for name, equal in same.items() if not equal} == changes, part


def test_a_network_reads_its_own_replicates_rows(made: dict[str, Any], samples: pd.DataFrame) -> None:
    alone = run(SPLIT + NETWORK, {"samples": samples}, {"seeds": Seeds(SEEDS[1:])})
    for name, tensor in alone["pretrained"].tensors.items():
        assert torch.equal(tensor[0], made["pretrained"].tensors[name][1]), name
    assert torch.equal(alone["importance"].tensors["fisher"][0], made["importance"].tensors["fisher"][1])


def test_epochs_of_a_stage_and_of_all(before_heads: dict[str, Any]) -> None:
    stage = Block[Training](TRAINING.root.lasting(2))
    for parameters, expected in (({"finetune": stage}, 2), ({"finetune": stage, "epochs": 3}, 3)):
        made = run(HEADS, before_heads, parameters)
        assert made["learning_curves"].groupby(["variant", "seed"])["epoch"].max().eq(expected).all()


def test_the_digest_is_of_every_value(samples: pd.DataFrame, made: dict[str, Any]) -> None:
    altered = samples.copy()
    altered.loc[7, "x3"] += 1e-3
    other = run(SPLIT, {"samples": altered})
    assert run(SPLIT, {"samples": samples})["data_summary"] == made["data_summary"]
    assert other["data_summary"]["digest"] != made["data_summary"]["digest"]
    assert other["splits"].header["digests"]["samples"] == other["data_summary"]["digest"]
    counted = sum(cell["rows"] for cell in made["data_summary"]["cells"])
    assert (counted, made["data_summary"]["features"]) == (N, D)


class TestCheckpointsThatDoNotBelongTogether:
    def test_seeds(self, before_heads: dict[str, Any]) -> None:
        with pytest.raises(InputError, match=r"splits\.safetensors has the seeds \[3, 8\], expected \[3\]"):
            run(HEADS, before_heads, {"seeds": Seeds((3,))})

    def test_seeds_of_the_heads(self, made: dict[str, Any]) -> None:
        other = replace(made["head_bank"], header={**made["head_bank"].header, "seeds": [3, 9]})
        with pytest.raises(InputError, match=r"head_bank\.safetensors has the seeds \[3, 9\], expected \[3, 8\]"):
            run(finetune.create_pipeline(), made | {"head_bank": other})

    def test_features(self, made: dict[str, Any]) -> None:
        narrow = Checkpoint({"features": made["features"].tensors["features"][..., :4]}, made["features"].header)
        with pytest.raises(InputError, match=r"head_bank\.safetensors has heads of 6 features, expected 4"):
            run(finetune.create_pipeline(), made | {"features": narrow})
        with pytest.raises(InputError, match=r"pretrained\.safetensors has heads of 6 features, expected 4"):
            run(group_fisher.create_pipeline(), made | {"features": narrow})

    def test_rank(self, before_heads: dict[str, Any]) -> None:
        with pytest.raises(InputError, match="rank 3, expected 1 … 2"):
            run(HEADS, before_heads, {"variants": Block[Variants](Variants(methods=("svd",), ranks=(3,)))})


def test_parts_are_disjoint_and_all_replicates_differ(made: dict[str, Any]) -> None:
    splits = made["splits"].tensors["splits"]
    assert torch.cat([rows(made["splits"], part)[1] for part in SPLITS]).sort().values.tolist() == list(range(N))
    assert not torch.equal(splits[0], splits[1])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "kedro run --env=smoke --pipelines=win_adult"),
        ({"from_nodes": ["a.b"], "to_nodes": ["c"]}, " --from-nodes=a.b --to-nodes=c"),
        ({"tags": ("x", "y")}, " --tags=x,y"),
        ({"only_missing_outputs": True}, " --only-missing-outputs"),
        ({"only_missing_outputs": True, "runtime_params": {"reuse": True}}, " --params=reuse=true"),
        ({"runtime_params": {"seeds": 3, "a": {"b": None, "c": "x y"}}}, " '--params=seeds=3,a.b=null,a.c=x y'"),
        ({"runner": "<kedro.runner.thread_runner.ThreadRunner object at 0x1>"}, " --runner=ThreadRunner"),
        ({"load_versions": {"a": "2026"}}, " --load-versions=a:2026"),
        ({"pipeline_names": ["other"]}, "--pipelines=other"),
    ],
)
def test_the_recorded_command_is_the_real_one(given: Mapping[str, Any], words: str) -> None:
    assert str(Command(given, "smoke", ["win_adult"])).endswith(words)


@pytest.mark.parametrize("option", SLICES)
def test_a_slice_is_a_partial_run(option: str) -> None:
    assert Command({option: ["x"]}, "base", ["win_adult"]).partial
    assert not Command({}, "base", ["win_adult"]).partial
