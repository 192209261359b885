"""What a server does wrong, and what a user hears of it: never a password, never a traceback, and no result is lost."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy.exc
from alembic.util.exc import CommandError
from mlflow.exceptions import MlflowException

from counterpoise.errors import InputError
from counterpoise.tracking import Tracker, TrackingSettings, replay
from counterpoise.tracking.addresses import secrets_of, without_credentials
from counterpoise.tracking.faults import sentence

CONFIGURATION = {"tracking_uri": "", "experiment": "trial", "timeout_seconds": 1, "patience_seconds": 4}
LINEAGE = {"command": "kedro run", "git_commit": "abc", "environment": "base", "seeds": [0, 1]}
RUN = {"experiment": "win_adult", "title": "Fairer?", "settings": {"epochs": 3}, "lineage": LINEAGE}
PASSWORD = "p@ss/w%rd"
RESULT = {
    "metrics": pd.DataFrame(
        [{"method": "tl", "variant": "tl", "seed": seed, "metric": "err", "value": 20.0 + seed} for seed in (0, 1)]
    ),
    "data_summary": {"digest": "d1", "title": "Adult", "rows": 2},
}


def settings(tmp_path: Path, uri: str, **further: Any) -> TrackingSettings:
    return TrackingSettings.read(CONFIGURATION | {"tracking_uri": uri} | further, tmp_path)


def connect(server: Any, tmp_path: Path, **further: Any) -> Tracker:
    return Tracker(settings(tmp_path, f"http://{server.address}", **further))


def track(tracker: Tracker, files: list[Path]) -> None:
    tracker.start("win_adult", [RUN])
    tracker.log([RESULT], files)


class TestPatience:
    def test_a_slow_answer_is_waited_for(self, server: Any, tmp_path: Path) -> None:
        server.delays = [1.5, 0, 0, 1.5]
        track(connect(server, tmp_path, patience_seconds=20), [])
        assert [run["info"]["status"] for run in server.runs.values()] == ["FINISHED"] * 2

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 0], ids=lambda status: str(status or "reset"))
    def test_a_busy_server_is_asked_again(self, server: Any, tmp_path: Path, status: int) -> None:
        tracker = connect(server, tmp_path)
        server.troubles = [status, status]
        track(tracker, [])
        assert [run["info"]["status"] for run in server.runs.values()] == ["FINISHED"] * 2
        assert len(server.asked("runs/create")) == 2

    def test_a_server_that_stays_busy_is_named(self, server: Any, tmp_path: Path) -> None:
        server.forever = 503
        with pytest.raises(InputError, match=r"answered with the error 503 for 1 s: .*tracking=off"):
            connect(server, tmp_path, patience_seconds=1)


class TestRefusal:
    BODIES = ("", "<html>no</html>", '{"error_code": "PERMISSION_DENIED", "message": "no"}')

    @pytest.mark.parametrize("body", BODIES)
    @pytest.mark.parametrize(("status", "said"), [(401, "does not accept the user"), (403, "does not allow this user")])
    def test_a_refusal_is_its_own_sentence_at_once(
        self, server: Any, tmp_path: Path, status: int, said: str, body: str
    ) -> None:
        if body.startswith("{") and status == 401:
            body = body.replace("PERMISSION_DENIED", "UNAUTHENTICATED")
        server.forever, server.body = status, body
        began = time.monotonic()
        with pytest.raises(InputError, match=said) as caught:
            connect(server, tmp_path)
        assert "cannot be reached" not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert time.monotonic() - began < 3

    def test_a_proxy_that_answers_in_json_of_its_own(self, server: Any, tmp_path: Path) -> None:
        server.forever, server.body = 401, '{"message": "Unauthorized"}'
        with pytest.raises(InputError, match=r"\(401\)"):
            connect(server, tmp_path)


class TestUnlogged:
    def test_what_a_server_did_not_take_is_on_disk_and_can_be_logged_later(self, server: Any, tmp_path: Path) -> None:
        report = tmp_path / "report.html"
        report.write_text("first")
        tracker = connect(server, tmp_path, patience_seconds=1)
        tracker.start("win_adult", [RUN])
        server.forever = 503
        with pytest.raises(InputError, match=r"complete on disk.*data/unlogged/win_adult-.*record.jsonl") as caught:
            tracker.log([RESULT], [report])
        (record,) = (tmp_path / "data" / "unlogged").glob("*/record.jsonl")
        assert str(record) in str(caught.value)
        assert [run["info"]["status"] for run in server.runs.values()] == ["RUNNING"]

        server.forever = None
        report.unlink()
        report.write_text("a later run's")
        replay(record, settings(tmp_path, f"http://{server.address}"))
        parent, child = server.runs.values()
        assert [parent["info"]["status"], child["info"]["status"]] == ["FINISHED"] * 2
        logged = [metric for batch in server.asked("runs/log-batch") for metric in batch.get("metrics", [])]
        assert {(m["key"], m["value"], m["step"]) for m in logged if m["key"] == "err"} == {
            ("err", 20.0, 0),
            ("err", 21.0, 1),
        }
        assert (Path(parent["info"]["artifact_uri"]) / "report.html").read_text() == "first"

    def test_one_bad_entry_does_not_keep_the_others_from_being_logged(self, server: Any, tmp_path: Path) -> None:
        tracker = connect(server, tmp_path)
        tracker.start("win_adult", [RUN])
        server.troubles = [400]
        with pytest.raises(InputError, match="complete on disk"):
            tracker.log([RESULT], [])
        assert [run["info"]["status"] for run in server.runs.values()] == ["FINISHED"] * 2
        (record,) = (tmp_path / "data" / "unlogged").glob("*/record.jsonl")
        assert len(record.read_text().splitlines()) == 2


ADDRESSES = [
    "http://user:{}@127.0.0.1:9",
    "https://{}@mlflow.example:5000/path",
    "postgresql://user:{}@db.example/runs",
    "postgresql+psycopg2://user:{}@db.example:5432/runs?sslmode=require",
    "mysql+pymysql://db.example/runs?user=u&password={}",
    "mssql+pyodbc:///?odbc_connect=DRIVER=x;UID=u;PWD={}",
]


class TestPasswords:
    @pytest.mark.parametrize("address", ADDRESSES)
    @pytest.mark.parametrize("password", ["secret-word", "p%40ss%2Fw", "a1", PASSWORD])
    def test_no_password_is_shown(self, address: str, password: str, tmp_path: Path) -> None:
        uri = address.format(password)
        read = settings(tmp_path, uri)
        errors = [
            MlflowException(f"API request to {uri}/api/2.0 failed with exception x"),
            OSError(f"password {password} of {uri} refused"),
            sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception(f"connection {uri} failed: {password}")),
        ]
        for text in (read.shown, *(sentence(error, read, "stop") for error in errors)):
            assert password not in text
            assert "@" not in text.replace("***@", "")

    def test_addresses_without_passwords_are_shown_as_they_are(self) -> None:
        for uri in ("http://mlflow.example:5000", "sqlite:////data/a@b/mlflow.db", "mlruns", "http://h/a@b"):
            assert without_credentials(uri) == uri
            assert secrets_of(uri) == set()

    def test_a_password_is_in_nothing_that_a_run_leaves(
        self,
        server: Any,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        password = "secret-word"
        tracker = Tracker(settings(tmp_path, f"http://user:{password}@{server.address}", patience_seconds=1))
        command = f"MLFLOW_TRACKING_URI=http://user:{password}@{server.address} kedro run"
        with caplog.at_level(logging.DEBUG):
            track_failing = [RUN | {"lineage": LINEAGE | {"command": command}}]
            tracker.start("win_adult", track_failing)
            server.troubles = [400]
            with pytest.raises(InputError) as caught:
                tracker.log([RESULT], [])
            server.forever = 401
            with pytest.raises(InputError) as refused:
                Tracker(tracker.settings)
        sent = json.dumps(server.requests)
        record = "".join(path.read_text() for path in tmp_path.rglob("*.jsonl"))
        printed = "".join(capfd.readouterr())
        ours = "".join(entry.getMessage() for entry in caplog.records if not entry.name.startswith("urllib3"))
        for text in (sent, record, printed, ours, str(caught.value), str(refused.value)):
            assert password not in text


class TestSentences:
    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (CommandError("Can't locate revision identified by 'ffff'"), "of another version of MLflow"),
            (MlflowException("Detected out-of-date database schema (found version a)"), "mlflow db upgrade"),
            (ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2"), "needs the Python package 'psycopg2'"),
            (PermissionError(13, "Permission denied", "/x"), r"cannot be reached \(Permission denied: /x\)"),
            (
                sqlalchemy.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database is locked")),
                "in use by another process",
            ),
            (sqlalchemy.exc.OperationalError("S", {}, Exception("no\nroute")), r"cannot be reached \(no\)"),
            (ValueError(), r"cannot be reached \(ValueError\)"),
            (MlflowException("x" * 5000), "…"),
        ],
    )
    def test_each_kind_is_one_line(self, error: Exception, said: str, tmp_path: Path) -> None:
        text = sentence(error, settings(tmp_path, "postgresql://db/runs"), "stop")
        assert re.search(said, text)
        assert "\n" not in text
        assert len(text) < 500

    @pytest.mark.parametrize(
        "further",
        [
            {"timeout_seconds": "soon"},
            {"timeout_seconds": 0},
            {"patience_seconds": True},
            {"experiment": ""},
            {"experiment": 3},
            {"tracking_uri": "sqlite:///:memory:"},
            {"tracking_uri": "sqlite://"},
            {"tracking_uri": "sqlite:///"},
        ],
        ids=str,
    )
    def test_settings_that_cannot_be_used(self, further: dict[str, Any], tmp_path: Path) -> None:
        (key,) = further
        with pytest.raises(InputError, match=rf"conf/mlflow.yml: {key} is .*expected"):
            TrackingSettings.read(CONFIGURATION | {"tracking_uri": "mlruns"} | further, tmp_path)
