"""Runs that are stopped: none stays RUNNING."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from counterpoise.tracking import Tracker, TrackingSettings, ending, processes

FORKS = multiprocessing.get_context("fork")
"""Children that have imported what takes seconds to import."""

CONFIGURATION = {"tracking_uri": "sqlite:///mlflow.db", "experiment": "trial", "timeout_seconds": 1}
LINEAGE = {"command": "kedro run", "git_commit": "abc", "environment": "base"}
RUN = {"experiment": "win_adult", "title": "Fairer?", "settings": {}, "lineage": LINEAGE}


@pytest.fixture
def project(database: Path, tmp_path: Path) -> Path:
    shutil.copy(database, tmp_path)
    return tmp_path


def tracked(project: Path) -> Tracker:
    tracker = Tracker(TrackingSettings.read(CONFIGURATION, project))
    tracker.start("win_adult", [RUN])
    return tracker


def statuses(project: Path) -> list[str]:
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiment = client.get_experiment_by_name("trial")
    assert experiment is not None
    return [run.info.status for run in client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])]


def _run_and_wait(project: Path, started: Any) -> None:
    tracked(project)
    started.set()
    time.sleep(60)


class TestAbandoned:
    @pytest.fixture
    def alive(self, project: Path) -> Iterator[Any]:
        """A process that tracks a run."""
        started = FORKS.Event()
        process = FORKS.Process(target=_run_and_wait, args=(project, started))
        process.start()
        assert started.wait(30)
        yield process
        process.kill()
        process.join()

    def test_what_a_killed_process_has_left_is_marked_by_the_next_run(self, project: Path, alive: Any) -> None:
        tracked(project).finish("FINISHED")
        assert statuses(project) == ["RUNNING", "FINISHED"], "the first still runs"
        os.kill(alive.pid, signal.SIGKILL)
        while processes.start_of(alive.pid) is not None:  # until it is gone, or a zombie
            time.sleep(0.01)
        tracked(project).finish("FINISHED")
        assert statuses(project) == ["KILLED", "FINISHED", "FINISHED"]


class TestSignals:
    @pytest.mark.parametrize("number", ending.SIGNALS)
    def test_a_signal_unwinds_and_closes_the_run(
        self, project: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tracker = tracked(project)
        before = signal.getsignal(number)
        ending.watch(tracker)
        try:
            with pytest.raises(SystemExit) as stopped:
                os.kill(os.getpid(), number)
            assert stopped.value.code == 128 + number
            ending._close(tracker)
        finally:
            ending.release()
        assert statuses(project) == ["KILLED"]
        assert "KILLED" in capsys.readouterr().err
        assert signal.getsignal(number) is before

    def test_what_has_ended_is_not_closed_again(self, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
        tracker = tracked(project)
        tracker.log([], [])
        ending._close(tracker)
        assert statuses(project) == ["FINISHED"]
        assert capsys.readouterr().err == ""
