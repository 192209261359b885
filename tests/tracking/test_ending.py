"""Runs that are stopped, and databases in the making: nothing stays RUNNING, and nobody finds half a database."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from counterpoise.errors import InputError
from counterpoise.tracking import Tracker, TrackingSettings, ending, processes
from counterpoise.tracking.databases import require_database
from counterpoise.tracking.faults import quiet

FORKS = multiprocessing.get_context("fork")
"""Children that have imported what takes seconds to import."""

CONFIGURATION = {"tracking_uri": "sqlite:///mlflow.db", "experiment": "trial", "timeout_seconds": 1}
LINEAGE = {"command": "kedro run", "git_commit": "abc", "environment": "base"}
RUN = {"experiment": "win_adult", "title": "Fairer?", "settings": {}, "lineage": LINEAGE}
MOMENTS = 6


def run(target: Callable[..., None], *arguments: Any) -> int | None:
    process = FORKS.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def make(path: Path) -> None:
    with quiet():
        require_database(path, "file:///nowhere")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that is complete; its time in the making is in `seconds` beside it."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    began = time.monotonic()
    assert run(make, path) == 0
    path.with_name("seconds").write_text(str(time.monotonic() - began))
    return path


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


class TestDatabase:
    @pytest.mark.parametrize("moment", range(MOMENTS))
    def test_a_run_killed_while_it_makes_the_database_leaves_none(
        self, moment: int, database: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "mlflow.db"
        process = FORKS.Process(target=make, args=(path,))
        process.start()
        time.sleep(float(database.with_name("seconds").read_text()) * moment / MOMENTS)
        process.kill()
        process.join()
        assert run(make, path) == 0
        assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]

    def test_runs_that_come_at_once_both_work(self, tmp_path: Path) -> None:
        makers = [FORKS.Process(target=make, args=(tmp_path / "mlflow.db",)) for _ in range(3)]
        for process in makers:
            process.start()
        for process in makers:
            process.join()
        assert [process.exitcode for process in makers] == [0, 0, 0]
        assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]

    def test_a_file_of_no_bytes_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "mlflow.db").touch()
        assert run(make, tmp_path / "mlflow.db") == 0

    def test_it_can_be_read_by_who_may_read_new_files(self, database: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert database.stat().st_mode == (tmp_path / "file").stat().st_mode

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ("DELETE FROM alembic_version", "incomplete"),
            ("DELETE FROM experiments", "incomplete"),
            ("DROP TABLE experiments", "incomplete"),
            ("UPDATE alembic_version SET version_num = 'ffffffffffff'", "newer MLflow .*revision ffffffffffff"),
            ("DROP TABLE logged_models", "lacks the tables logged_models.*mlflow db upgrade"),
            ("UPDATE alembic_version SET version_num = '451aebb31d03'", "another version of MLflow.*mlflow db upgrade"),
        ],
    )
    def test_what_cannot_be_used_is_one_sentence(self, project: Path, change: str, said: str) -> None:
        with closing(sqlite3.connect(project / "mlflow.db")) as opened:
            opened.execute(change)
            opened.commit()
        self.refuses(project, said)

    def test_files_of_others(self, tmp_path: Path) -> None:
        path = tmp_path / "mlflow.db"
        path.write_text("notes, longer than the first bytes of a database")
        self.refuses(tmp_path, "not an SQLite database")
        path.unlink()
        with closing(sqlite3.connect(path)) as opened:
            opened.execute("CREATE TABLE recipes (name)")
        self.refuses(tmp_path, "the tables recipes, not MLflow's")
        path.unlink()
        path.mkdir()
        self.refuses(tmp_path, "cannot be reached .*Is a directory")

    def test_a_damaged_one(self, project: Path) -> None:
        path = project / "mlflow.db"
        path.write_bytes(path.read_bytes()[:100] + os.urandom(20_000))
        self.refuses(project, "cannot be read|cannot be reached")

    @staticmethod
    def refuses(project: Path, said: str) -> None:
        with pytest.raises(InputError, match=said) as caught:
            Tracker(TrackingSettings.read(CONFIGURATION, project))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["with space", "made%20here", "what?", "a#b", "a&b=c", "50%", "ä@b:c", "it's"])
    def test_any_path_will_do(self, name: str, database: Path, tmp_path: Path) -> None:
        project = tmp_path / name
        project.mkdir()
        shutil.copy(database, project)
        (project / "report.html").write_text("report")
        tracker = tracked(project)
        tracker.log([], [project / "report.html"])
        assert {path.name for path in tmp_path.iterdir()} == {name}
        with closing(sqlite3.connect(project / "mlflow.db")) as opened:
            assert opened.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)]
        assert len(list((project / "mlruns").rglob("report.html"))) == 1


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

    def test_only_processes_of_this_machine_can_be_known_to_have_ended(self) -> None:
        tags = processes.this_process()
        number, started, boot, namespace = tags[processes.PROCESS].split(" ")

        def ended(process: str, host: str = tags[processes.HOST], *, local: bool = False) -> bool:
            return processes.has_ended({processes.HOST: host, processes.PROCESS: process}, local=local)

        assert not ended(f"{number} {started} {boot} {namespace}")
        assert ended(f"{number} 1 {boot} {namespace}"), "the number is another process's now"
        assert ended(f"{2**22 + 1} {started} {boot} {namespace}")
        assert ended(f"{number} {started} before {namespace}", local=True)
        assert not ended(f"{number} 1 {boot} container")
        assert not ended(f"{number} 1 {boot} {namespace}", "elsewhere", local=True)
        for text in ("", "x", number, f"{number} {started}"):
            assert not ended(text, local=True)


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
