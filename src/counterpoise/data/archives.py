"""Unpack an archive from outside: nothing leaves the folder, nothing is overwritten, and no half is ever seen."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from posixpath import normpath
from typing import IO, Protocol, cast, runtime_checkable

from counterpoise.data.boundary import LIMITS, Limits, decoding, require_at_most, require_size
from counterpoise.data.files import inside
from counterpoise.errors import InputError, shown

_ENCRYPTED = 0x1  # bit 0 of a zip entry's flags (APPNOTE 4.4.4)
_CHUNK = 1 << 16
_LONGEST_HEADER = 1 << 20  # bytes of a tar entry's name and attributes, which tarfile reads in one piece
_BLOCK = 4096  # bytes that the smallest file or folder takes on a disk
_PACKERS = {b"\x1f\x8b": gzip.GzipFile, b"BZh": bz2.BZ2File, b"\xfd7zXZ\0": lzma.LZMAFile}  # by how files begin
_TAR, _TAR_AT = b"ustar", 257  # what a tar archive has in its first header, and where (POSIX, pax)
_EXPECTED = "a whole zip or tar archive"


@runtime_checkable
class _Readable(Protocol):
    """An opened entry of an archive."""

    def read(self, size: int = ..., /) -> bytes: ...


def extract(archive: Path, folder: Path, *, limits: Limits = LIMITS) -> None:
    """Unpack a zip or tar archive (plain, gzip, bzip2, xz) into `folder`.

    Only folders and regular files are unpacked, without their owners and permissions. All is written aside first: an
    archive that is refused, damaged or interrupted leaves nothing behind. What checksums an archive has are checked.

    Raises:
        InputError: an entry is absolute, climbs out with "..", is a link, a device or encrypted, occurs twice, or has a
            name that is too long; the archive is damaged, too large, or of another kind; or `folder` holds one of its
            top entries already.
    """
    if not archive.is_file():
        raise InputError(f"{archive}: no such file, expected a zip or tar archive")
    require_size(archive, limits)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".extract-") as aside:
        unpacked, subject = 0, f"{archive}: unpacks to at least"
        with decoding(archive, _EXPECTED):
            for name, content in _entries(archive):
                for size in _written(Path(aside), name, content, archive):
                    unpacked += size
                    require_at_most(unpacked, limits.unpacked_bytes, subject, "bytes", "unpacked_bytes")
        entries = sorted(Path(aside).iterdir())
        for entry in entries:
            if (folder / entry.name).exists():
                raise InputError(f"{archive}: {folder / entry.name} exists already, expected to create it")
        for entry in entries:
            entry.rename(folder / entry.name)


def _entries(archive: Path) -> Iterator[tuple[str, _Readable | None]]:
    """Yield the name and the content (None for a folder) of each entry, in order."""
    with archive.open("rb") as file:
        start = file.read(_TAR_AT + len(_TAR))
    is_tar = start.endswith(_TAR) or start.startswith(tuple(_PACKERS))  # one whose last file is a zip looks like a zip
    yield from _zip_entries(archive) if not is_tar and zipfile.is_zipfile(archive) else _tar_entries(archive)


def _zip_entries(archive: Path) -> Iterator[tuple[str, _Readable | None]]:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)  # the high half is the Unix mode, 0 if packed elsewhere
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or entry.flag_bits & _ENCRYPTED:
                raise InputError(
                    f"{archive}: entry {shown(entry.filename)} is a link, a device or encrypted, expected a file"
                )
            # orig_filename: what the archive says, before zipfile cuts it at a null byte.
            if entry.is_dir():
                yield entry.orig_filename, None
            else:
                with opened.open(entry) as content:
                    yield entry.orig_filename, content


def _tar_entries(archive: Path) -> Iterator[tuple[str, _Readable | None]]:
    with _unpacked(archive) as stream, _tar(stream, archive) as opened:
        for entry in opened:
            if not (entry.isreg() or entry.isdir()):
                raise InputError(
                    f"{archive}: entry {shown(entry.name)} is a link or a device, expected files and folders"
                )
            yield entry.name, opened.extractfile(entry)
        _require_end(stream, opened.offset, archive)


def _tar(stream: io.BufferedIOBase, archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=cast("IO[bytes]", _HeaderGuard(stream, archive)), mode="r:")
    except tarfile.ReadError:
        raise InputError(f"{archive}: neither a zip nor a tar archive, expected one of them") from None


def _unpacked(archive: Path) -> io.BufferedIOBase:
    """Open what a packed tar archive unpacks to, or the archive itself."""
    with archive.open("rb") as file:
        start = file.read(max(map(len, _PACKERS)))
    for magic, opener in _PACKERS.items():
        if start.startswith(magic):
            return opener(archive)
    return archive.open("rb")


class _HeaderGuard:
    """What tarfile reads of a stream. It reads names in one piece, however long an archive says that they are."""

    def __init__(self, stream: io.BufferedIOBase, archive: Path) -> None:
        self._stream, self._archive = stream, archive
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if size > _LONGEST_HEADER:
            raise InputError(f"{self._archive}: has an entry with a name of {size:,} bytes, expected {_EXPECTED}")
        return self._stream.read(size)


def _require_end(stream: io.BufferedIOBase, offset: int, archive: Path) -> None:
    """Insist that a block of zeros ends the archive, and nothing else follows.

    tarfile stops without a word at a header that is damaged. Reading on also makes a packer check its last checksum.
    """
    stream.seek(offset)
    length = 0
    while content := stream.read(_CHUNK):
        length += len(content)
        if content.strip(b"\0"):
            length = 0
            break
    if length < tarfile.BLOCKSIZE:
        raise InputError(f"{archive}: does not end where its last entry does, expected {_EXPECTED}")


def _written(aside: Path, name: str, content: _Readable | None, archive: Path) -> Iterator[int]:
    """Write an entry and yield the bytes that it takes on the disk, piece by piece."""
    if content is None and normpath(name) == ".":  # `tar c .` names the folder itself
        return
    target = inside(aside, name, source=str(archive))
    yield _BLOCK
    try:
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as stream:
            while piece := content.read(_CHUNK):
                _write(stream, piece, aside.parent)
                yield len(piece)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(f"{archive}: entry {shown(name)} occurs twice, expected every path once") from error


def _write(stream: io.BufferedIOBase, piece: bytes, folder: Path) -> None:
    try:
        stream.write(piece)
    except OSError as error:  # not the archive's fault
        raise InputError(f"{folder}: cannot be written ({error.strerror}), expected space on the disk") from error
