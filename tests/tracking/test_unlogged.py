"""Records that are logged later: everything once, whatever happened before, and only where they belong."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from filelock import FileLock
from mlflow.tracking import MlflowClient

from counterpoise.errors import InputError
from counterpoise.tracking import Tracker, TrackingSettings, sync
from counterpoise.tracking.addresses import use_credentials
from counterpoise.tracking.store import PARENT, Store
from counterpoise.tracking.unlogged import described, keep

CONFIGURATION = {"tracking_uri": "sqlite:///mlflow.db", "experiment": "trial", "timeout_seconds": 1}
LINEAGE = {"command": "kedro run", "git_commit": "abc", "environment": "base", "partial": True}
RUN = {"settings": {"epochs": 3}, "lineage": LINEAGE}
NOW = 1_000_000_000_000


@pytest.fixture
def settings(smoke: Any, tmp_path: Path) -> TrackingSettings:
    """A store of its own, a copy of one that exists: MLflow makes a new one in seconds."""
    shutil.copy(smoke.path / "mlflow.db", tmp_path)
    return TrackingSettings.read(CONFIGURATION, tmp_path)


def entries(tmp_path: Path) -> list[dict[str, Any]]:
    """Return one entry of each kind."""
    report, model = tmp_path / "report.html", tmp_path / "model"
    report.write_text("first")
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {}\ntime_created: 2026-01-01\n")
    return [
        {"do": "log_batch", "run": PARENT, "metrics": [["err", 0.5, NOW, 0]], "params": {"a": "1"}, "tags": {"t": "x"}},
        {"do": "log_inputs", "run": PARENT, "datasets": [
            {"name": "adult", "digest": "d1", "source_type": "local", "source": "{}", "schema": "{}", "profile": "{}"}
        ]},
        {"do": "create_run", "run": "tl", "name": "tl", "tags": {"method": "tl"}, "start": NOW},
        {"do": "log_batch", "run": "tl", "metrics": [["err", 20.0, NOW, 0], ["err", 21.0, NOW, 1]]},
        {"do": "log_file", "run": PARENT, "path": str(report), "folder": None},
        {"do": "log_model", "run": PARENT, "name": "model", "path": str(model), "params": {}, "metrics": {"err": 0.1},
         "time": NOW},
        *({"do": "end_run", "run": run, "status": "FINISHED", "end": NOW} for run in ("tl", PARENT)),
    ]  # fmt: skip


def begun(settings: TrackingSettings) -> Store:
    """Return a store with an open parent."""
    store = Store(settings)
    store.create_run(PARENT, "win_adult", {}, NOW)
    return store


def everything(settings: TrackingSettings) -> dict[str, Any]:
    """Return all that MLflow has in the experiment, without its own ids and times."""
    client = MlflowClient(settings.uri)
    experiment = client.get_experiment_by_name("trial").experiment_id
    runs = client.search_runs([experiment])
    found: dict[str, Any] = {"models": [model.name for model in client.search_logged_models([experiment])]}
    for run in runs:
        points = {
            key: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)]
            for key in run.data.metrics
        }
        outputs = len(run.outputs.model_outputs) if run.outputs else 0
        inputs = [used.dataset.name for used in run.inputs.dataset_inputs]
        files = [file.path for file in client.list_artifacts(run.info.run_id)]
        assert run.info.run_name not in found, "a run twice"
        found[run.info.run_name] = (run.info.status, points, run.data.params, inputs, outputs, files)
    return found


@pytest.mark.parametrize("logged", range(9))
def test_whatever_was_logged_before_everything_is_there_once(
    settings: TrackingSettings, tmp_path: Path, logged: int
) -> None:
    """The server took so many entries, and its answers were lost: all of them are in the record nevertheless."""
    store, sent = begun(settings), entries(tmp_path)
    ids = dict(store.ids)
    assert store.send(sent[:logged]) == ([], None)
    store.ids = ids
    keep(sent, store, "win_adult-1")
    assert sync(settings) == ["win_adult-1: 8 entries are logged"]
    assert sync(settings) == []
    assert everything(settings) == {
        "models": ["model"],
        "win_adult": (
            "FINISHED",
            {"err": [(0, 0.5)], "model/err": [(0, 0.1)]},
            {"a": "1"},
            ["adult"],
            1,
            ["report.html"],
        ),
        "tl": ("FINISHED", {"err": [(0, 20.0), (1, 21.0)]}, {}, [], 0, []),
    }


def test_what_is_still_refused_stays_in_the_record(settings: TrackingSettings, tmp_path: Path) -> None:
    store, sent = begun(settings), entries(tmp_path)
    bad = {"do": "log_batch", "run": PARENT, "params": {"a": "2"}}  # another value of a parameter
    record = keep([*sent[:1], bad, *sent[4:5]], store, "win_adult-1")
    with pytest.raises(InputError, match=r"1 of 3 entries of .*record.jsonl are still not logged"):
        sync(settings)
    assert [json.loads(line) for line in record.read_text().splitlines()[1:]] == [bad]
    assert everything(settings)["win_adult"][5] == ["report.html"]


def test_another_store_is_refused(settings: TrackingSettings, smoke: Any, tmp_path: Path) -> None:
    keep(entries(tmp_path), begun(settings), "win_adult-1")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(smoke.path / "mlflow.db", tmp_path / "elsewhere")
    other = TrackingSettings.read(CONFIGURATION, tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"belongs to a run that MLflow at .*elsewhere.* does not have, expected"):
        sync(replace(other, unlogged=settings.unlogged))
    assert list(settings.unlogged.glob("*/record.jsonl"))


def test_two_at_once_do_not_log_the_same(settings: TrackingSettings, tmp_path: Path) -> None:
    keep(entries(tmp_path), begun(settings), "win_adult-1")
    with FileLock(settings.unlogged / ".lock"), pytest.raises(InputError, match="another process"):
        sync(settings)


def test_a_sentence_says_what_is_missing(tmp_path: Path) -> None:
    text = described(entries(tmp_path))
    assert text == (
        "8 entries (the metrics of tl; the metrics of the run itself; the files report.html; the model model; "
        "how the run ended)"
    )


class TestGroup:
    """Commands with the same COUNTERPOISE_RUN_GROUP."""

    def test_log_to_one_run(self, settings: TrackingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COUNTERPOISE_RUN_GROUP", "dag/manual__2026-11-30T11:11:46+00:00")
        result = {
            "metrics": pd.DataFrame([{"method": "tl", "variant": "tl", "seed": 0, "metric": "err", "value": 1.0}])
        }
        for task in range(3):
            tracker = Tracker(TrackingSettings.read(CONFIGURATION, tmp_path))
            tracker.start("win_adult", [RUN])
            (tmp_path / f"{task}.json").write_text("{}")
            tracker.log([result] if task else [], [tmp_path / f"{task}.json"])  # the last task is repeated
        logged = everything(settings)
        assert {name: values[0] for name, values in logged.items() if name != "models"} == {
            "win_adult": "FINISHED",
            "tl": "FINISHED",
        }
        assert logged["win_adult"][5] == ["0.json", "1.json", "2.json"]

    def test_others_log_to_others(self, settings: TrackingSettings, tmp_path: Path) -> None:
        for group in ("a", "b", None, None):
            tracker = Tracker(replace(settings, group=group))
            tracker.start(f"win_adult {group}" if group else "win_adult", [RUN])
            tracker.log([], [])
        runs = tracker.client.search_runs([tracker.experiment])
        assert sorted(run.info.run_name for run in runs) == [
            "win_adult (partial)",
            "win_adult (partial)",
            "win_adult a",
            "win_adult b",
        ]

    def test_a_name_that_could_not_be_asked_for_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COUNTERPOISE_RUN_GROUP", "x' OR 'y")
        with pytest.raises(InputError, match="COUNTERPOISE_RUN_GROUP is"):
            TrackingSettings.read(CONFIGURATION, tmp_path)


class TestCredentials:
    def test_the_environment_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "theirs")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
        use_credentials({"mlflow": {"username": "mine", "password": "s3cret"}, "database": {"con": "x"}})
        import os

        assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == ("theirs", "s3cret")

    @pytest.mark.parametrize("block", [{"pasword": "s3cret"}, {"password": 7}, ["s3cret"]])
    def test_a_wrong_block_is_refused_without_its_values(self, block: Any) -> None:
        with pytest.raises(InputError, match=r"credentials\.mlflow has .* expected texts under") as caught:
            use_credentials({"mlflow": block})
        assert "s3cret" not in str(caught.value)
