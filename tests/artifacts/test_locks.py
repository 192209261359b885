"""One writer at a time, and a lock never outlives its process."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from counterpoise.artifacts.locks import Locks
from counterpoise.errors import InputError

HOLDER = """
import sys, time
from pathlib import Path
from counterpoise.artifacts.locks import Locks
locks = Locks(Path(sys.argv[1]))
locks.acquire(sys.argv[2:], "kedro run --pipelines=other", "other")
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def holder(folder: Path, *names: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds rights."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), *names], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_told_who_is_at_it(tmp_path: Path) -> None:
    with holder(tmp_path, "win_adult.pretrain") as process:
        with pytest.raises(InputError) as caught:
            Locks(tmp_path).acquire(["win_adult.finetune", "win_adult.pretrain"], "kedro run", "mine")
        told = str(caught.value)
        assert told.startswith(f"win_adult.pretrain: is being written by another run (process {process.pid}, ")
        assert "`kedro run --pipelines=other`" in told
        with holder(tmp_path, "win_adult.finetune"):  # the refused process gave back what it had taken before
            pass


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_dies_leaves_no_lock(tmp_path: Path, end: signal.Signals) -> None:
    with holder(tmp_path, "a") as process:
        process.send_signal(end)
        process.wait()
    locks = Locks(tmp_path)
    locks.acquire(["a"], "kedro run", "mine")
    locks.release()


def test_rights_are_given_back(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    locks.acquire(["a", "b"], "kedro run", "mine")
    locks.release()
    with holder(tmp_path, "a", "b"):
        pass


def test_other_names_are_other_rights(tmp_path: Path) -> None:
    with holder(tmp_path, "a"), holder(tmp_path, "b"):
        pass


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/locks: cannot be written \(Not a directory\), expected a writable"):
        Locks(tmp_path / "file" / "locks").acquire(["a"], "kedro run", "mine")


def test_a_run_that_writes_the_same_is_waited_for(tmp_path: Path) -> None:
    """Two first runs of one command: the second goes on when the first is done."""
    ended: list[float] = []
    with holder(tmp_path, "a", "b") as process:

        def end() -> None:
            ended.append(time.monotonic())
            process.kill()

        timer = threading.Timer(0.5, end)
        timer.start()
        locks = Locks(tmp_path)
        locks.acquire(["a", "b"], "kedro run --pipelines=other", "other")
        assert ended
        timer.join()
    locks.release()


def test_what_a_dead_process_has_signed_counts_for_nothing(tmp_path: Path) -> None:
    with holder(tmp_path, "a") as process:
        process.kill()
        process.wait()
    assert str(process.pid) in (tmp_path / "a.json").read_text()
    locks = Locks(tmp_path)
    locks.acquire(["a"], "kedro run", "mine")
    locks.release()
    assert not (tmp_path / "a.json").exists()
