"""A server that speaks as much of MLflow's REST interface as a run needs, and can be slow, busy, or refuse."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from counterpoise.tracking.databases import require_database
from counterpoise.tracking.faults import quiet


class Server(ThreadingHTTPServer):
    """What it was asked is in `requests` (path, body); `runs` has what was created.

    troubles: status to answer with, one for each of the next requests; 0 closes the connection without an answer.
    forever: the status of every answer from now on.
    delays: seconds before each of the next answers.
    """

    daemon_threads = True

    def __init__(self, artifacts: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.artifacts = artifacts
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.troubles: list[int] = []
        self.delays: list[float] = []
        self.forever: int | None = None
        self.body = ""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def asked(self, end: str) -> list[dict[str, Any]]:
        return [body for path, body in self.requests if path.endswith(end)]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has given up waiting is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}"))

    do_PATCH = do_POST  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self, body: dict[str, Any]) -> None:
        server, path = self.server, self.path.partition("?")[0]
        if server.delays:
            time.sleep(server.delays.pop(0))
        status = server.troubles.pop(0) if server.troubles else server.forever
        if status == 0:
            self.close_connection = True
            self.connection.close()
            return
        if status is not None:
            self._send(status, server.body.encode())
            return
        server.requests.append((path, body))
        self._send(200, json.dumps(self._content(path, body)).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _content(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        runs = self.server.runs
        if path.endswith("experiments/get-by-name"):
            return {"experiment": {"experiment_id": "7", "name": "trial", "lifecycle_stage": "active"}}
        if path.endswith("runs/create"):
            run = f"{len(runs):032x}"
            info = {"run_id": run, "run_uuid": run, "experiment_id": "7", "status": "RUNNING", "user_id": ""}
            info |= {"start_time": body["start_time"], "artifact_uri": str(self.server.artifacts / run)}
            runs[run] = {"info": info | {"lifecycle_stage": "active"}, "data": {"tags": body["tags"]}}
            return {"run": runs[run]}
        if path.endswith("runs/get"):
            return {"run": runs[self.path.rpartition("run_id=")[2].partition("&")[0]]}
        if path.endswith("runs/update"):
            runs[body["run_id"]]["info"] |= {key: body[key] for key in ("status", "end_time") if key in body}
            return {"run_info": runs[body["run_id"]]["info"]}
        return {}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server on loopback, whose runs keep their files in `artifacts`."""
    server = Server(tmp_path / "artifacts")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _require(path: Path) -> None:
    with quiet():
        require_database(path, "file:///nowhere")


@pytest.fixture(scope="session")
def require() -> Callable[[Path], None]:
    """Make a database where there is none, as a run does; for a process of its own."""
    return _require


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that is complete; the seconds that making it took are in `seconds` beside it."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    began = time.monotonic()
    process = multiprocessing.get_context("fork").Process(target=_require, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == 0
    path.with_name("seconds").write_text(str(time.monotonic() - began))
    return path
