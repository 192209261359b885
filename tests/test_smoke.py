"""The registered default, end to end, and the contract of what it leaves (DESIGN.md, "What a run leaves")."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import fairlearn.metrics as fl
import numpy as np
import pandas as pd
import plotly.io
import pytest
import scipy.stats
import sklearn.metrics as sk
from mlflow.tracking import MlflowClient

from counterpoise.artifacts.datasets import read_checkpoint
from counterpoise.artifacts.lineage import FOLDER
from counterpoise.fairness.metrics import COUNT_METRICS

VARIANTS = {
    "pretrained": "pretrained",
    "tl": "tl",
    "svd_r1": "svd",
    "svd_r2": "svd",
    "win_r1_a0.5": "win",
    "win_r2_a0.5": "win",
}
METRICS = {  # at least: other tools read them (docs/contract.md)
    *("err", "accuracy", "balanced_accuracy", "f1", "auc", "delta_dp", "delta_eo", "spd", "eod", "aod"),
    *("equalized_odds_difference", "disparate_impact", "worst_group_accuracy", "mean_bias", "leakage"),
}
PREDICTIONS = ["method", "variant", "seed", "split", "row", "y", "s", "score", "prediction"]


@pytest.fixture
def root(smoke: Any) -> Path:
    return smoke.path


@pytest.fixture
def predictions(root: Path) -> pd.DataFrame:
    return pd.read_parquet(root / "data/smoke/07_model_output/win_adult/predictions.parquet")


@pytest.fixture
def metrics(root: Path) -> pd.DataFrame:
    return pd.read_parquet(root / "data/smoke/08_reporting/win_adult/metrics.parquet")


def test_predictions_are_the_test_rows_of_every_seed(root: Path, predictions: pd.DataFrame) -> None:
    assert list(predictions) == PREDICTIONS
    assert dict(predictions[["variant", "method"]].drop_duplicates().to_numpy()) == VARIANTS
    samples = pd.read_parquet(root / "data/smoke/05_model_input/win_adult/samples.parquet")
    splits = read_checkpoint(root / "data/smoke/05_model_input/win_adult/splits.safetensors")
    assert set(predictions["split"]) == {"test"}
    for (_, seed), own in predictions.groupby(["variant", "seed"]):
        expected = np.flatnonzero(splits.tensors["splits"][splits.header["seeds"].index(seed)].numpy() == 3)
        assert sorted(own["row"]) == list(expected)
        assert (samples["y"].to_numpy()[own["row"]] == own["y"]).all()
        assert (samples["s"].to_numpy()[own["row"]] == own["s"]).all()
    assert ((predictions["score"] > 0.5) == (predictions["prediction"] == 1)).all()


def test_metrics_are_what_other_libraries_compute(predictions: pd.DataFrame, metrics: pd.DataFrame) -> None:
    columns = ["method", "variant", "seed", "split", "metric", "value", "alpha", "rank", "constraint", "strength"]
    assert list(metrics) == columns
    assert METRICS <= set(metrics["metric"]) == {*COUNT_METRICS, "auc", "leakage"}
    values = metrics.set_index(["variant", "seed", "metric"])["value"]
    for (variant, seed), own in predictions.groupby(["variant", "seed"]):
        y, z, s = own["y"], own["prediction"], own["s"]
        rates = fl.MetricFrame(
            metrics={"tpr": fl.true_positive_rate, "fpr": fl.false_positive_rate, "rate": fl.selection_rate},
            y_true=y,
            y_pred=z,
            sensitive_features=s,
        ).by_group
        tpr, fpr, rate = (rates[name][0] - rates[name][1] for name in ("tpr", "fpr", "rate"))
        expected = {
            "err": 100 - 100 * sk.f1_score(y, z, average="weighted"),
            "accuracy": sk.accuracy_score(y, z),
            "balanced_accuracy": sk.balanced_accuracy_score(y, z),
            "auc": sk.roc_auc_score(y, own["score"]),
            "delta_dp": abs(rate),
            "spd": rate,
            "eod": tpr,
            "aod": (tpr + fpr) / 2,
            "delta_eo": abs(tpr) + abs(fpr),
            "equalized_odds_difference": max(abs(tpr), abs(fpr)),
        }
        for metric, value in expected.items():
            assert values[variant, seed, metric] == pytest.approx(value, abs=1e-9), (variant, seed, metric)


def test_the_models_learnt_something(metrics: pd.DataFrame) -> None:
    auc = metrics[metrics["metric"] == "auc"].groupby("variant")["value"].mean()
    assert (auc > 0.7).all()


def test_settings_stand_beside_each_metric(metrics: pd.DataFrame) -> None:
    settings = metrics.drop_duplicates("variant").set_index("variant")[["alpha", "rank", "constraint", "strength"]]
    assert settings.loc["win_r1_a0.5", ["alpha", "rank"]].tolist() == [0.5, 1]
    assert settings.loc["svd_r2", "rank"] == 2
    assert settings.loc["tl"].isna().all()
    assert settings["strength"].isna().all()


def test_summary_is_mean_deviation_and_t_interval(root: Path, metrics: pd.DataFrame) -> None:
    summary = pd.read_csv(root / "data/smoke/08_reporting/win_adult/summary.csv")
    assert list(summary) == [
        *("method", "variant", "metric", "mean", "std", "ci_low", "ci_high", "n", "reported", "reported_std")
    ]
    for row in summary[summary["metric"].isin(["err", "delta_eo"])].itertuples():
        own = metrics[(metrics["variant"] == row.variant) & (metrics["metric"] == row.metric)]["value"]
        low, high = scipy.stats.t.interval(0.95, len(own) - 1, own.mean(), scipy.stats.sem(own))
        low = max(low, 0.0)  # no error and no bias is negative
        assert (row.mean, row.std, row.ci_low, row.ci_high) == pytest.approx((own.mean(), own.std(), low, high))


def test_claims_are_paired_tests(root: Path, metrics: pd.DataFrame) -> None:
    claims = pd.read_csv(root / "data/smoke/08_reporting/win_adult/claims.csv")
    assert list(claims) == ["claim", "metric", "difference", "ci_low", "ci_high", "p", "p_holm", "verdict"]
    first = claims.iloc[0]
    assert first["claim"] == "WIN has a lower error than TL (Section 4.2)"
    values = metrics[metrics["metric"] == "err"].pivot(index="seed", columns="variant", values="value")
    assert first["difference"] == pytest.approx((values["win_r2_a0.5"] - values["tl"]).mean())
    assert first["p"] == pytest.approx(scipy.stats.ttest_rel(values["win_r2_a0.5"], values["tl"]).pvalue)
    assert (claims["p_holm"] >= claims["p"]).all()
    assert set(claims["verdict"]) <= {"supported", "contradicted", "not distinguishable"}


def test_reports_open_without_a_network(root: Path) -> None:
    folder = root / "data/smoke/08_reporting/win_adult"
    html = (folder / "report.html").read_text()
    assert not re.search(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=[\"'](?:https?:)?//", html)
    assert json.loads((folder / "report.json").read_text())["experiment"] == "win_adult"
    assert "women" in (folder / "model_card.md").read_text()
    figures = {path.stem: plotly.io.from_json(path.read_text()) for path in (folder / "figures").glob("*.json")}
    assert set(figures) == {"performance", "differences", "fisher", "curves", "audit_base_rates", "audit_proxies"}
    assert all(figure.data for figure in figures.values())


def test_models_are_safetensors_that_say_what_they_are(root: Path) -> None:
    folder = root / "data/smoke/06_models/win_adult"
    names = {path.name for path in folder.iterdir()}
    saved = {f"{name}.safetensors" for name in ("pretrained", "importance", "head_bank", "finetuned_heads")}
    assert names == {FOLDER, *saved}
    heads = read_checkpoint(folder / "finetuned_heads.safetensors")
    assert heads.header["seeds"] == [0, 1, 2]
    assert heads.header["architecture"] == "heads"
    assert heads.header["variants"]["win_r2_a0.5"] == {
        "method": "win",
        "alpha": 0.5,
        "rank": 2,
        "constraint": None,
        "strength": None,
    }
    for name, tensor in heads.tensors.items():
        assert heads.header["shapes"][name] == list(tensor.shape)
    assert tuple(heads.tensors["win_r2_a0.5.A"].shape) == (3, 20, 2)


def test_nothing_half_written_remains(root: Path) -> None:
    assert [path for path in root.rglob(".*") if path.suffix in {".part", ".probe"}] == []


def test_runs_are_tracked(root: Path, metrics: pd.DataFrame) -> None:
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("counterpoise")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert (parent.info.run_name, parent.info.status) == ("win_adult", "FINISHED")
    assert parent.data.params["finetune.epochs"] == "10"
    assert parent.data.params["dataset.label"] == "income"
    assert len(parent.data.tags["data_digest"]) == 64
    assert parent.data.tags["git_commit"]
    artifacts = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert {"report.html", "summary.csv", "models", "figures"} <= artifacts
    children = {run.info.run_name: run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id}
    assert set(children) == {"pretrained", "tl", "svd", "win"}
    history = client.get_metric_history(children["tl"].info.run_id, "err")
    expected = metrics[(metrics["variant"] == "tl") & (metrics["metric"] == "err")].set_index("seed")["value"]
    assert {point.step: point.value for point in history} == pytest.approx(expected.to_dict())
    assert children["tl"].data.metrics["err_mean"] == pytest.approx(expected.mean())
    assert children["tl"].data.metrics["err_std"] == pytest.approx(expected.std())
    assert "win_r2_a0.5/delta_eo_mean" in children["win"].data.metrics


def test_another_run_gives_the_same_bytes(root: Path, project: Any) -> None:
    project.run()
    for name in (
        "08_reporting/win_adult/summary.csv",
        "07_model_output/win_adult/predictions.parquet",
        "06_models/win_adult/finetuned_heads.safetensors",
    ):
        assert (project.data / name).read_bytes() == (root / "data/smoke" / name).read_bytes(), name
    assert not (project.path / "mlflow.db").exists(), "tracking was off"


def test_adding_a_seed_or_a_variant_changes_no_other_number(predictions: pd.DataFrame, project: Any) -> None:
    project.run(params={"seeds": [0, 2, 5, 1], "variants": {"win": {"ranks": [2]}}})
    changed = project.predictions
    shared = ["pretrained", "tl", "svd_r2", "win_r2_a0.5"]
    keys = ["variant", "seed", "row"]
    pd.testing.assert_frame_equal(
        changed[changed["seed"] < 3].sort_values(keys, ignore_index=True),
        predictions[predictions["variant"].isin(shared)].sort_values(keys, ignore_index=True),
    )


def test_epochs_reach_every_stage(project: Any) -> None:
    project.run(params={"epochs": 2, "seeds": [7]})
    curves = pd.read_parquet(project.data / "07_model_output/win_adult/learning_curves.parquet")
    assert set(curves["epoch"]) == {1, 2}
    assert set(curves["seed"]) == set(project.predictions["seed"]) == {7}
