"""Retraining end to end on generated data: start, decision, nothing to do, monitor, rollback, and who was champion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow.tracking import MlflowClient

from counterpoise import registered
from counterpoise.cli import cli
from counterpoise.data.adult import read
from counterpoise.data.generate.adult import write_adult
from counterpoise.errors import Ending, InputError
from counterpoise.retraining.history import from_lines
from counterpoise.retraining_run import latest_challenger

WEEKS = ("2026-03-02", "2026-03-09", "2026-03-16")
SETTINGS = {
    "model_name": "income",
    "method": "tl",
    "min_rows": 100,
    "held_out": 0.5,
    "gate": {"error_margin": 0.5, "group_margin": 0.6, "tolerances": {"delta_dp": 0.9}, "patience": 1},
    "monitor": {"error_margin": 0.3, "tolerances": {}},
}


def arrive(project: Any, week: str, *, seed: int, rows: int = 600) -> Path:
    """Put a partition into the folder of partitions."""
    generated = project.path / "generated" / week
    write_adult(generated, rows=rows, seed=seed)
    path = project.path / "data" / "01_raw" / "partitions" / f"adult-{week}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    read(generated).to_csv(path, index=False)
    return path


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


def test_a_year_in_three_weeks(here: Any, capsys: pytest.CaptureFixture[str]) -> None:
    arrive(here, WEEKS[0], seed=1)
    here.run("retrain", params={"tracking": True})
    (first,) = history(here)
    assert first.kind == "start"
    assert f"champion   {first.champion}" in capsys.readouterr().out

    arrive(here, WEEKS[1], seed=2)
    here.run("retrain", params={"tracking": True})
    second = history(here)[1]
    assert (second.verdict, second.week, second.champion[:10]) == ("promote", WEEKS[1], WEEKS[1])
    folder = here.data / "08_reporting" / "retrain" / WEEKS[1]
    document = json.loads((folder / "report.json").read_text())
    assert document["decision"]["reason"] == second.reason
    assert document["evaluation"]["models"]["first"] == first.champion
    assert second.reason in (folder / "report.html").read_text()
    assert (folder / "model" / "model_card.md").is_file()
    client = MlflowClient(f"sqlite:///{here.path / 'mlflow.db'}")
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


def test_two_processes_at_once_decide_once(here: Any) -> None:
    arrive(here, WEEKS[0], seed=1)
    command = ["run", "--pipelines=retrain", "-e", "smoke", "--params", "tracking=false"]
    processes = [here.start(*command) for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    (record,) = history(here)
    said = [output for output, _ in outputs]
    assert sum(f"champion   {record.champion}" in output for output in said) == 1
    assert sum("Nothing to do: another run has decided" in output for output in said) == 1
