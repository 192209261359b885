"""What a run leaves, followed from file to file: each is what the ones before it imply."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, read_checkpoint
from counterpoise.data import SPLITS

CHECKPOINTS = {
    "05_model_input": {"splits"},
    "04_feature": {"features"},
    "06_models": {"pretrained", "importance", "head_bank", "finetuned_heads"},
}
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


@pytest.fixture(scope="module")
def checkpoints(smoke: Any) -> dict[str, Checkpoint]:
    return {
        name: read_checkpoint(smoke.file(f"{folder}/*/{name}.safetensors"))
        for folder, names in CHECKPOINTS.items()
        for name in names
    }


def function(heads: dict[str, Tensor], variant: str, replicate: int, x: Tensor) -> Tensor:
    """Return a head's logits [n, k], whether it is dense or in factors."""
    weight = heads.get(f"{variant}.W")
    if weight is None:
        weight = heads[f"{variant}.A"] @ heads[f"{variant}.B"]
    return x @ weight[replicate] + heads[f"{variant}.b"][replicate]


def rows(checkpoints: dict[str, Checkpoint], replicate: int, part: str) -> Tensor:
    return (checkpoints["splits"].tensors["splits"][replicate] == SPLITS.index(part)).nonzero()[:, 0]


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
        assert ("architecture" in header) == (name in CHECKPOINTS["06_models"])
    assert checkpoints["pretrained"].header["widths"][1:] == [20, 2]
    kinds = {path.suffix for path in smoke.data.rglob("0*/**/*") if path.is_file()}
    assert kinds == {".data", ".test", ".parquet", ".safetensors", ".json", ".csv", ".html", ".js", ".md"}, "no pickle"


def test_every_metric_of_every_head_is_there_and_a_number(smoke: Any) -> None:
    metrics = pd.read_parquet(smoke.file("08_reporting/*/metrics.parquet"))
    names = metrics["metric"].nunique()
    assert metrics.groupby(["variant", "seed"])["metric"].nunique().eq(names).all()
    assert len(metrics) == names * 6 * 3
    assert metrics["value"].notna().all()


def test_the_remaining_metrics_against_scikit_learn(smoke: Any) -> None:
    """Those that tests/test_smoke.py does not recompute."""
    metrics = pd.read_parquet(smoke.file("08_reporting/*/metrics.parquet"))
    values = metrics.set_index(["variant", "seed", "metric"])["value"]
    for (variant, seed), own in smoke.predictions.groupby(["variant", "seed"]):
        groups = [group for _, group in own.groupby("s")]
        rates = [group["prediction"].mean() for group in groups]
        expected = {
            "f1": sk.f1_score(own["y"], own["prediction"]),
            "worst_group_accuracy": min(sk.accuracy_score(group["y"], group["prediction"]) for group in groups),
            "disparate_impact": min(rates) / max(rates),
        }
        for metric, value in expected.items():
            assert values[variant, seed, metric] == pytest.approx(value), metric


def test_features_are_the_networks_last_layer_but_one(smoke: Any, checkpoints: dict[str, Checkpoint]) -> None:
    samples = pd.read_parquet(smoke.file("05_model_input/*/samples.parquet"))
    x = torch.tensor(samples.drop(columns=["y", "s"]).to_numpy(dtype=np.float32))
    network = checkpoints["pretrained"].tensors
    for replicate in range(3):
        own = x[rows(checkpoints, replicate, "pretrain")]
        torch.testing.assert_close(network["mean"][replicate], own.mean(dim=0), rtol=1e-4, atol=1e-4)
        standard = (x - network["mean"][replicate]) / network["scale"][replicate]
        hidden = (standard @ network["weights.0"][replicate, 0] + network["biases.0"][replicate, 0]).relu()
        torch.testing.assert_close(checkpoints["features"].tensors["features"][replicate], hidden, rtol=1e-4, atol=1e-4)


def test_importance_is_of_the_pretrained_head_on_the_train_rows_of_each_group(
    smoke: Any, checkpoints: dict[str, Checkpoint]
) -> None:
    samples = pd.read_parquet(smoke.file("05_model_input/*/samples.parquet"))
    y, s = torch.tensor(samples["y"].to_numpy()), torch.tensor(samples["s"].to_numpy())
    weight, bias = (checkpoints["pretrained"].tensors[f"{kind}.1"][1, 0] for kind in ("weights", "biases"))
    for group in (0, 1):
        chosen = rows(checkpoints, 1, "train")
        chosen = chosen[s[chosen] == group]
        squares = []
        for row in chosen:
            w = weight.clone().requires_grad_()
            logits = checkpoints["features"].tensors["features"][1, row] @ w + bias
            torch.nn.functional.cross_entropy(logits, y[row]).backward()
            assert w.grad is not None
            squares.append(w.grad**2)
        expected = torch.stack(squares).mean(dim=0).sum(dim=-1).sqrt()
        torch.testing.assert_close(
            checkpoints["importance"].tensors["importance"][1, group], expected, rtol=1e-4, atol=1e-6
        )


