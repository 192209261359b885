"""What a run leaves, followed from file to file: each is what the ones before it imply."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from counterpoise.artifacts.datasets import Checkpoint

TEXT, WHOLE, REAL = "str", "int64", "float64"
TYPES = {
    "07_model_output/*/predictions.parquet": {
        "method": TEXT,
        "variant": TEXT,
        "seed": WHOLE,
        "split": TEXT,
        "row": WHOLE,
        "y": WHOLE,
        "s": WHOLE,
        "score": REAL,
        "prediction": WHOLE,
    },
    "07_model_output/*/learning_curves.parquet": {
        "method": TEXT,
        "variant": TEXT,
        "seed": WHOLE,
        "epoch": WHOLE,
        "loss": REAL,
        "validation_err": REAL,
        "chosen": "bool",
    },
    "08_reporting/*/metrics.parquet": {
        "method": TEXT,
        "variant": TEXT,
        "seed": WHOLE,
        "split": TEXT,
        "metric": TEXT,
        "value": REAL,
        "alpha": REAL,
        "rank": "Int64",
        "constraint": TEXT,
        "strength": REAL,
    },
}


@pytest.mark.parametrize("file", TYPES)
def test_columns_and_their_types(smoke: Any, file: str) -> None:
    assert pd.read_parquet(smoke.file(file)).dtypes.astype(str).to_dict() == TYPES[file]


def test_all_checkpoints_are_safetensors_and_say_what_they_are(smoke: Any, checkpoints: dict[str, Checkpoint]) -> None:
    digest = json.loads(smoke.file("05_model_input/*/data_summary.json").read_text())["digest"]
    for name, checkpoint in checkpoints.items():
        header = checkpoint.header
        assert header["seeds"] == [0, 1, 2]
        assert header["digests"] == {"samples": digest}
        assert header["shapes"] == {key: list(tensor.shape) for key, tensor in checkpoint.tensors.items()}
        assert ("architecture" in header) == (name not in {"splits", "features"})
    assert checkpoints["pretrained"].header["widths"][1:] == [20, 2]
    kinds = {path.suffix for path in smoke.data.rglob("0*/**/*") if path.is_file()}
    assert kinds == {".data", ".test", ".parquet", ".safetensors", ".json", ".csv", ".html", ".js", ".md"}, "no pickle"
