"""What happens around a run."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import pandas as pd
import pytest
from kedro.pipeline import Pipeline

from counterpoise.hooks.preflight import experiments_in
from counterpoise.pipeline_registry import register_pipelines

FIRST_STAGE = {"to_nodes": ["data_split.encode_samples"]}


def test_a_pipeline_knows_its_experiments() -> None:
    pipelines = register_pipelines()
    assert [experiment.name for experiment in experiments_in(pipelines["win_lfwa"])] == ["win_lfwa"]
    assert experiments_in(pipelines["fetch_lfwa"]) == []
    assert experiments_in(Pipeline([])) == []


def test_the_report_says_where_its_numbers_come_from(smoke: Any) -> None:
    document = json.loads(smoke.file("08_reporting/*/report.json").read_text())
    lineage = document["lineage"]
    assert lineage["seeds"] == [0, 1, 2]
    assert lineage["environment"] == "smoke"
    assert lineage["command"] == "kedro run --env=smoke --pipelines=win_adult --params=tracking=true"
    summary = json.loads(smoke.file("05_model_input/*/data_summary.json").read_text())
    assert lineage["data_digest"] == summary["digest"]
    assert {"python", "torch", "kedro", "counterpoise"} <= set(lineage["versions"])


def test_a_run_that_is_not_tracked_after_one_that_was(project: Any, smoke: Any) -> None:
    """A process may run more than once, and the second run is not the first one's."""
    (project.path / "mlflow.db").write_bytes((smoke.path / "mlflow.db").read_bytes())
    project.run(params={"tracking": True}, **FIRST_STAGE)
    before = (project.path / "mlflow.db").read_bytes()
    project.run(**FIRST_STAGE)
    assert (project.path / "mlflow.db").read_bytes() == before


def test_a_slice_that_ends_early_shows_no_results(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.run(**FIRST_STAGE)
    assert "variant" not in capsys.readouterr().out


def test_the_end_of_a_run_shows_results_and_where_to_look_next(
    project: Any, smoke: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(smoke.data, project.data)
    monkeypatch.chdir(project.path)
    project.run(from_nodes=["fairness_report.write_report"])
    shown = capsys.readouterr().out
    summary = pd.read_csv(project.file("08_reporting/*/summary.csv")).set_index(["variant", "metric"])
    for variant in ("pretrained", "tl", "win_r2_a0.5"):
        mean, std = summary.loc[(variant, "err"), ["mean", "std"]]
        assert re.search(rf"{re.escape(variant)} +{mean:.2f} ± {std:.2f}", shown)
    assert "data/smoke/08_reporting/win_adult/report.html" in shown
    assert "kedro viz run --pipeline=win_adult" in shown
    assert "not tracked (tracking: off)" in shown
