"""Files of text, packed or not: opened as often as needed, bounded while they unpack, in one encoding throughout."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from counterpoise.data.boundary import decoding
from counterpoise.data.limits import LIMITS, Limits, require_at_most, require_size
from counterpoise.errors import InputError, shown

_UTF8 = "utf-8-sig"  # with or without a byte order mark
_BYTES_AT_ONCE = 2**20


class OtherEncodingError(InputError):
    """A text has another encoding."""


@dataclass(frozen=True)
class Text:
    """The text of a file, packed or not, as often as it is opened."""

    path: Path
    encoding: str

    def open(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(self.open_bytes(), encoding=self.encoding, newline="")

    def open_bytes(self) -> Any:
        """Open what the file unpacks to; within `decoding`, for whatever is wrong with it."""
        unpacked = _PACKERS.get(self.path.suffix.lower())
        return unpacked(self.path) if unpacked else self.path.open("rb")


def checked_text(path: Path, encoding: str, limits: Limits = LIMITS) -> Text:
    """Return the file's text, all of which has been looked at once.

    Raises:
        OtherEncodingError: it has another encoding.
        InputError: it holds binary data, is too large, or cannot be unpacked.
    """
    require_size(path, limits)
    text = Text(path, _UTF8 if codecs.lookup(encoding).name == "utf-8" else encoding)
    decoder = codecs.getincrementaldecoder(text.encoding)()
    limit = limits.unpacked_bytes if path.suffix.lower() in _PACKERS else limits.file_bytes
    size, lines, is_end = 0, 0, False
    with decoding(path, "a complete file"), text.open_bytes() as stream:
        while not is_end:
            block = stream.read(min(_BYTES_AT_ONCE, limit + 1 - size))
            size, is_end = size + len(block), not block
            require_at_most(size, limit, f"{path}: unpacks to at least", "bytes", "unpacked_bytes")
            try:
                part = decoder.decode(block, final=is_end)
            except UnicodeError as error:
                before = error.object[: error.start].count(b"\n") if isinstance(error, UnicodeDecodeError) else 0
                name = "UTF-8" if text.encoding == _UTF8 else encoding.upper()
                raise OtherEncodingError(
                    f"{path}: is not {name}, the first other byte is in line {lines + before + 1}; set the reader's "
                    "option encoding (latin-1 or cp1252 are frequent ones)"
                ) from None
            if "\0" in part:
                line = lines + part[: part.index("\0")].count("\n") + 1
                raise InputError(f"{path}: line {line} has a NUL character, expected text (is it of another encoding?)")
            lines += part.count("\n")
    return text


def _only_file(path: Path) -> zipfile.ZipExtFile:
    """Open the one file in a zip archive, beside what macOS adds.

    Raises:
        InputError: it has none, or several.
    """
    with zipfile.ZipFile(path) as archive:
        names = [
            entry.filename
            for entry in archive.infolist()
            if not entry.is_dir() and not entry.filename.startswith("__MACOSX/")
        ]
        if len(names) != 1:
            raise InputError(f"{path}: holds {len(names)} files ({shown(names)}), expected one table: unpack it")
        return cast("zipfile.ZipExtFile", archive.open(names[0]))


_PACKERS: Mapping[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zip": _only_file,
}

PACKED = tuple(_PACKERS)
"""How the names of packed files end."""