def test_at_full_rank_all_methods_start_as_the_pretrained_head(checkpoints: dict[str, Checkpoint]) -> None:
    x = checkpoints["features"].tensors["features"]
    heads = checkpoints["head_bank"].tensors
    pretrained = checkpoints["pretrained"].tensors
    for replicate in range(3):
        expected = x[replicate] @ pretrained["weights.1"][replicate, 0] + pretrained["biases.1"][replicate, 0]
        for variant in ("tl", "svd_r2", "win_r2_a0.5"):
            torch.testing.assert_close(
                function(heads, variant, replicate, x[replicate]), expected, rtol=1e-3, atol=1e-4
            )
        assert not torch.allclose(function(heads, "win_r1_a0.5", replicate, x[replicate]), expected, atol=1e-2)


def test_each_head_is_that_of_its_epoch_with_the_lowest_validation_error(
    smoke: Any, checkpoints: dict[str, Checkpoint]
) -> None:
    curves = pd.read_parquet(smoke.file("07_model_output/*/learning_curves.parquet"))
    samples = pd.read_parquet(smoke.file("05_model_input/*/samples.parquet"))
    features, heads = checkpoints["features"].tensors["features"], checkpoints["finetuned_heads"].tensors
    for (variant, seed), own in curves.groupby(["variant", "seed"]):
        assert own["epoch"].tolist() == list(range(1, 11))
        best = own["validation_err"].to_numpy().argmin()
        assert np.flatnonzero(own["chosen"]).tolist() == [best]
        chosen = rows(checkpoints, seed, "validation")
        prediction = function(heads, variant, seed, features[seed, chosen]).argmax(dim=-1)
        error = 100 - 100 * sk.f1_score(samples["y"].to_numpy()[chosen], prediction, average="weighted")
        assert own["validation_err"].iloc[best] == pytest.approx(error)


def test_scores_are_the_softmax_of_the_finetuned_heads(smoke: Any, checkpoints: dict[str, Checkpoint]) -> None:
    features, heads = checkpoints["features"].tensors["features"], checkpoints["finetuned_heads"].tensors
    finetuned = smoke.predictions.query("variant != 'pretrained'")
    for (variant, seed), own in finetuned.groupby(["variant", "seed"]):
        logits = function(heads, variant, seed, features[seed, torch.tensor(own["row"].to_numpy())])
        np.testing.assert_allclose(own["score"], logits.softmax(dim=-1)[:, 1], rtol=1e-3, atol=1e-5)


def test_leakage_is_that_of_a_linear_probe(smoke: Any, checkpoints: dict[str, Checkpoint]) -> None:
    """Another probe on the same rows: it reads the group about as well, and all heads of a seed share the number."""
    metrics = pd.read_parquet(smoke.file("08_reporting/*/metrics.parquet")).query("metric == 'leakage'")
    assert metrics.groupby("seed")["value"].nunique().eq(1).all()
    samples = pd.read_parquet(smoke.file("05_model_input/*/samples.parquet"))
    chosen = rows(checkpoints, 0, "test")
    x, s = checkpoints["features"].tensors["features"][0, chosen].numpy(), samples["s"].to_numpy()[chosen]
    half = len(chosen) // 2
    probe = LogisticRegression(max_iter=2000).fit(x[:half], s[:half])
    other = sk.roc_auc_score(s[half:], probe.predict_proba(x[half:])[:, 1])
    assert metrics.set_index("seed")["value"].loc[0].iloc[0] == pytest.approx(other, abs=0.15)
    assert other > 0.5


def test_splits_have_the_papers_shares_and_equal_cells(smoke: Any, checkpoints: dict[str, Checkpoint]) -> None:
    samples = pd.read_parquet(smoke.file("05_model_input/*/samples.parquet"))
    cells = []
    for replicate in range(3):
        part = checkpoints["splits"].tensors["splits"][replicate].numpy()
        share = np.bincount(part) / len(part)
        np.testing.assert_allclose(share, [0.6, *(0.4 * np.array([12287, 5000, 10315]) / 27602)], atol=2 / len(part))
        cells.append(pd.crosstab(part, [samples["y"], samples["s"]]))
    pd.testing.assert_frame_equal(cells[0], cells[1])
    pd.testing.assert_frame_equal(cells[0], cells[2])
    summary = json.loads(smoke.file("05_model_input/*/data_summary.json").read_text())
    for cell in summary["cells"]:
        part = SPLITS.index(cell["split"])
        assert cell["rows"] == cells[0].loc[part, (cell["label"], cell["group"])]


def test_noise_floors_are_smaller_than_any_gap_could_be(smoke: Any) -> None:
    floors = json.loads(smoke.file("08_reporting/*/noise_floors.json").read_text())
    assert set(floors) == set(smoke.predictions["variant"])
    assert all(0 < floor["delta_dp"] < floor["delta_eo"] < 1 for floor in floors.values())
