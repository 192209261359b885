"""Faults of whole runs: killed, started twice, with a full disk, while the tracking database is made."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from scene import PATIENCE, Kind, Scene, scene

UNTRACKED = "--params=tracking=false"
RUNNING = "RUNNING"


def killed(times: int) -> Kind:
    """kill -9 at a random moment; the next run gives the same bytes, and no file was ever half-written."""
    kind = Kind("kill -9 at a random moment, then run again")
    draw = random.Random(0)
    with scene() as untouched:
        began = time.monotonic()
        untouched.run()
        length = time.monotonic() - began
        expected = untouched.results_of()
    with scene() as place:
        for number in range(times):
            process = place.start()
            moment = draw.uniform(0.1, 0.95) * length
            _wait(process.poll, moment)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            whole = not place.unreadable()
            again = place.run()
            right = whole and again.status == 0 and place.results_of() == expected and not _still_running(place)
            kind.count(right, f"kill {number} after {moment:.1f} s: {again.output[-300:]}")
    return kind


def stopped(times: int) -> Kind:
    """SIGTERM and Ctrl-C: no run stays RUNNING in MLflow."""
    kind = Kind("SIGTERM or Ctrl-C, no run stays RUNNING")
    draw = random.Random(1)
    with scene() as place:
        place.run()
        for number in range(times):
            process = place.start("--params=finetune.epochs=100000")
            _wait(process.poll, draw.uniform(4, 12))
            process.send_signal(signal.SIGTERM if number % 2 else signal.SIGINT)
            process.communicate(timeout=PATIENCE)
            ended = not _still_running(place)
            if not ended:  # before MLflow was imported there is nobody to tell it; the next run does
                ended = place.run().status == 0 and not _still_running(place)
            kind.count(ended, f"stop {number}")
    return kind


def together() -> Kind:
    """Two runs at once: of one experiment, of two that share their data, two first runs."""
    kind = Kind("two runs at once")
    with scene() as place:
        one, other = place.start("--params=seeds=2"), place.start("--params=seeds=3")
        outputs = [process.communicate(timeout=PATIENCE)[0] for process in (one, other)]
        states = sorted(process.returncode for process in (one, other))
        said = len(place.report()["lineage"]["seeds"])
        winner = "seeds=2" if one.returncode == 0 else "seeds=3"
        right = states == [0, 1] and winner in place.report()["lineage"]["command"] and str(said) == winner[-1]
        right &= sum("is being written by another run" in output for output in outputs) == 1
        kind.count(right, f"one experiment: {states}")
    with scene() as place:
        both = [place.start() for _ in range(2)]
        outputs = [process.communicate(timeout=PATIENCE)[0] for process in both]
        right = [process.returncode for process in both] == [0, 0] and not _still_running(place)
        kind.count(right, f"one command twice: {outputs[0][-200:]} {outputs[1][-200:]}")
    for _ in range(3):
        with scene() as place:
            both = [place.start(f"--pipelines={name}") for name in ("win_adult", "inprocessing_adult")]
            outputs = [process.communicate(timeout=PATIENCE)[0] for process in both]
            right = [process.returncode for process in both] == [0, 0] and not _still_running(place)
            kind.count(
                right, "two experiments on one data set, both first runs: " + outputs[0][-200:] + outputs[1][-200:]
            )
    return kind


def database(times: int) -> Kind:
    """Killed while mlflow.db is made: the next run works."""
    kind = Kind("kill -9 while the tracking database is made")
    for number in range(times):
        with scene() as place:
            process = place.start()
            deadline = time.monotonic() + PATIENCE
            while not list(place.path.glob("*mlflow.db*")) and time.monotonic() < deadline and process.poll() is None:
                time.sleep(0.002)
            time.sleep(number * 0.15)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            again = place.run()
            kind.count(again.status == 0 and not _still_running(place), f"{number}: {again.output[-300:]}")
    return kind


def full_disk() -> Kind:
    """A disk that is full after so many bytes of a file: one sentence, and the files of the run before."""
    kind = Kind("disk full")
    with scene() as place:
        place.run(UNTRACKED)
        before = place.results_of()
        for kilobytes in (1, 8, 32, 128, 256, 512):
            process = place.start(UNTRACKED)
            _limit(process.pid, kilobytes * 1024)
            output, _ = process.communicate(timeout=PATIENCE)
            sentences = [line for line in output.splitlines() if line.startswith("Error: ")]
            refused = process.returncode == 1 and len(sentences) == 1 and "cannot be written" in output
            kind.count(
                (refused or process.returncode == 0) and not place.unreadable(), f"{kilobytes} kB: {output[-300:]}"
            )
        kind.count(place.run(UNTRACKED).status == 0 and place.results_of() == before, "afterwards")
    return kind


def _limit(process: int, size: int) -> None:
    """Let the operating system refuse every write of a process beyond the first bytes of a file."""
    import resource

    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, size))


def _wait(ended: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while ended() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def _still_running(place: Scene) -> bool:
    """Whether MLflow believes that a run goes on."""
    database_file: Path = place.path / "mlflow.db"
    if not database_file.exists():
        return False
    with sqlite3.connect(database_file) as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM runs WHERE status = ?", (RUNNING,)).fetchone()
    return bool(count)
