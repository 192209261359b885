"""The boundary to files from outside: whatever is wrong with their bytes ends in one sentence that names the file.

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
from pathlib import Path
from types import TracebackType

from counterpoise.errors import InputError, reason

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
