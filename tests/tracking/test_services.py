"""An experiment over HTTP to MLflow's server on PostgreSQL that stops in the middle: nothing lost, nothing twice."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from counterpoise.errors import InputError

pytest.importorskip("psycopg", reason="needs the extra 'postgresql'")

CLIENT_PASSWORD = "s3cret/of the client"


class Service:
    """An MLflow server as a process of its own, which can be stopped and started again."""

    def __init__(self, database: str, folder: Path) -> None:
        self.database, self.folder = database, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env=os.environ
                | {"MLFLOW_BACKEND_STORE_URI": self.database, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise AssertionError(self.log.read_text()[-2000:])

    def stop(self) -> None:
        """Kill it with the processes that it has started."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="module")
def database(postgresql: str) -> str:
    """A database of its own on the server that all tests share."""
    import psycopg

    with psycopg.connect(postgresql.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE DATABASE tracking")
    return postgresql.rpartition("/")[0] + "/tracking"


@pytest.fixture(scope="module")
def service(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(database, tmp_path_factory.mktemp("service"))
    try:
        service.start()
        yield service
    finally:
        service.stop()


def rows(database: str, statement: str) -> list[tuple[Any, ...]]:
    import psycopg

    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        return connection.execute(statement).fetchall()


def contents(client: Any, run: str) -> dict[str, Any]:
    """Return what MLflow has of a run and its children, without times and ids."""
    parent = client.get_run(run)
    children = client.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{run}'")
    of_run = {}
    for each in (parent, *children):
        points = {
            key: sorted((point.step, point.value) for point in client.get_metric_history(each.info.run_id, key))
            for key in each.data.metrics
        }
        datasets = [used.dataset.name for used in each.inputs.dataset_inputs]
        of_run[each.info.run_name] = (each.info.status, points, each.data.params, datasets)
    assert len(of_run) == 1 + len(children), "two runs of one name"
    return of_run


def files(client: Any, run: str, folder: str | None = None) -> set[str]:
    below = client.list_artifacts(run, folder)
    return {file.path for file in below if not file.is_dir}.union(
        *(files(client, run, each.path) for each in below if each.is_dir)
    )


def test_a_server_that_stops_in_the_middle_gets_the_rest_later_and_once(
    project: Any,
    smoke: Any,
    service: Service,
    database: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "tester")  # to be forgotten again after the test
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "replaced")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    settings = {"tracking_uri": service.address, "experiment": "trial", "timeout_seconds": 10, "patience_seconds": 2}
    project.configure("smoke", "mlflow.yml", settings)
    project.configure("smoke", "credentials.yml", {"mlflow": {"password": CLIENT_PASSWORD}})

    def stop_once_it_runs() -> None:
        while not list(project.data.glob("06_models/*/pretrained.safetensors")):  # in the middle of the run
            time.sleep(0.05)
        service.stop()

    Thread(target=stop_once_it_runs, daemon=True).start()
    with pytest.raises(InputError, match=r"complete on disk.*the metrics of .*the files .*sync_tracking") as caught:
        project.run(params={"tracking": True})
    assert (project.data / "08_reporting" / "win_adult" / "report.html").exists()
    assert rows(database, "SELECT status FROM runs") == [("RUNNING",)]

    service.start()
    for _ in range(2):
        project.run("sync_tracking", params={"tracking": True})
    output, errors = capfd.readouterr()
    assert output.index("entries are logged") < output.index("Nothing to log")
    assert not list((project.path / "data" / "unlogged").glob("*/record.jsonl"))

    client = MlflowClient(service.address)
    whole = MlflowClient(f"sqlite:///{smoke.path / 'mlflow.db'}")
    (later,), (reference,) = parents(client), parents(whole)
    assert contents(client, later) == contents(whole, reference)
    assert files(client, later) == files(whole, reference)

    texts = [output, errors, str(caught.value), service.log.read_text()]
    texts += [str(rows(database, f"SELECT key, value FROM {table}")) for table in ("tags", "params")]
    written = [path for folder in (project.path, service.folder) for path in folder.rglob("*") if path.is_file()]
    texts += [path.read_bytes().decode(errors="replace") for path in written if path.name != "credentials.yml"]
    password = database.partition("://")[2].partition("@")[0].partition(":")[2]
    for secret in (password, CLIENT_PASSWORD):
        assert len(secret) > 8
        assert not any(secret in text for text in texts)


def parents(client: Any) -> list[str]:
    """Return the ids of the runs that are no children."""
    experiments = [each.experiment_id for each in client.search_experiments()]
    return [run.info.run_id for run in client.search_runs(experiments) if "mlflow.parentRunId" not in run.data.tags]
