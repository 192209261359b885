"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from counterpoise import atomic


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_small_file_is_replaced_whole_and_left_alone_if_it_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "x.js"
    atomic.write_bytes(path, b"1")
    first = path.stat().st_mtime_ns
    atomic.write_bytes(path, b"1")
    assert path.stat().st_mtime_ns == first
    atomic.write_bytes(path, b"2")
    assert path.read_bytes() == b"2"
    assert names(path.parent) == ["x.js"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file"
    atomic.write_bytes(path, b"before")

    def broken(aside: Path) -> None:
        aside.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        atomic.write(path, broken, durable=durable)
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    def full(aside: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left on device") as raised:
        atomic.write(tmp_path / "file", full)
    assert raised.value.filename == str(tmp_path / "file")


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for name in ("old", "new"):
        atomic.write(path, lambda aside, name=name: (aside.mkdir(), (aside / name).touch()))
    assert names(path) == ["new"]
    assert names(tmp_path) == ["model"]


def test_what_a_killed_writer_left_is_cleared_and_what_a_running_one_writes_is_not(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    path = tmp_path / "file.txt"
    mine = atomic.aside_of(path)
    killed = mine.with_name(mine.name.replace(f".{os.getpid()}.", f".{process.pid}."))
    for aside in (mine, killed):
        aside.touch()
    atomic.clear(path)
    assert names(tmp_path) == [mine.name]
