"""What an experiment costs on a Dask cluster: processor seconds of each worker, and bytes over the network.

    python benchmarks/bench_scaling.py [--pipelines alter_compas frontier_adult] [--workers 1 2] [--env smoke]

Scheduler and workers are processes on loopback, in a copy of the project. Client and workers reach the scheduler
through a relay that counts bytes; workers reach each other directly, which is not counted. Processor seconds are those
of the workers' processes from the first task to the end; unlike seconds on the clock they hardly depend on what else
runs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

CHUNK = 1 << 16
TICKS = os.sysconf("SC_CLK_TCK")
USER, SYSTEM = 13, 14
"""Fields of /proc/<process>/stat, from 0."""


class Relay:
    """A port that passes on what it gets to another one, and counts the bytes in both directions."""

    def __init__(self, target: int) -> None:
        self.target, self.sent = target, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.target))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                self.sent += len(data)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def project(folder: Path) -> Path:
    """Copy what a run reads; return the folder."""
    root = Path(__file__).parents[1]
    (folder / "src").mkdir(parents=True)
    shutil.copytree(root / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    (folder / "conf" / "local").mkdir()
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(root / name, folder / name)
    return folder


def seconds_of(process: subprocess.Popen[bytes]) -> float:
    """Return the processor seconds that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[USER - 2]) + int(fields[SYSTEM - 2])) / TICKS


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def measure(folder: Path, pipeline: str, env: str, workers: int) -> str:
    """Run a pipeline on so many workers; return a line of a table."""
    port, environment = free_port(), os.environ | {"OMP_NUM_THREADS": "1", "KEDRO_DISABLE_TELEMETRY": "1"}
    with ExitStack() as stack:

        def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments, "--no-dashboard"]
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start("dask_scheduler", "--host", f"tcp://127.0.0.1:{port}")
        relay = Relay(port)
        address = f"tcp://127.0.0.1:{relay.port}"
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.2)
        options = ("--nthreads", "1", "--no-nanny", "--host", "127.0.0.1")
        processes = [start("dask_worker", address, *options) for _ in range(workers)]
        _wait(address, workers)
        idle, before = relay.sent, [seconds_of(process) for process in processes]
        params = f"tracking=off,compute.backend=dask,compute.address={address}"
        command = [sys.executable, "-m", "counterpoise", "run", f"--env={env}", f"--pipelines={pipeline}"]
        began = time.monotonic()
        subprocess.run([*command, f"--params={params}"], cwd=folder, env=environment, check=True, capture_output=True)
        took = time.monotonic() - began
        used = [seconds_of(process) - start for process, start in zip(processes, before, strict=True)]
        seconds = ", ".join(f"{each:.1f}" for each in used)
        return f"| `{pipeline}` | {workers} | {seconds} | {(relay.sent - idle) / 1e6:.1f} | {took:.0f} |"


def _wait(address: str, workers: int) -> None:
    from distributed import Client

    with Client(address, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=120)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipelines", nargs="+", default=["alter_compas", "frontier_adult", "win_celeba"])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--env", default="smoke")
    options = parser.parse_args()
    print("| experiment | workers | processor seconds of each worker | MB over the network | seconds |")
    print("|---|---|---|---|---|", flush=True)
    for pipeline in options.pipelines:
        for workers in options.workers:
            with TemporaryDirectory() as place:
                print(measure(project(Path(place) / "project"), pipeline, options.env, workers), flush=True)


if __name__ == "__main__":
    main()
