"""The registry follows the history: what is there is not made again, and aliases say what the history says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import requests

from counterpoise.commands.serving import loader
from counterpoise.errors import InputError
from counterpoise.tracking import ModelRegistry, TrackingSettings
from counterpoise.tracking.registry import CHALLENGER, CHAMPION, MODEL

AT = 1773036000_000
"""2026-03-09, 6:00 UTC, in milliseconds."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, tracked_before: Any) -> TrackingSettings:
    """A database without a run."""
    folder = tmp_path_factory.mktemp("registry")
    tracked_before(folder)
    configuration = {"tracking_uri": "sqlite:///mlflow.db", "experiment": "retraining", "timeout_seconds": 5}
    return TrackingSettings.read(configuration, folder)


@pytest.fixture
def entry(tmp_path: Path) -> Any:
    """Make what is recorded of a model."""

    def make(model: str) -> dict[str, Any]:
        folder = tmp_path / model
        folder.mkdir()
        (folder / "MLmodel").write_text(model)
        return {
            "model": model,
            "folder": folder,
            "title": f"retrain {model}",
            "at": "2026-03-09T06:00:00+00:00",
            "tags": {"retraining.reason": "x" * 6000},
            "params": {"a": "1"},
            "metrics": {"challenger/all/women/error": 0.2},
        }

    return make


def runs(registry: ModelRegistry) -> list[Any]:
    return list(registry.store.client.search_runs([registry.store.experiment]))


def of_model(registry: ModelRegistry, model: str) -> list[Any]:
    return [run for run in runs(registry) if run.data.tags[MODEL] == model]


def test_a_model_is_recorded_once(settings: TrackingSettings, entry: Any, tmp_path: Path) -> None:
    registry = ModelRegistry(settings, "once")
    first = entry("m1")
    recorded = registry.record(first)
    assert recorded["version"] == 1
    before = len(runs(registry))
    assert ModelRegistry(settings, "once").record(first) == recorded
    assert len(runs(registry)) == before
    (run,) = (run for run in runs(registry) if run.info.run_id == recorded["run"])
    assert (run.info.status, run.data.tags[MODEL], run.data.params) == ("FINISHED", "m1", {"a": "1"})
    assert run.data.metrics == {"challenger/all/women/error": 0.2}
    assert run.info.start_time == run.info.end_time == AT, "it is the decision's time, whenever it was logged"
    registry.fetch("m1", tmp_path / "copy")
    assert (tmp_path / "copy" / "MLmodel").read_text() == "m1"
    with pytest.raises(InputError, match="once has no version of the model m2"):
        registry.fetch("m2", tmp_path / "other")


@pytest.mark.parametrize("name", ["moved", "to a place with mlruns", "50% ä"])
@pytest.mark.parametrize("is_copied", [False, True])
def test_files_are_those_beside_the_database(
    name: str, is_copied: bool, tracked_before: Any, entry: Any, tmp_path: Path
) -> None:
    """A project folder was renamed or copied: MLflow's addresses are absolute ones, of the place before."""
    configuration = {"tracking_uri": "sqlite:///mlflow.db", "experiment": "retraining", "timeout_seconds": 5}
    before, after = tmp_path / "mlruns" / "before", tmp_path / "mlruns" / name
    before.mkdir(parents=True)
    tracked_before(before)
    registry = ModelRegistry(TrackingSettings.read(configuration, before), "loans")
    registry.record(entry("m1"))
    elsewhere = (tmp_path / "elsewhere").as_uri()
    other = registry.store.client.create_experiment("another's", elsewhere)
    (shutil.copytree if is_copied else shutil.move)(before, after)
    if is_copied:
        shutil.rmtree(before / "mlruns")

    moved = ModelRegistry(TrackingSettings.read(configuration, after), "loans")
    moved.fetch("m1", tmp_path / "fetched")
    assert (tmp_path / "fetched" / "MLmodel").read_text() == "m1"
    moved.record(entry("m2"))
    assert len(list((after / "mlruns").glob("*/artifacts/model/MLmodel"))) == 2
    assert not (before / "mlruns").exists()
    for version in moved.store.client.search_model_versions("name = 'loans'"):
        place = moved.store.client.get_model_version_download_uri("loans", version.version)
        assert place == version.source == f"{(after / 'mlruns').as_uri()}/{version.run_id}/artifacts/model"
    assert moved.store.client.get_experiment(other).artifact_location == elsewhere


