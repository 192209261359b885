"""Files that are complete or absent: written beside their place under another name, then renamed.

A process that is killed, or a disk that is full, leaves the file that was there before, or none; never half of one.
Every room may import this; it imports none.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4


def aside_of(path: Path) -> Path:
    """Return a name beside `path` that no other writer has, on this machine or on another that shares the disk."""
    return path.with_name(f".{path.name}.{uuid4().hex}.{os.getpid()}.part")


def write(path: Path, fill: Callable[[Path], object], *, durable: bool = False) -> None:
    """Let `fill` write a file or folder beside `path`, then give it its name.

    Args:
        durable: have the bytes on the disk before the name: the file survives a power failure too.

    Raises:
        OSError: it cannot be written; it names the file, which the system does not where a disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = aside_of(path)
    try:
        fill(aside)
        if durable:
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
        _put(aside, path)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):
            _remove(aside)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file; one that already holds the content is left alone."""
    if not (path.is_file() and path.read_bytes() == content):
        write(path, lambda aside: aside.write_bytes(content))


def clear(path: Path) -> None:
    """Remove what killed processes of this machine have left half-written beside `path`."""
    for aside in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        writer = aside.suffixes[-2].removeprefix(".")
        if writer.isdecimal() and not _is_running(int(writer)):
            _remove(aside)


def _put(aside: Path, path: Path) -> None:
    """Rename `aside` to `path`; a folder that is there steps aside first, because folders do not replace folders."""
    if not (aside.is_dir() and path.is_dir()):
        aside.replace(path)
        return
    before = aside_of(path)
    path.rename(before)
    try:
        aside.rename(path)
    except OSError:
        before.rename(path)
        raise
    _remove(before)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only asks whether it could be sent
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
