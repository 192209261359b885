"""Projects for benchmarks, and what processes cost: processor seconds, seconds on the clock, peak memory (Linux)."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[1]
QUIET = {"KEDRO_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
TICKS = os.sysconf("SC_CLK_TCK")
USER, SYSTEM = 11, 12
"""Fields of /proc/<process>/stat, from 0, after the name."""

SAMPLED_EACH = 0.5
"""Seconds between two looks at the memory."""


@dataclass(frozen=True)
class Usage:
    """What a command has used, its descendants included: seconds of processors and on the clock, peak memory in bytes
    (proportional set size, which counts what processes share once)."""

    processor: float
    clock: float
    memory: int
    output: str


def copy_of_the_project(folder: Path, raw: Sequence[str] = ()) -> Path:
    """Make a project with this one's configuration and some of its raw data; the code is the installed package.

    Args:
        raw: folders of data/01_raw; files are linked where the file system can.
    """
    (folder / "src").mkdir(parents=True)  # Kedro insists on the folder
    shutil.copytree(REPOSITORY / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    (folder / "conf" / "local").mkdir()
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(REPOSITORY / name, folder / name)
    for name in raw:
        source = REPOSITORY / "data" / "01_raw" / name
        shutil.copytree(source, folder / "data" / "01_raw" / name, copy_function=link)
    return folder


def link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def measured(command: Sequence[str | Path], folder: Path, *, statuses: Sequence[int] = (0,), **more: str) -> Usage:
    """Run a command to its end.

    Args:
        statuses: with which it may end. more: variables of its environment.

    Raises:
        SystemExit: it ended with another status.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | QUIET | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    peak, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLED_EACH):
            peak[0] = max(peak[0], memory_of(process.pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    ended.set()
    watcher.join()
    if process.returncode not in statuses:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{output[-3000:]}")
    return Usage(usage.ru_utime + usage.ru_stime, time.monotonic() - began, peak[0], output)


def memory_of(process: int) -> int:
    """Return the proportional set size of a process and its descendants in bytes."""
    total = 0
    for each in descendants(process):
        with suppress(OSError, StopIteration, ValueError):
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
            total += 1024 * int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1])
    return total


def descendants(process: int) -> list[int]:
    """Return a process and all that it has started, directly or not, as far as they still run."""
    with suppress(psutil.NoSuchProcess):
        return [process, *(child.pid for child in psutil.Process(process).children(recursive=True))]
    return []


def seconds_of(process: int) -> float:
    """Return the processor seconds that a process has used, its descendants not included."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[USER]) + int(fields[SYSTEM])) / TICKS


def peak_of(process: int) -> int:
    """Return the largest resident set of a process so far, or since `forget_peak`, in bytes."""
    text = Path(f"/proc/{process}/status").read_text()
    return 1024 * int(next(line for line in text.splitlines() if line.startswith("VmHWM:")).split()[1])


def forget_peak(process: int) -> None:
    """Let the largest resident set of a process count from now on."""
    Path(f"/proc/{process}/clear_refs").write_text("5")
