"""Files on disk: whether they exist, and whether they are the expected ones."""

from __future__ import annotations

import hashlib
import ntpath
import os
import re
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from counterpoise.data.boundary import decoding
from counterpoise.errors import InputError

_SHORT = 12  # hexadecimal digits of a checksum that a sentence shows
_LONGEST_PART = 255  # bytes of a file's name, on all usual file systems
_LONGEST_PATH = 3072  # bytes of a path relative to its folder: the system's 4,096 hold the folder too


def inside(folder: Path, name: str, *, source: str = "") -> Path:
    """Return the path of `name` in `folder`; the one way from a name that a file or a user gives to a path.

    Args:
        folder: where the data are; it may itself be a link.
        name: relative, "/" between its parts. Nothing needs to lie there.
        source: who gives the name (a file, a parameter), for the sentence; by default the folder.

    Raises:
        InputError: the name is empty, absolute, too long or not valid text, has a part "..", a drive, a backslash or a
            null byte, or leads out of `folder` through a link.
    """
    _require_inside(folder, name, source)
    path = folder / name
    _require_not_linked_out(folder, path, source)
    return path


def require_inside(folder: Path, names: Iterable[str], *, source: str = "") -> None:
    """Ask of many names what `inside` asks of one, without touching every file: two hundred thousand take a second.

    Raises:
        InputError: as `inside`.
    """
    parents: dict[str, set[str]] = {}
    for name in names:
        _require_inside(folder, name, source)
        parent, _, entry = name.rpartition("/")
        parents.setdefault(parent, set()).add(entry)
    for parent, entries in parents.items():
        there = folder / parent
        _require_not_linked_out(folder, there, source)
        if not there.is_dir():
            continue
        with decoding(there, "a folder that can be read"), os.scandir(there) as listed:
            links = [entry.name for entry in listed if entry.is_symlink() and entry.name in entries]
        for link in links:
            _require_not_linked_out(folder, there / link, source)


def _require_not_linked_out(folder: Path, path: Path, source: str) -> None:
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):  # resolve() does not survive loops
        name = path.relative_to(folder).as_posix()
        raise InputError(
            f"{source or folder}: names {reprlib.repr(name)}, which leads out of {folder} through a link, expected a "
            "path inside (the folder itself may be a link)"
        )


def _require_inside(folder: Path, name: str, source: str) -> None:
    """Check the name alone, without the disk."""
    if problem := _problem(name):
        raise InputError(
            f"{source or folder}: names {reprlib.repr(name)}, which {problem}, expected a path inside the folder of "
            "the data, '/' between its parts"
        )


def _problem(name: str) -> str:
    """Say what is wrong with a relative path; nothing if it may be used."""
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        return "is not valid text"
    parts = encoded.split(b"/")
    if set(parts) <= {b"", b"."} and not name.startswith("/"):
        return "is empty"
    if "\\" in name:
        return "has a backslash"
    if name.startswith("/") or b".." in parts or ntpath.splitdrive(name)[0]:
        return "leads out of the folder"
    if "\0" in name:
        return "holds a null byte"
    if (longest := max(map(len, parts))) > _LONGEST_PART:
        return f"has a part of {longest:,} bytes, more than {_LONGEST_PART}"
    return f"is {len(encoded):,} bytes long, more than {_LONGEST_PATH:,}" if len(encoded) > _LONGEST_PATH else ""


def sha256(path: Path) -> str:
    """Return the SHA-256 of the file's bytes as 64 lower-case hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify(folder: Path, checksums: Mapping[str, str | None], *, source: str = "") -> None:
    """Check that every file named in `checksums` lies in `folder` and is the expected one.

    Args:
        checksums: file name (relative to `folder`) → SHA-256; None asks only that the file exists.
        source: where a user gets the files, and where they belong; ends the sentence about a missing one.

    Raises:
        InputError: a file is missing, its checksum differs, what was given as a checksum is none, or a name is not one
            that `inside` accepts.
    """
    for name, expected in checksums.items():
        path = inside(folder, name)
        if not path.is_file():
            raise InputError(
                f"{path}: no such file" + (f"; {source}" if source else ", expected a raw data file there")
            )
        if expected is None:
            continue
        if not re.fullmatch(r"[0-9a-fA-F]{64}", expected):
            raise InputError(f"checksums: {name!r} has {expected!r}, expected a SHA-256 of 64 hexadecimal digits")
        digest = sha256(path)
        if digest != expected.lower():
            raise InputError(
                f"{path}: found SHA-256 {digest[:_SHORT]}… ({path.stat().st_size:,} bytes), expected "
                f"{expected.lower()[:_SHORT]}…: the file is truncated or altered" + (f"; {source}" if source else "")
            )
