"""What an experiment costs on a Dask cluster beside this machine's own processes.

    python benchmarks/bench_scaling.py [--cases win_celeba alter_cifar10s frontier_adult_boosted] [--workers 1 2]

Scheduler and workers are processes on loopback, each worker with one thread, in a copy of the project. The network is
a name space of its own (`unshare`), so the bytes on its loopback are those of client, scheduler and workers, and
nobody else's. For as many workers the same experiment runs on this machine alone, in one process (`serial`) or several
(`processes`); every run and every worker is new, and imports what it needs. Processor seconds hardly depend on what
else runs on the machine; seconds on the clock are said as a ratio to the local run's.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from processes import QUIET, Usage, copy_of_the_project, measured, peak_of, seconds_of

from counterpoise.config.parts import merged

INSIDE = "COUNTERPOISE_BENCH_NAMESPACE"
"""Set where the network is a name space of its own."""

PATIENCE = 120
"""Seconds for the cluster to come up."""


@dataclass(frozen=True)
class Case:
    """An experiment, and what to look at.

    Attributes:
        pipeline: its name. env: where its parameters are. raw: its raw data; none where they are generated.
        stages: those that are spread over workers. changes, catalog: to the parameters, and to the catalog.
    """

    pipeline: str
    env: str
    stages: Sequence[str]
    raw: Sequence[str] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    catalog: Mapping[str, Any] = field(default_factory=dict)


FACES = 1500
CASES = {
    case.pipeline: case
    for case in (
        Case(
            "win_celeba",
            "smoke",
            ["extract_features"],
            (),
            {"seeds": 2, "backbones": {"probe": {"weights": "random", "image_size": 128, "shard_size": 128}}},
            {"celeba__raw": {"options": {"images": FACES, "seed": 0}}},
        ),
        Case(
            "alter_cifar10s",
            "smoke",
            ["pretrain", "repair"],
            (),
            {"seeds": 2, "repairs": {"images": {"methods": ["mask_only", "adversarial_finetuning", "baseline"]}}},
        ),
        Case(
            "frontier_adult_boosted",
            "local",
            ["pretrain", "frontier"],
            ["adult"],
            {
                "seeds": 2,
                "frontiers": {
                    "boosted": {
                        "folds": 2,
                        "bases": {"boosted": {"grid": [{"rounds": 100, "num_leaves": 7, "learning_rate": 0.2}]}},
                    }
                },
                "peers": {"methods": ["plain"], "inputs": ["columns"], "estimators": ["logistic"]},
            },
        ),
    )
}


@dataclass(frozen=True)
class Row:
    """What one run has cost: the command, each worker (processor seconds, peak memory), the scheduler, the network."""

    usage: Usage
    stage_seconds: float
    workers: Sequence[tuple[float, int]] = ()
    scheduler: float = 0.0
    network: int = 0


def project_of(case: Case, folder: Path) -> Path:
    """Make the project of a case."""
    project = copy_of_the_project(folder, case.raw)
    for name, changes in (("parameters", case.changes), ("catalog", case.catalog)):
        file = project / "conf" / case.env / f"{name}.yml"
        settings = yaml.safe_load(file.read_text()) if file.exists() else {}
        file.write_text(yaml.safe_dump(merged(settings, changes)))
    return project


def run(case: Case, compute: str) -> tuple[Usage, float]:
    """Run a case in a new project; return what the command has used, and the seconds of the stages that are spread."""
    with TemporaryDirectory(prefix="counterpoise-scaling-") as folder:
        project = project_of(case, Path(folder) / "project")
        phases = project / "phases.json"
        script = Path(__file__).with_name("bench_run.py")
        command = [sys.executable, script, "--child", repr(time.time()), phases]
        command += [f"--env={case.env}", f"--pipelines={case.pipeline}", f"--params=tracking=false,{compute}"]
        usage = measured(command, project)
        seconds = json.loads(phases.read_text())
        return usage, sum(seconds[f"stage {stage}"] for stage in case.stages)


def local(case: Case, workers: int) -> Row:
    """Run on this machine alone."""
    backend = "serial" if workers == 1 else "processes"
    return Row(*run(case, f"compute.backend={backend},compute.workers={workers}"))


def distributed(case: Case, workers: int) -> Row:
    """Run on a new cluster."""
    with cluster(workers) as (address, scheduler, processes):
        before = bytes_on_loopback()
        idle = [seconds_of(process) for process in (scheduler, *processes)]
        usage, stage_seconds = run(case, f"compute.backend=dask,compute.address={address}")
        used = [seconds_of(process) - start for process, start in zip((scheduler, *processes), idle, strict=True)]
        peaks = [peak_of(process) for process in processes]
        costs = list(zip(used[1:], peaks, strict=True))
        return Row(usage, stage_seconds, costs, used[0], bytes_on_loopback() - before)


@contextmanager
def cluster(workers: int) -> Iterator[tuple[str, int, list[int]]]:
    """Start a scheduler and workers; yield the address, and the numbers of the processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="counterpoise-cluster-"))

        def start(module: str, *arguments: str) -> int:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *arguments, "--no-dashboard"],
                cwd=folder,
                env=os.environ | QUIET,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process.pid

        scheduler = start("dask_scheduler", "--host", address)
        options = ("--nthreads", "1", "--no-nanny", "--host", "127.0.0.1", "--memory-limit", "0")
        processes = [start("dask_worker", address, *options) for _ in range(workers)]
        _wait(address, workers)
        yield address, scheduler, processes


def _wait(address: str, workers: int) -> None:
    from distributed import Client

    host, port = address.removeprefix("tcp://").split(":")
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection((host, int(port))):
            break
        time.sleep(0.2)
    with Client(address, timeout=PATIENCE, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=PATIENCE)


def bytes_on_loopback() -> int:
    """Return how many bytes the loopback of this name space has carried."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    return int(next(line for line in lines if line.strip().startswith("lo:")).split(":")[1].split()[0])


def in_a_name_space() -> None:
    """Start this script anew where no other process uses the loopback."""
    if os.environ.get(INSIDE) is None:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--map-root-user", "--net", "--", sys.executable, __file__, *sys.argv[1:]])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def line(case: Case, workers: int, name: str, row: Row, beside: Row) -> str:
    """Return a row of the table."""
    seconds = ", ".join(f"{used:.0f}" for used, _ in row.workers) or "–"
    peak = f"{max(peak for _, peak in row.workers) / 1e9:.2f}" if row.workers else "–"
    network = f"{row.network / 1e6:.1f}" if row.workers else "–"
    total = row.usage.processor + row.scheduler + sum(used for used, _ in row.workers)
    return (
        f"| `{case.pipeline}` | {workers} | {name} | {total:.0f} | {seconds} | "
        f"{row.stage_seconds / beside.stage_seconds:.2f} | {row.usage.clock / beside.usage.clock:.2f} | {network} | "
        f"{peak} | {row.usage.memory / 1e9:.2f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    options = parser.parse_args()
    in_a_name_space()
    columns = ("experiment", "at once", "where", "processor s, all", "of each worker", "clock: spread stages")
    columns += ("clock: run", "MB over the network", "peak of a worker, GB", "peak of the command's processes, GB")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns), flush=True)
    for name in options.cases:
        case = CASES[name]
        for workers in options.workers:
            beside = local(case, workers)
            print(line(case, workers, "local", beside, beside), flush=True)
            print(line(case, workers, "Dask", distributed(case, workers), beside), flush=True)


if __name__ == "__main__":
    main()
