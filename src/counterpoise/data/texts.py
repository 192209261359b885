"""Files of text, packed or not: opened as often as needed, bounded while they unpack, in one encoding throughout.

Delimited text without quotes is plain: what it says is told by its separators and line ends alone, many rows at a time,
in a third of the time that `csv` and pandas take. Whatever is doubtful is not plain: quotes, spaces after a separator,
a lone carriage return, a line with another number of fields. That is for the strict reader of `delimited`, whose
sentences say what is wrong.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from counterpoise.data.boundary import LIMITS, Limits, decoding, require_at_most, require_size
from counterpoise.errors import InputError, shown

_UTF8 = "utf-8-sig"  # with or without a byte order mark
_CHECKED_AT_ONCE = 2**20  # bytes


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
            block = stream.read(min(_CHECKED_AT_ONCE, limit + 1 - size))
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


BYTES_AT_ONCE = 2**24
"""Of a plain file that is held in memory."""

ENCODINGS = ("utf-8", "utf-8-sig", "ascii")
"""Names of `codecs` under which a byte below 128 is that character wherever it stands."""

_LINE_END, _SPACE = b"\n", b" "


def count_plain_lines(stream: BufferedIOBase, expected: int, separator: str) -> int | None:
    """Count the lines of a file in an encoding of `ENCODINGS`, None if it is not plain.

    Args:
        stream: the bytes of the file.
        expected: fields of every line, two at least.
        separator: between two fields, an ASCII character.
    """
    if expected < 2 or not separator.isascii():
        return None
    lines, rest = 0, b""
    while block := stream.read(BYTES_AT_ONCE):
        complete, end, rest = (rest + block).rpartition(_LINE_END)
        if end:
            if not _is_plain(complete + end, expected, separator.encode()):
                return None
            lines += complete.count(_LINE_END) + 1
    if rest and not _is_plain(rest + _LINE_END, expected, separator.encode()):
        return None
    return lines + bool(rest)


def _is_plain(lines: bytes, expected: int, separator: bytes) -> bool:
    if b'"' in lines or lines.startswith(_SPACE) or _LINE_END + _SPACE in lines or separator + _SPACE in lines:
        return False
    if lines.count(b"\r") != lines.count(b"\r\n"):
        return False
    characters = np.frombuffer(lines, dtype=np.uint8)
    ends = np.flatnonzero(characters == _LINE_END[0])
    separators = np.flatnonzero(characters == separator[0])
    if len(separators) != len(ends) * (expected - 1) or np.diff(ends, prepend=-1).max() > csv.field_size_limit():
        return False
    of_line = separators.reshape(len(ends), expected - 1)
    return bool((of_line[:, -1] < ends).all() and (of_line[1:, 0] > ends[:-1]).all())


def read_plain(
    stream: BufferedIOBase,
    names: Sequence[str],
    columns: Sequence[str],
    *,
    separator: str,
    missing: Sequence[str],
    skip: int,
) -> Iterator[pd.DataFrame]:
    """Yield some columns of a plain file as texts, a part of its rows at a time.

    Args:
        names: of all columns. skip: lines before the first row.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    text: Mapping[pa.DataType, Any] = {pa.large_string(): pd.StringDtype(na_value=np.nan)}
    yield from (
        batch.to_pandas(types_mapper=text.get)
        for batch in arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=BYTES_AT_ONCE, column_names=list(names), skip_rows=skip
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=separator, quote_char=False, escape_char=False, ignore_empty_lines=False
            ),
            convert_options=arrow_csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(columns, pa.large_string()),
                include_columns=list(columns),
                null_values=list(missing),
                strings_can_be_null=True,
            ),
        )
    )