def test_files_that_are_gone_are_named(tracked_before: Any, entry: Any, tmp_path: Path) -> None:
    tracked_before(tmp_path)
    configuration = {"tracking_uri": "sqlite:///mlflow.db", "experiment": "retraining", "timeout_seconds": 5}
    settings = TrackingSettings.read(configuration, tmp_path)
    ModelRegistry(settings, "loans").record(entry("m1"))
    (tmp_path / "mlruns").rename(tmp_path / "away")
    sentence = (
        rf"^{tmp_path}/mlruns/\w+/artifacts/model: there is no such folder, expected the files of version 1 of loans"
    )
    with pytest.raises(InputError, match=sentence):
        ModelRegistry(settings, "loans").fetch("m1", tmp_path / "fetched")
    with pytest.raises(InputError, match=sentence):
        loader(settings, "loans")("1")
    (tmp_path / "away").rename(tmp_path / "mlruns")
    ModelRegistry(settings, "loans").fetch("m1", tmp_path / "fetched")


def test_a_run_that_was_killed_before_its_version_is_not_logged_again(settings: TrackingSettings, entry: Any) -> None:
    registry = ModelRegistry(settings, "killed")
    described = entry("k1")
    registry._require_registered()
    run = registry._log(described)  # and then the process is gone
    assert registry.record(described) == {"name": "killed", "version": 1, "run": run.info.run_id}


def test_a_version_whose_answer_was_lost_is_not_made_twice(
    settings: TrackingSettings, entry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = ModelRegistry(settings, "lost")
    create, answers = registry.store.client.create_model_version, []

    def lose_the_first(*args: Any, **options: Any) -> Any:
        answers.append(create(*args, **options))
        if len(answers) == 1:
            raise requests.ConnectionError("connection reset by peer")
        return answers[-1]

    monkeypatch.setattr(registry.store.client, "create_model_version", lose_the_first)
    assert registry.record(entry("l1"))["version"] == 1
    assert len(answers) == 1
    assert [version.version for version in registry.store.client.search_model_versions("name = 'lost'")] == [1]


def test_a_run_that_fails_is_closed_and_completed_by_the_next_attempt(settings: TrackingSettings, entry: Any) -> None:
    described = entry("f1")
    with pytest.raises(InputError):
        ModelRegistry(settings, "fails").record(described | {"files": ["/there/is/no/such/file"]})
    registry = ModelRegistry(settings, "fails")
    (failed,) = of_model(registry, "f1")
    assert failed.info.status == "FAILED"
    assert registry._version("f1") is None
    assert registry.record(described)["run"] == failed.info.run_id
    (completed,) = of_model(registry, "f1")
    assert completed.info.status == "FINISHED"
    history = registry.store.client.get_metric_history(failed.info.run_id, "challenger/all/women/error")
    assert [(point.value, point.timestamp) for point in history] == [(0.2, AT)], "the same point is logged once"


def test_an_attempt_with_other_settings_is_another_run(settings: TrackingSettings, entry: Any) -> None:
    """A store takes no other value of a parameter; a retraining after a change of settings must not stop at that."""
    described = entry("s1")
    with pytest.raises(InputError):
        ModelRegistry(settings, "settings").record(described | {"files": ["/there/is/no/such/file"]})
    registry = ModelRegistry(settings, "settings")
    registry.record(described | {"params": {"a": "2"}})
    statuses = {run.data.params["a"]: run.info.status for run in of_model(registry, "s1")}
    assert statuses == {"1": "FAILED", "2": "FINISHED"}


def test_aliases_follow_the_history(settings: TrackingSettings, entry: Any) -> None:
    registry = ModelRegistry(settings, "aliases")
    for model in ("a1", "a2", "a3"):
        registry.record(entry(model))
    assert registry.point("a1", "a1") == {CHAMPION: 1}
    assert registry.point("a1", "a2") == {CHAMPION: 1, CHALLENGER: 2}
    assert registry.point("a3", "a3") == {CHAMPION: 3}, "a challenger that was promoted is one no more"
    assert registry.point("a1", None) == {CHAMPION: 1}
    assert registry.aliases() == {CHAMPION: 1}
    assert ModelRegistry(settings, "nobody").aliases() == {}
    assert registry.point("unknown", None) == {}, "what is not registered yet moves nothing"
