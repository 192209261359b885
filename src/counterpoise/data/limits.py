"""How large raw files may be: a small file can unpack to more than a computer has memory for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from counterpoise.errors import InputError

_MEBIBYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """What a data set's raw files may come to; `datasets.<name>.limits` in the parameters.

    Attributes:
        file_bytes: the size of a file that is read into memory.
        unpacked_bytes: what a compressed file may unpack to, and the memory that the features of a table may take.
        image_pixels: width times height of an image.
        columns: of a table, and of the features that are made of it.
    """

    file_bytes: int = 4096 * _MEBIBYTE
    unpacked_bytes: int = 4096 * _MEBIBYTE
    image_pixels: int = 50_000_000
    columns: int = 20_000


LIMITS = Limits()
"""What holds where a data set says nothing."""


def require_size(path: Path, limits: Limits = LIMITS) -> None:
    """Raise InputError if the file is larger than `limits.file_bytes`."""
    require_at_most(path.stat().st_size, limits.file_bytes, f"{path}: the file has", "bytes", "file_bytes")


def require_at_most(number: int, limit: int, subject: str, unit: str, key: str) -> None:
    """Raise InputError, which names the key of `limits` to raise, if a number is above it."""
    if number > limit:
        raise InputError(f"{subject} {number:,} {unit}, expected at most {limit:,} (limits.{key} in the parameters)")
