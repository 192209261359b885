"""What two runs left that several tests read: the default experiment, and one with a frontier."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from counterpoise.artifacts.datasets import Checkpoint, read_checkpoint
from counterpoise.config.parameters import Dataset, Seeds, Selection

EXPERIMENT = "frontier_adult"
PEERS = ("plain", "threshold_optimizer")
SEEDS = Seeds((0, 1, 2))
TABLES = ("selection", "tolerances", "hypervolumes", "hypervolume_differences")
CHECKPOINTS = {
    "05_model_input": {"splits"},
    "04_feature": {"features"},
    "06_models": {"pretrained", "importance", "head_bank", "finetuned_heads"},
}


@pytest.fixture(scope="module")
def checkpoints(smoke: Any) -> dict[str, Checkpoint]:
    """The checkpoints that the default experiment left, by name."""
    return {
        name: read_checkpoint(smoke.file(f"{folder}/*/{name}.safetensors"))
        for folder, names in CHECKPOINTS.items()
        for name in names
    }


@pytest.fixture(scope="module")
def frontier_run(run_once: Callable[..., Any]) -> Any:
    return run_once(
        "frontier", EXPERIMENT, peers={"methods": list(PEERS), "inputs": ["features"], "estimators": ["logistic"]}
    )


@pytest.fixture(scope="module")
def artifacts(frontier_run: Any) -> dict[str, Any]:
    """The run's artifacts by name."""
    tables: dict[str, Any] = {
        path.stem: read_checkpoint(path) for path in frontier_run.data.glob(f"*/{EXPERIMENT}/*.safetensors")
    }
    tables |= {path.stem: pd.read_parquet(path) for path in frontier_run.data.glob(f"*/{EXPERIMENT}/*.parquet")}
    return tables | {name: pd.read_csv(frontier_run.file(f"08_reporting/*/{name}.csv")) for name in TABLES}


@pytest.fixture(scope="module")
def blocks(frontier_run: Any) -> dict[str, Any]:
    return json.loads(frontier_run.file("08_reporting/*/report.json").read_text())["settings"]


@pytest.fixture(scope="module")
def choice_inputs(artifacts: dict[str, Any], blocks: dict[str, Any]) -> dict[str, Any]:
    """What `judge` reads."""
    names = ("frontier_outcomes", "peer_outcomes", "samples", "splits")
    return {name: artifacts[name] for name in names} | {
        "dataset": Dataset.model_validate(blocks["dataset"]),
        "selection": Selection.model_validate(blocks["selection"]),
        "seeds": SEEDS,
    }
