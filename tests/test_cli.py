"""`kedro run`: a mistake of the user's is a sentence, a defect of ours is a traceback, a killed run is no harm."""

from __future__ import annotations

import signal
import time
from itertools import pairwise
from typing import Any

import pytest
from kedro.framework.cli.project import run as kedro_run
from kedro.io import DatasetError
from kedro.validation.exceptions import CheckFailure, DataValidationError

from counterpoise.cli import PIPELINES, cli, sentence
from counterpoise.errors import InputError
from counterpoise.pipeline_registry import register_pipelines

PATIENCE = 120
"""Seconds after which a command of these tests is stuck."""


def chained(*errors: Exception) -> Exception:
    """Return the first error, each with the next as its cause."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def test_the_sentence_of_an_input_error_however_deep() -> None:
    error = chained(DatasetError("Failed while loading"), ValueError("wrapped"), InputError("x.csv: no such file"))
    assert sentence(error) == "x.csv: no such file"


def test_what_kedro_says_of_a_dataset_on_one_line() -> None:
    assert sentence(DatasetError("Failed while saving\n  data to 'x'.")) == "Failed while saving data to 'x'."


def test_what_a_schema_refuses() -> None:
    failure = CheckFailure("age failed", "ge(17)", "age", 3, [5, 6])
    error = DataValidationError("no", dataset_name="table", validator="schemas.Table", failures=[failure])
    assert sentence(error) == "table: column 'age': found 5, 6 (3 rows), expected ge(17) (schemas.Table)"


@pytest.mark.parametrize("error", [KeyError("x"), chained(RuntimeError("a"), TypeError("b"))])
def test_a_defect_of_ours_keeps_its_traceback(error: Exception) -> None:
    assert sentence(error) is None


def test_the_command_takes_what_kedro_run_takes() -> None:
    assert cli.commands["run"].params == kedro_run.params


def test_the_names_that_are_suggested_are_those_that_are_registered() -> None:
    assert set(PIPELINES) == set(register_pipelines())


def test_a_mistake_ends_the_command_with_one_sentence(project: Any) -> None:
    command = project.start("run", "--env=smoke", "--params=sedes=3")
    output, error = command.communicate(timeout=PATIENCE)
    assert command.returncode == 1
    assert "Error: conf: unknown parameter 'sedes' (did you mean 'seeds'?)" in " ".join(error.split())
    assert "Traceback" not in output + error
    assert not project.data.exists()


def test_a_run_after_a_killed_one_gives_the_same_files(project: Any, smoke: Any) -> None:
    """kill -9 while the heads are trained; the other run was never disturbed, in another process, and tracked."""
    command = project.start("run", "--env=smoke", "--params=tracking=false,finetune.epochs=100000")
    deadline = time.monotonic() + PATIENCE
    while not list(project.data.glob("06_models/*/head_bank.safetensors")):
        assert command.poll() is None, command.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    command.send_signal(signal.SIGKILL)
    command.communicate(timeout=PATIENCE)
    assert command.returncode == -signal.SIGKILL
    assert list(project.data.glob("0[78]_*/**/*.*")) == []

    again = project.start("run", "--env=smoke", "--params=tracking=false")
    output, error = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, error
    assert "win_r2_a0.5" in output
    assert not (project.path / "mlflow.db").exists()
    assert project.leftovers() == []
    for name in SAME:
        assert project.file(name).read_bytes() == smoke.file(name).read_bytes(), name


SAME = (
    "08_reporting/*/summary.csv",
    "08_reporting/*/claims.csv",
    "08_reporting/*/metrics.parquet",
    "07_model_output/*/predictions.parquet",
    "07_model_output/*/learning_curves.parquet",
    "06_models/*/pretrained.safetensors",
    "06_models/*/finetuned_heads.safetensors",
)
