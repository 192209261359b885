"""The boundary to files from outside: how large they may be, and one sentence for whatever is wrong with their bytes.

A small file can unpack to more than a computer has memory for: hence limits.

Libraries that decode files raise dozens of kinds of exceptions when bytes are damaged, and some raise kinds that else
mean a mistake in the program (Pillow an `IndexError`, zipfile a `NotImplementedError`). So an exception is said to be
the file's fault by its kind, or by where it was raised: inside a library that decodes. Every other one is a defect of
this project and goes on as it is.
"""

from __future__ import annotations

import csv
import logging
import lzma
import struct
import tarfile
import traceback
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from counterpoise.errors import InputError, reason

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


_log = logging.getLogger(__name__)

#: What only data can cause, wherever it is raised. `ValueError` has UnicodeError and most of pyarrow's among it.
_FAULTS_OF_DATA: tuple[type[Exception], ...] = (
    ValueError,
    ArithmeticError,
    EOFError,
    MemoryError,
    OSError,
    RecursionError,
    csv.Error,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
#: Modules, by the beginning of their names, in which any exception is about the file that they decode.
_DECODERS = (
    *("PIL", "_csv", "bz2", "csv", "gzip", "lzma", "struct", "tarfile", "zipfile", "zlib"),
    *("numpy.lib.format", "numpy.lib._format_impl", "numpy.lib._npyio_impl"),
    *("openpyxl", "pandas.io", "pandas._libs.parsers", "pyarrow", "safetensors", "xml"),
)


@contextmanager
def decoding(path: Path | str, expected: str) -> Iterator[None]:
    """Raise an InputError that names `path` for any exception that its bytes have caused.

    Args:
        path: the file that the statements inside read.
        expected: what it should have been, such as "a complete Parquet file"; ends the sentence.

    Raises:
        InputError: the file is damaged, too large for the memory, or cannot be opened. One that is raised inside goes
            on as it is, and so does every exception that points to a mistake in the program.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not _is_of_data(error):
            raise
        _log.debug("%s cannot be read", path, exc_info=True)
        cause = "more than there is memory for" if isinstance(error, MemoryError) else reason(error)
        raise InputError(f"{path}: cannot be read ({cause}), expected {expected}") from error


def _is_of_data(error: Exception) -> bool:
    if isinstance(error, _FAULTS_OF_DATA):
        return True
    module = _raised_in(error.__traceback__) if type(error).__module__ == "builtins" else type(error).__module__
    return any(module == name or module.startswith(f"{name}.") for name in _DECODERS)


def _raised_in(trace: TracebackType | None) -> str:
    """Return the name of the module in which an exception was raised."""
    frames = list(traceback.walk_tb(trace))
    return str(frames[-1][0].f_globals.get("__name__", "")) if frames else ""
