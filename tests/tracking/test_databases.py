"""MLflow's database: made complete or not at all; one that cannot be used is refused in a sentence."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from counterpoise.errors import InputError
from counterpoise.tracking import Tracker, TrackingSettings

FORKS = multiprocessing.get_context("fork")
"""Children that have imported what takes seconds to import."""

CONFIGURATION = {"tracking_uri": "sqlite:///mlflow.db", "experiment": "trial", "timeout_seconds": 1}
LINEAGE = {"command": "kedro run", "git_commit": "abc", "environment": "base"}
RUN = {"experiment": "win_adult", "title": "Fairer?", "settings": {}, "lineage": LINEAGE}
MOMENTS = (0.0, 0.4, 0.8)
"""Shares of the time that making a database takes: before its file, among its tables, before it is put in place."""

Require = Callable[[Path], None]


def run(target: Callable[..., None], *arguments: Any) -> int | None:
    process = FORKS.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode


@pytest.fixture
def damaged(database: Path, tmp_path: Path) -> Path:
    """A folder with a copy of the database, to be damaged."""
    shutil.copy(database, tmp_path)
    return tmp_path


class TestDatabase:
    @pytest.mark.parametrize("moment", MOMENTS)
    def test_a_run_killed_while_it_makes_the_database_leaves_none(
        self, moment: float, require: Require, database: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "mlflow.db"
        process = FORKS.Process(target=require, args=(path,))
        process.start()
        time.sleep(float(database.with_name("seconds").read_text()) * moment)
        process.kill()
        process.join()
        assert run(require, path) == 0
        assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]

    def test_runs_that_come_at_once_both_work(self, require: Require, tmp_path: Path) -> None:
        makers = [FORKS.Process(target=require, args=(tmp_path / "mlflow.db",)) for _ in range(3)]
        for process in makers:
            process.start()
        for process in makers:
            process.join()
        assert [process.exitcode for process in makers] == [0, 0, 0]
        assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]

    def test_a_file_of_no_bytes_is_none(self, require: Require, tmp_path: Path) -> None:
        (tmp_path / "mlflow.db").touch()
        assert run(require, tmp_path / "mlflow.db") == 0

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
    def test_what_cannot_be_used_is_one_sentence(self, damaged: Path, change: str, said: str) -> None:
        with closing(sqlite3.connect(damaged / "mlflow.db")) as opened:
            opened.execute(change)
            opened.commit()
        self.refuses(damaged, said)

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

    def test_a_damaged_one(self, damaged: Path) -> None:
        path = damaged / "mlflow.db"
        path.write_bytes(path.read_bytes()[:100] + os.urandom(20_000))
        self.refuses(damaged, "cannot be read|cannot be reached")

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
        tracker = Tracker(TrackingSettings.read(CONFIGURATION, project))
        tracker.start("win_adult", [RUN])
        tracker.log([], [project / "report.html"])
        assert {path.name for path in tmp_path.iterdir()} == {name}
        with closing(sqlite3.connect(project / "mlflow.db")) as opened:
            assert opened.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)]
        assert len(list((project / "mlruns").rglob("report.html"))) == 1
