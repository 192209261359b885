"""The pipeline that logs what a server did not take: records of runs, and the end of a retraining."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from counterpoise.artifacts.datasets import JSONDataset, RawFolder
from counterpoise.artifacts.locks import Locks
from counterpoise.artifacts.retraining import HistoryDataset, LedgerDataset
from counterpoise.errors import InputError
from counterpoise.hooks.provenance import PROMOTION, written_by
from counterpoise.hooks.retraining_run import REGISTRY, following
from counterpoise.hooks.syncing import follow
from counterpoise.pipelines.retrain.pipeline import promotion
from counterpoise.pipelines.rollback.nodes import point
from counterpoise.pipelines.sync_tracking.nodes import log_unlogged
from counterpoise.retraining.history import Record, champion, rollback, start
from counterpoise.tracking import ModelRegistry, TrackingSettings
from counterpoise.tracking.registry import CHALLENGER, CHAMPION

WEEKS = ("2026-03-02", "2026-03-09", "2026-03-16")
MODELS = tuple(f"{week}-aaaaaaaa" for week in WEEKS)
AT = "2026-03-09T06:00:00+00:00"


def test_it_says_so_where_nothing_is_missing(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.run("sync_tracking", params={"tracking": True})
    assert "Nothing to log" in capsys.readouterr().out
    assert not (project.path / "mlflow.db").exists(), "no store is needed for that"


def test_a_record_that_cannot_be_read_is_named(project: Any) -> None:
    record = project.path / "data" / "unlogged" / "win_adult-1" / "record.jsonl"
    record.parent.mkdir(parents=True)
    record.write_text('{"format": 1}\n')
    with pytest.raises(InputError, match=r"win_adult-1/record.jsonl: has the format 1, expected 2"):
        project.run("sync_tracking", params={"tracking": True})


def test_without_tracking_there_is_nowhere_to_log_to(project: Any) -> None:
    with pytest.raises(InputError, match="tracking is off"):
        project.run("sync_tracking")


def test_an_error_of_one_kind_does_not_keep_the_others_from_it() -> None:
    def refused() -> list[str]:
        raise InputError("a record of another server")

    assert log_unlogged([lambda: ["a"], list, lambda: ["b"]]) == ["a", "b"]
    with pytest.raises(InputError, match=r"^b; a record of another server$"):
        log_unlogged([refused, lambda: ["b"]])


class Place:
    """What the stages of a retraining leave in a folder; a registered model and an experiment of MLflow's."""

    def __init__(self, folder: Path, settings: TrackingSettings, name: str) -> None:
        self.folder, self.registry = folder, ModelRegistry(replace(settings, experiment=name), name)
        self.history, self.ledger = folder / "history.jsonl", folder / "partitions.json"
        for model in MODELS:
            (folder / "models" / model).mkdir(parents=True)
            (folder / "models" / model / "MLmodel").write_text(model)

    @property
    def catalog(self) -> DataCatalog:
        history, ledger = HistoryDataset(str(self.history)), LedgerDataset(str(self.ledger))
        documents = ("decision", "evaluation", "batch", "report", "registered")
        return DataCatalog(
            {
                **{f"retrain__{name}": JSONDataset(filepath=str(self.folder / f"{name}.json")) for name in documents},
                "retrain__history": history,
                "retrain__history_after": history,
                "retrain__ledger": ledger,
                "retrain__ledger_after": ledger,
                "retrain__models": RawFolder(str(self.folder / "models")),
                "locks": RawFolder(str(self.folder / ".locks")),
            }
        )

    def decide(self, number: int, verdict: str) -> None:
        """Leave what is there after the report of a retraining, before its last stage."""
        model, week, catalog = MODELS[number], WEEKS[number], self.catalog
        records, reason = catalog.load("retrain__history"), f"{verdict} {week}"
        before = records[-1].champion if records else None
        if verdict == "start":
            records = start(model, at=AT, reason=reason)
        else:
            present: Any = model if verdict == "promote" else before
            kind: Any = verdict
            record = Record(len(records), "decision", AT, present, reason, week, model, kind, 0.01)
            records = (*records, record)
        sequence = len(records) - 1
        decision = {"week": week, "sequence": sequence, "challenger": model, "champion_before": before, "at": AT}
        decision |= {"verdict": verdict, "reason": reason, "checks": []}
        entry = {"sha256": week, "digest": week, "date": week}
        catalog.save("retrain__history_after", records)
        catalog.save("retrain__decision", decision)
        catalog.save("retrain__evaluation", {"week": week, "models": {"challenger": model}, "measured": {}})
        batch = {"week": week, "used": [week], "quarantined": {}, "entries": {f"loans-{week}": entry}}
        catalog.save("retrain__batch", batch)
        report = {"week": week, "experiment": "e", "gate": {"patience": number}, "decision": {"sequence": sequence}}
        catalog.save("retrain__report", report)

    def promote(self) -> None:
        """Run the last stage as a retraining does."""
        catalog, stage = self.catalog, promotion()
        registry = following(self.registry, catalog)
        outputs = stage.run({name: registry if name == REGISTRY else catalog.load(name) for name in stage.inputs})
        catalog.save("retrain__ledger_after", outputs["retrain__ledger_after"])

    def roll_back(self) -> None:
        history = self.catalog.load("retrain__history")
        self.catalog.save("retrain__history_after", rollback(history, at=AT, reason="Rolled back."))

    def decide_and_promote(self, number: int) -> None:
        self.decide(number, "promote")
        self.promote()

    def roll_back_and_point(self) -> None:
        """Roll back as the command does."""
        self.roll_back()
        point(self.catalog.load("retrain__history"), following(self.registry, self.catalog))

    def follow(self) -> list[str]:
        return follow(self.catalog, self.registry)

    def contents(self) -> dict[str, Any]:
        """Return what the registry and its runs have, without ids and times of registration."""
        client, name = self.registry.store.client, self.registry.name
        versions = client.search_model_versions(f"name = '{name}'")
        runs = {run.info.run_id: run for run in client.search_runs([self.registry.store.experiment])}
        of_runs = [runs[version.run_id] for version in versions]
        models = {version.tags["counterpoise.model"] for version in versions}
        assert len(models) == len(versions) == len(runs), "something is there twice"
        said = ("retraining.", "counterpoise.model")
        return {
            "versions": {version.version: version.tags for version in versions},
            "aliases": self.registry.aliases(),
            "runs": [
                (
                    run.info.run_name,
                    run.info.status,
                    (run.info.start_time, run.info.end_time),
                    run.data.params,
                    {key: value for key, value in run.data.tags.items() if key.startswith(said)},
                )
                for run in of_runs
            ],
        }


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, tracked_before: Any) -> TrackingSettings:
    """A database without a run."""
    folder = tmp_path_factory.mktemp("registry")
    tracked_before(folder)
    return TrackingSettings.read(
        {"tracking_uri": "sqlite:///mlflow.db", "experiment": "x", "timeout_seconds": 5}, folder
    )


