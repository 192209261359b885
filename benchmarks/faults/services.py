"""MLflow's server on PostgreSQL, on loopback, as processes that can be stopped, started, and put back."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scene import QUIET

PROGRAMS = Path("/usr/lib/postgresql")
"""Where Debian's package `postgresql` has them."""

USER, PASSWORD = "tester", "only-for-tests"
TRACKING, BEFORE = "tracking", "before"
START_SECONDS = 120


def free_port() -> int:
    """Return a port on loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Database:
    """A PostgreSQL server with a database, and later a copy of it."""

    def __init__(self) -> None:
        self.programs = sorted(PROGRAMS.glob("*/bin"))[-1]
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="postgresql-")), free_port()
        self.user = {"user": "postgres"} if os.geteuid() == 0 else {}  # the server refuses to run as root
        if self.user:
            os.chown(self.folder, pwd.getpwnam("postgres").pw_uid, -1)
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        options = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={password}", "--no-sync"]
        self._call("initdb", "-D", str(self.folder / "data"), *options)
        self.start()
        self._execute(f"CREATE DATABASE {TRACKING}")

    @property
    def address(self) -> str:
        """SQLAlchemy's address of the database."""
        return f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{TRACKING}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c fsync=off"
        log = str(self.folder / "log")
        self._call("pg_ctl", "-D", str(self.folder / "data"), "-o", settings, "-l", log, "-w", "start")

    def stop(self) -> None:
        """Stop it at once, as if it had crashed."""
        self._call("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def keep(self) -> None:
        """Copy the database, which nobody may be connected to."""
        self._execute(f"CREATE DATABASE {BEFORE} TEMPLATE {TRACKING}")

    def reset(self) -> None:
        """Put the copy in the database's place."""
        self._execute(f"DROP DATABASE {TRACKING} WITH (FORCE)")
        self._execute(f"CREATE DATABASE {TRACKING} TEMPLATE {BEFORE}")

    def _execute(self, statement: str) -> None:
        import psycopg

        address = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement)

    def _call(self, program: str, *words: str) -> None:
        command = [str(self.programs / program), *words]
        subprocess.run(
            command,
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=START_SECONDS,
            **self.user,  # type: ignore[call-overload]
        )


class Server:
    """MLflow's server."""

    def __init__(self, database: str, folder: Path) -> None:
        self.database, self.folder, self.port = database, folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "artifacts").mkdir(parents=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        settings = {"MLFLOW_BACKEND_STORE_URI": self.database, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env=os.environ | QUIET | settings,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise RuntimeError((self.folder / "log").read_text()[-2000:])

    def stop(self) -> None:
        """Kill it with the processes that it has started."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Tracking:
    """Both of them."""

    def __init__(self, folder: Path) -> None:
        self.database = Database()
        self.server = Server(self.database.address, folder)
        self.server.start()

    def keep(self) -> None:
        """Make this the state that `reset` goes back to."""
        self.server.stop()
        self.database.keep()
        shutil.copytree(self.server.folder / "artifacts", self.server.folder / BEFORE)
        self.server.start()

    def reset(self) -> None:
        """Go back to that state."""
        self.server.stop()
        self.database.reset()
        shutil.rmtree(self.server.folder / "artifacts")
        shutil.copytree(self.server.folder / BEFORE, self.server.folder / "artifacts")
        self.server.start()

    def stop(self) -> None:
        """End both, and remove the database."""
        self.server.stop()
        self.database.stop()
        shutil.rmtree(self.database.folder, ignore_errors=True)


@contextmanager
def tracking(folder: Path) -> Iterator[Tracking]:
    """Start both; stop them in the end."""
    services = Tracking(folder)
    try:
        yield services
    finally:
        services.stop()
