"""What a run leaves in MLflow, and what happens when there is no MLflow."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from counterpoise.artifacts.serving import Servable, ServableDataset
from counterpoise.data.encoding import numbers
from counterpoise.errors import InputError
from counterpoise.tracking import PER_SEED_VARIANTS, Tracker, TrackingSettings, flat

CONFIGURATION = {"tracking_uri": "sqlite:///mlflow.db", "experiment": "trial", "timeout_seconds": 1}
LINEAGE = {"command": "kedro run", "git_commit": "abc with uncommitted changes", "environment": "base"}
RUN = {"settings": {"finetune": {"epochs": 3, "optimizer": {"lr": 0.1}}, "note": "x" * 900}, "lineage": LINEAGE}


@pytest.fixture
def tracker(smoke: Any, tmp_path: Path) -> Tracker:
    """A tracker with a database of its own: a copy of one that exists, since MLflow makes a new one in seconds."""
    shutil.copy(smoke.path / "mlflow.db", tmp_path)
    return Tracker(TrackingSettings.read(CONFIGURATION, tmp_path))


def runs(tracker: Tracker) -> dict[str, Run]:
    return {run.info.run_name: run for run in tracker.client.search_runs([tracker.experiment])}


def results(variants: dict[str, str], seeds: tuple[int, ...] = (7, 3)) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return metrics and their summary: variant i has the errors 10 i + seed."""
    metrics = pd.DataFrame(
        [
            {"method": method, "variant": variant, "seed": seed, "metric": "err", "value": 10.0 * i + seed}
            for i, (variant, method) in enumerate(variants.items())
            for seed in seeds
        ]
    )
    grouped = metrics.groupby(["method", "variant", "metric"], sort=False)["value"]
    return metrics, grouped.agg(["mean", "std"]).reset_index()


def test_one_parent_and_a_child_for_each_method(tracker: Tracker) -> None:
    tracker.start("win_adult", [RUN])
    tracker.log_results(*results({"tl": "tl", "win_a": "win", "win_b": "win"}), {"digest": "d1"})
    tracker.finish("FINISHED")

    found = runs(tracker)
    assert set(found) == {"win_adult", "tl", "win"}
    parent = found["win_adult"]
    assert parent.data.params["finetune.epochs"] == "3"
    assert parent.data.params["finetune.optimizer.lr"] == "0.1"
    assert parent.data.params["note"] == "x" * 500
    assert parent.data.tags["git_commit"] == "abc with uncommitted changes"
    assert parent.data.tags["mlflow.source.git.commit"] == "abc"
    for run in found.values():
        assert run.info.status == "FINISHED"
        assert run.data.tags["data_digest"] == "d1"
    for method in ("tl", "win"):
        assert found[method].data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert found[method].data.params["method"] == method


def test_signs_that_mlflow_does_not_take_in_names_are_replaced(tracker: Tracker) -> None:
    tracker.start("skewed", [{"settings": {"99.5%": {"rho": 0.995}}, "lineage": LINEAGE}])
    tracker.log_results(*results({"γ=1 (a|b)": "ffw", "plain": "ffw"}), {"digest": "d1"})
    found = runs(tracker)
    assert found["skewed"].data.params["99.5_.rho"] == "0.995"
    assert found["ffw"].data.metrics["γ_1 _a_b_/err_mean"] == 5.0  # of 7 and 3


def test_metrics_of_each_seed_with_the_seed_as_step_and_their_mean_and_deviation(tracker: Tracker) -> None:
    tracker.start("win_adult", [RUN])
    tracker.log_results(*results({"tl": "tl", "win_a": "win", "win_b": "win"}), {"digest": "d1"})
    found = runs(tracker)

    def history(method: str, key: str) -> dict[int, float]:
        return {point.step: point.value for point in tracker.client.get_metric_history(found[method].info.run_id, key)}

    assert history("tl", "err") == {3: 3.0, 7: 7.0}
    assert history("win", "win_b/err") == {3: 23.0, 7: 27.0}
    assert found["tl"].data.metrics["err_mean"] == 5.0
    assert found["tl"].data.metrics["err_std"] == pytest.approx(8**0.5)
    assert found["win"].data.metrics["win_a/err_mean"] == 15.0


def test_what_is_not_a_number_is_not_logged(tracker: Tracker) -> None:
    metrics, summary = results({"tl": "tl"})
    metrics["value"] = summary["std"] = float("nan")
    tracker.start("win_adult", [RUN])
    tracker.log_results(metrics, summary, {"digest": "d1"})
    assert set(runs(tracker)["tl"].data.metrics) == {"err_mean"}


def test_many_variants_log_their_means_alone(tracker: Tracker) -> None:
    variants = {f"win_{i}": "win" for i in range(PER_SEED_VARIANTS + 1)}
    tracker.start("win_adult", [RUN])
    tracker.log_results(*results(variants), {"digest": "d1"})
    logged = runs(tracker)["win"].data.metrics
    assert set(logged) == {f"{variant}/err_{kind}" for variant in variants for kind in ("mean", "std")}


def test_files_go_where_a_colleague_looks_for_them(tracker: Tracker, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("report.html", "tl.safetensors", "figures/curves.json")]
    (tmp_path / "figures").mkdir()
    for path in files:
        path.write_text("content")
    tracker.start("win_adult", [RUN])
    tracker.log_files([*files, tmp_path / "missing.csv"])

    run = runs(tracker)["win_adult"].info
    logged = {
        artifact.path
        for folder in (None, "models", "figures")
        for artifact in tracker.client.list_artifacts(run.run_id, folder)
    }
    assert logged == {"report.html", "models", "models/tl.safetensors", "figures", "figures/curves.json"}
    assert run.artifact_uri.startswith((tmp_path / "mlruns").as_uri())