@pytest.fixture
def place(settings: TrackingSettings, tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """A place with a first champion, which is registered."""
    place = Place(tmp_path / "place", settings, request.node.name)
    place.decide(0, "start")
    place.promote()
    return place


@pytest.fixture(scope="module")
def calm(settings: TrackingSettings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a registry has after an undisturbed retraining, by verdict."""
    contents = {}
    for verdict in ("promote", "refuse"):
        place = Place(tmp_path_factory.mktemp("calm"), settings, f"calm {verdict}")
        for number, each in enumerate(("start", verdict)):
            place.decide(number, each)
            place.promote()
        contents[verdict] = place.contents()
    return contents


OF_THE_STAGE = ("create_run", "log_batch", "set_terminated", "create_model_version", "set_registered_model_alias")
"""What the last stage asks a store, in order."""


@pytest.mark.parametrize(
    ("asked", "verdict"), [*((asked, "promote") for asked in OF_THE_STAGE), ("create_model_version", "refuse")]
)
def test_what_a_server_did_not_take_is_completed_once(place: Place, calm: Any, asked: str, verdict: str) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("connection refused")

    place.decide(1, verdict)
    outcome = {"promote": "is champion", "refuse": "was refused"}[verdict]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place.registry.store.client, asked, refuse)
        for attempt in (place.promote, place.follow):
            with pytest.raises(
                InputError, match=rf"^{MODELS[1]} {outcome}, .*`kedro run --pipelines=sync_tracking` or"
            ):
                attempt()
    alias = {"promote": "champion: version 2", "refuse": "champion: version 1, challenger: version 2"}[verdict]
    decided = {"promote": "was promoted", "refuse": "was refused"}[verdict]
    assert place.follow() == [
        f"retrain {WEEKS[1]}: {MODELS[1]} {decided}; it is version 2 of {place.registry.name} ({alias})"
    ]
    assert place.contents() == calm[verdict]
    assert set(json.loads(place.ledger.read_text())) == {f"loans-{week}" for week in WEEKS[:2]}
    assert place.follow() == []
    assert place.contents() == calm[verdict]


def test_a_rollback_since_is_respected(place: Place, calm: Any) -> None:
    place.decide(1, "promote")
    place.roll_back()
    assert place.follow() == [
        f"retrain {WEEKS[1]}: {MODELS[1]} was promoted; it is version 2 of {place.registry.name} (champion: version 1)"
    ]
    assert place.contents() == calm["promote"] | {"aliases": {CHAMPION: 1}}
    assert place.follow() == []


def test_the_alias_of_a_rollback_is_completed_too(place: Place) -> None:
    place.decide(1, "promote")
    place.promote()
    assert place.registry.aliases() == {CHAMPION: 2}
    place.registry.store.client.set_registered_model_alias(place.registry.name, "mine", "2")
    place.roll_back()  # and the server is away
    assert place.follow() == [f"{MODELS[0]} is champion (champion: version 1, mine: version 2)"]
    assert place.registry.aliases() == {CHAMPION: 1, "mine": 2}
    assert place.follow() == []


@pytest.mark.parametrize("late", ["promote", "roll_back"])
def test_aliases_follow_a_history_that_changes_while_they_are_set(place: Place, late: str) -> None:
    """One process has read the history and sets an alias, when another one changes both and has ended before."""
    place.decide(1, "promote")
    place.promote()
    if late == "promote":
        place.decide(2, "promote")
        slow, quick = place.promote, place.roll_back_and_point
    else:
        slow, quick = place.roll_back_and_point, lambda: (place.decide(2, "promote"), place.promote())
    client, patch = place.registry.store.client, pytest.MonkeyPatch()
    set_alias = client.set_registered_model_alias

    def set_late(*arguments: Any) -> None:
        patch.undo()
        quick()
        set_alias(*arguments)

    patch.setattr(client, "set_registered_model_alias", set_late)
    slow()
    history = place.catalog.load("retrain__history")
    assert history[-1].kind == ("rollback" if late == "promote" else "decision")
    assert place.registry.aliases() == {CHAMPION: 1 + MODELS.index(champion(history))}


def test_a_later_retraining_is_respected(place: Place) -> None:
    place.decide(1, "promote")
    place.promote()
    place.decide(2, "refuse")
    place.promote()
    contents = place.contents()
    assert contents["aliases"] == {CHAMPION: 2, CHALLENGER: 3}
    assert place.follow() == []
    assert place.contents() == contents


def test_a_retraining_that_was_stopped_before_its_report_is_for_the_next_one(place: Place) -> None:
    report = (place.folder / "report.json").read_text()
    place.decide(1, "promote")
    (place.folder / "report.json").write_text(report)
    sentence = f"retrain {WEEKS[1]}: was stopped before its report; `kedro run --pipelines=retrain` completes it"
    assert place.follow() == [sentence]
    (place.folder / "report.json").unlink()
    assert place.follow() == [sentence]
    assert place.registry.aliases() == {CHAMPION: 1}


def test_of_two_at_once_one_completes_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.decide(1, "promote")
    calls, record = [], place.registry.record
    monkeypatch.setattr(place.registry, "record", lambda entry: calls.append(entry) or record(entry))
    with ThreadPoolExecutor(2) as pool:
        sentences = [said for each in [pool.submit(place.follow) for _ in range(2)] for said in each.result()]
    assert len(sentences) == len(calls) == 1


def test_it_leaves_a_retraining_that_is_going_on_alone(place: Place) -> None:
    place.decide(1, "promote")
    locks = Locks(place.folder / ".locks")
    pipeline = Pipeline([promotion()], namespace="promote", tags=["retrain"], inputs=set(promotion().inputs))
    names = written_by(pipeline, [])
    assert names == {PROMOTION}
    locks.acquire(names, "kedro run --pipelines=retrain", "a retraining")
    with pytest.raises(InputError, match=r"written by another run \(process \d+, `kedro run --pipelines=retrain`\)"):
        place.follow()
    assert place.registry.aliases() == {CHAMPION: 1}
    locks.release()
    assert len(place.follow()) == 1
