"""Retraining end to end on generated data: start, decision, nothing to do, monitor, rollback, and who was champion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow.tracking import MlflowClient

from counterpoise import registered
from counterpoise.artifacts.retraining import HistoryDataset
from counterpoise.artifacts.serving import read_servable
from counterpoise.cli import cli
from counterpoise.data.adult import read
from counterpoise.data.generate.adult import write_adult
from counterpoise.data.generate.faces import write_lfwa
from counterpoise.data.lfw import read as read_lfwa
from counterpoise.errors import Ending, InputError
from counterpoise.retraining.history import Record, from_lines, latest_challenger, start

AT = "2026-03-02T06:00:00+00:00"

WEEKS = ("2026-03-02", "2026-03-09", "2026-03-16")
SETTINGS = {
    "model_name": "income",
    "method": "tl",
    "min_rows": 100,
    "held_out": 0.5,
    "gate": {"error_margin": 0.5, "group_margin": 0.6, "tolerances": {"delta_dp": 0.9}, "patience": 1},
    "monitor": {"error_margin": 0.3, "tolerances": {}},
}
DECIDED = ["retrain__history_after"]
"""Output of a slice that makes no reports."""


def arrive(project: Any, week: str, *, seed: int, rows: int = 600) -> Path:
    """Put a partition into the folder of partitions."""
    generated = project.path / "generated" / week
    write_adult(generated, rows=rows, seed=seed)
    path = project.path / "data" / "01_raw" / "partitions" / f"adult-{week}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    read(generated).to_csv(path, index=False)
    return path


def no_answer(*arguments: Any, **options: Any) -> None:
    """Stand in for a request to a server that is gone."""
    raise RuntimeError("connection refused")


def prepare(project: Any) -> Any:
    """Make retraining as cheap as it can be."""
    blocks = {"seeds": 1, "epochs": 2, "retraining": SETTINGS, "variants": {"win": {"methods": ["tl"]}}}
    project.override("smoke", {**blocks, "report": {"leakage": False}})
    return project


def history(project: Any) -> Any:
    return from_lines((project.data / "retrain" / "history.jsonl").read_text().splitlines())


pytestmark = pytest.mark.usefixtures("registered_as_before")


@pytest.fixture
def here(project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    project.bootstrap()
    monkeypatch.chdir(project.path)
    registered.read(environment="smoke")
    return prepare(project)


def test_a_year_in_three_weeks(
    here: Any, tracked_before: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tracked_before(here.path)
    arrive(here, WEEKS[0], seed=1)
    here.run("retrain", params={"tracking": True})
    (first,) = history(here)
    assert first.kind == "start"
    assert f"champion   {first.champion}" in capsys.readouterr().out

    arrive(here, WEEKS[1], seed=2)
    for part in ({"tags": ["decide"]}, {"namespaces": ["promote"]}, {"only_missing_outputs": True}):
        with pytest.raises(
            InputError, match=rf"^adult-{WEEKS[1]}: is new, and .* are of {WEEKS[0]}, which was decided"
        ):
            here.run("retrain", **part)
    client = MlflowClient(f"sqlite:///{here.path / 'mlflow.db'}")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_model_version", no_answer)
        with pytest.raises(InputError, match=rf"^{WEEKS[1]}-\w+ is champion, .*`kedro run --pipelines=sync_tracking`"):
            here.run("retrain", params={"tracking": True})
    assert client.get_registered_model("income").aliases == {"champion": 1}
    for sentence in (" is version 2 of income (champion: version 2)", "Nothing to log"):
        capsys.readouterr()
        here.run("sync_tracking", params={"tracking": True})
        assert sentence in capsys.readouterr().out
    second = history(here)[1]
    assert (second.verdict, second.week, second.champion[:10]) == ("promote", WEEKS[1], WEEKS[1])
    folder = here.data / "08_reporting" / "retrain" / WEEKS[1]
    document = json.loads((folder / "report.json").read_text())
    assert document["decision"]["reason"] == second.reason
    assert document["evaluation"]["models"]["first"] == first.champion
    assert second.reason in (folder / "report.html").read_text()
    assert (folder / "model" / "model_card.md").is_file()
    here.run("retrain", namespaces=["report"])  # as a scheduler's task of its own
    assert json.loads((folder / "report.json").read_text()) == document
    assert client.get_registered_model("income").aliases == {"champion": 2}
    runs = client.search_runs([client.get_experiment_by_name("counterpoise").experiment_id])
    assert {run.info.run_name: run.info.status for run in runs} == {f"retrain {w}": "FINISHED" for w in WEEKS[:2]}
    assert runs[0].data.metrics["challenger/newest/women/rows"] > 0

    with pytest.raises(Ending, match=rf"^Nothing to do: there is no new partition; {second.champion} stays champion."):
        here.run("retrain")

    result = CliRunner().invoke(cli, ["champion", "--env", "smoke"])
    assert result.output.startswith(f"{second.champion}, since {second.at}: Promoted on ")
    assert "passed    Labelled rows" in result.output
    assert CliRunner().invoke(cli, ["champion", "--env", "smoke", "--on", "2020-01-01"]).exit_code == 1

    capsys.readouterr()
    here.run("monitor")
    assert f"No partition is later than {WEEKS[1]}, the last that {second.champion}" in capsys.readouterr().out
    path = arrive(here, WEEKS[2], seed=3)
    table = pd.read_csv(path)
    turned = {"<=50K": ">50K", ">50K": "<=50K"}
    table.assign(income=table["income"].map(turned)).to_csv(path, index=False)  # the world has changed
    with pytest.raises(Ending, match=rf"^Alarm: error of {second.champion} exceeds .*, shown since {WEEKS[2]}"):
        here.run("monitor")

    here.run("rollback", params={"tracking": True})
    assert f"{first.champion} is champion again (alias champion: version 1)" in capsys.readouterr().out
    assert client.get_registered_model("income").aliases == {"champion": 1}
    with pytest.raises(InputError, match=r"is the first champion, expected one with a predecessor"):
        here.run("rollback")

    with pytest.raises(InputError, match=rf"error_margin is 0.6, expected at most 0.5 .* the retraining of {WEEKS[0]}"):
        here.run("retrain", params={"retraining": {"gate": {"error_margin": 0.6}}})
    refusing = {"retraining": {"gate": {"error_margin": 0.00001}}}
    with pytest.raises(Ending, match=f"was refused; {first.champion} stays champion") as ending:
        here.run("retrain", params=refusing)
    assert ending.value.status == 3
    assert history(here)[-1].champion == first.champion
    assert latest_challenger(history(here)) == history(here)[-1].challenger


def test_partitions_that_cannot_be_used_change_nothing(here: Any) -> None:
    path = arrive(here, WEEKS[0], seed=1)
    path.write_bytes(path.read_bytes()[:5000] + b'"\xff')
    with pytest.raises(InputError, match=f"no new partition can be used: .*adult-{WEEKS[0]}"):
        here.run("retrain")
    assert not (here.data / "retrain" / "history.jsonl").exists()


def test_a_registry_that_cannot_be_reached_is_noticed_before_anything_is_changed(here: Any) -> None:
    nobody = {"tracking_uri": "http://127.0.0.1:9", "experiment": "x", "timeout_seconds": 1}
    here.configure("smoke", "mlflow.yml", {**nobody, "patience_seconds": 1})
    arrive(here, WEEKS[0], seed=1)
    with pytest.raises(InputError, match=r"cannot be reached .*start the server"):
        here.run("retrain", params={"tracking": True})
    assert not (here.data / "retrain" / "work").exists()
    records = (*start("a", at=AT), Record(1, "decision", AT, "b", "Why.", WEEKS[1], "b", "promote", 0.01))
    HistoryDataset(str(here.data / "retrain" / "history.jsonl")).save(records)
    with pytest.raises(InputError, match="cannot be reached"):
        here.run("rollback", params={"tracking": True})
    assert history(here) == records


def test_two_processes_at_once_decide_once(here: Any) -> None:
    arrive(here, WEEKS[0], seed=1)
    command = [
        "run",
        "--pipelines=retrain",
        "-e",
        "smoke",
        "--params=tracking=false",
        "--to-outputs=retrain__registered",
    ]
    processes = [here.start(*command) for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    (record,) = history(here)
    said = [output for output, _ in outputs]
    assert sum(f"champion   {record.champion}" in output for output in said) == 1
    assert sum("Nothing to do: another run has decided" in output for output in said) == 1


def test_a_frontier_is_retrained_and_its_choice_is_the_challenger(here: Any) -> None:
    here.override("smoke", {"retraining": {**SETTINGS, "experiment": "frontier_adult", "method": None}})
    registered.read(environment="smoke")
    arrive(here, WEEKS[0], seed=1)
    here.run("retrain", to_outputs=DECIDED)
    (record,) = history(here)
    model = read_servable(here.data / "retrain" / "models" / record.champion)
    selection = pd.read_csv(here.data / "08_reporting" / "retraining" / "selection.csv")
    chosen = selection[selection["family"] == "chosen"]
    assert model.metadata["variant"] in set(chosen["variant"])
    assert model.experiment == "retraining"


def faces(project: Any, week: str, *, seed: int, images: int = 100) -> Path:
    """Put a partition of drawn faces into the folder of partitions, its images beside it."""
    inbox = project.path / "data" / "01_raw" / "partitions"
    write_lfwa(inbox / week, images=images, seed=seed)
    table = read_lfwa(inbox / week)
    path = inbox / f"faces-{week}.csv"
    table.assign(image=[f"{week}/{name}" for name in table["image"]]).to_csv(path, index=False)
    return path


def test_images_are_retrained_and_the_champion_reads_them(here: Any) -> None:
    here.override("smoke", {"retraining": {**SETTINGS, "experiment": "win_lfwa"}})
    registered.read(environment="smoke")
    path = faces(here, WEEKS[0], seed=1)
    here.run("retrain", to_outputs=[*DECIDED, "retrain__audit"])
    audit = json.loads((here.data / "retrain" / "work" / "audit.json").read_text())
    assert audit["rows"] == {"reference": 600, "new": 100}
    assert {"image brightness", "image width"} <= {row["column"] for row in audit["drift"]}
    (record,) = history(here)
    model = mlflow.pyfunc.load_model(str(here.data / "retrain" / "models" / record.champion))
    image = (path.parent / pd.read_csv(path)["image"][0]).read_bytes()
    assert model.predict(pd.DataFrame({"image": [image]}))["prediction"][0] in ("woman", "man")
