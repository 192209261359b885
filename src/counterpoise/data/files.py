"""Files on disk: are they there, are they the ones that were meant, and writing them so that no half is ever seen."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from counterpoise.errors import InputError

_SHORT = 12  # hexadecimal digits of a checksum that a sentence shows


def sha256(path: Path) -> str:
    """Return the SHA-256 of the file's bytes as 64 lower-case hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify(folder: Path, checksums: Mapping[str, str | None], *, source: str = "") -> None:
    """Check that every file named in `checksums` lies in `folder` and is the one that was meant.

    Args:
        folder: where the raw files are.
        checksums: file name (relative to `folder`) → SHA-256; None asks only that the file exists.
        source: where a user gets the files, and where they belong; ends the sentence about a missing one.

    Raises:
        InputError: a file is missing, its checksum differs, or what was given as a checksum is none.
    """
    for name, expected in checksums.items():
        path = folder / name
        if not path.is_file():
            raise InputError(
                f"{path}: no such file" + (f"; {source}" if source else ", expected a raw data file there")
            )
        if expected is None:
            continue
        if not re.fullmatch(r"[0-9a-fA-F]{64}", expected):
            raise InputError(f"checksums: {name!r} has {expected!r}, expected a SHA-256 of 64 hexadecimal digits")
        found = sha256(path)
        if found != expected.lower():
            raise InputError(
                f"{path}: found SHA-256 {found[:_SHORT]}… ({path.stat().st_size:,} bytes), expected "
                f"{expected.lower()[:_SHORT]}…: the file is truncated or altered" + (f"; {source}" if source else "")
            )


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` aside and rename it into place; a file that already holds it is left alone."""
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.partial")
    aside.write_bytes(content)
    aside.replace(path)