def test_an_exported_model_is_attached_as_the_folder_it_is(tracker: Tracker, tmp_path: Path) -> None:
    """So that it can be loaded and served by its address in the store."""
    import mlflow.pyfunc

    columns = ("age", "hours")
    model = Servable(
        encoding=numbers(columns),
        layers=((torch.tensor([[0.0, 1.0], [0.0, -2.0]]), torch.zeros(2)),),
        classes=("no", "yes"),
        label="wage",
        experiment="frontier_adult",
        example=pd.DataFrame(1.0, index=range(2), columns=list(columns)),
    )
    folder = tmp_path / "06_models" / "frontier_adult" / "model"
    ServableDataset(str(folder)).save(model)
    tracker.start("frontier_adult", [RUN])
    tracker.log([], [folder])

    run = runs(tracker)["frontier_adult"].info
    assert run.status == "FINISHED"
    logged = {artifact.path for artifact in tracker.client.list_artifacts(run.run_id, "model")}
    assert logged == {f"model/{path.name}" for path in folder.iterdir()}
    (output,) = runs(tracker)["frontier_adult"].outputs.model_outputs
    registered = tracker.client.get_logged_model(output.model_id)
    assert (registered.name, registered.status, registered.source_run_id) == ("frontier_adult", "READY", run.run_id)
    assert mlflow.pyfunc.load_model(registered.artifact_location).metadata.model_id == output.model_id
    served = mlflow.pyfunc.load_model(f"{run.artifact_uri}/model")
    assert served.predict(pd.DataFrame([[9.0, 1.0], [1.0, 9.0]], columns=columns))["prediction"].tolist() == [
        "yes",
        "no",
    ]


def test_a_failed_run_says_so(tracker: Tracker) -> None:
    tracker.start("win_adult", [RUN])
    tracker.finish("FAILED")
    assert runs(tracker)["win_adult"].info.status == "FAILED"


def test_a_store_that_dies_in_the_middle_is_one_sentence(tracker: Tracker, tmp_path: Path) -> None:
    tracker.start("win_adult", [RUN])
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("ALTER TABLE runs RENAME TO lost")
    metrics, summary = results({"tl": "tl"})
    with pytest.raises(InputError, match=r"cannot be reached .* complete on disk"):
        tracker.log([{"metrics": metrics, "summary": summary, "data_summary": {"digest": "d1"}}], [])
    tracker.give_up()  # the run's own error is what the user must read: this one stays silent


def test_flat() -> None:
    assert dict(flat({"a": {"b": {"c": 1}, "d": [1, 2]}, "e": None, "f": {}})) == {
        "a.b.c": 1,
        "a.d": [1, 2],
        "e": None,
        "f": {},
    }


def mlflow_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_HTTP")}


@pytest.fixture
def closed() -> Iterator[str]:
    """The address of a server that is not there: the port is taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_server_that_is_not_there_ends_the_run_before_any_training(
    project: Any, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", closed)
    before, started = mlflow_variables(), time.monotonic()
    with pytest.raises(InputError, match=rf"MLflow at {closed} cannot be reached \(.+--params tracking=off") as caught:
        project.run(params={"tracking": True})
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 15
    assert list(project.data.glob("0*/**/*.*")) == []
    assert mlflow_variables() == before


def test_a_database_that_cannot_be_made_is_one_sentence_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    configuration = {**CONFIGURATION, "tracking_uri": "sqlite:///file/mlflow.db"}
    with pytest.raises(InputError, match=r"MLflow at sqlite:.* cannot be reached"):
        Tracker(TrackingSettings.read(configuration, tmp_path))


def test_the_environment_variable_is_honoured_and_a_failed_run_is_marked(
    project: Any, smoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is tracked elsewhere and fails in a stage: no database in the project, FAILED in the other one."""
    shutil.copy(smoke.path / "mlflow.db", tmp_path / "elsewhere.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    with pytest.raises(InputError, match="did you mean 'income'"):
        project.run(params={"tracking": True, "datasets": {"adult": {"label": "incom"}}})
    assert not (project.path / "mlflow.db").exists()
    client = MlflowClient(f"sqlite:///{tmp_path}/elsewhere.db")
    experiment = client.get_experiment_by_name("counterpoise")
    assert experiment is not None
    status = [run.info.status for run in client.search_runs([experiment.experiment_id])]
    assert sorted(status) == ["FAILED", *["FINISHED"] * 5]


def test_a_slice_that_makes_metrics_but_no_summary_is_logged(project: Any, smoke: Any) -> None:

    shutil.copy(smoke.path / "mlflow.db", project.path)
    project.run(params={"tracking": True}, to_outputs=["win_adult__metrics"])
    client = MlflowClient(f"sqlite:///{project.path}/mlflow.db")
    experiment = client.get_experiment_by_name("counterpoise")
    assert experiment is not None
    logged = client.search_runs([experiment.experiment_id], order_by=["start_time DESC"], max_results=5)
    assert {run.info.status for run in logged} == {"FINISHED"}
    assert all("err_mean" in run.data.metrics for run in logged)
