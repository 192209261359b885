"""Unpack an archive from outside: nothing leaves the folder, nothing is overwritten, and no half is ever seen."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol, runtime_checkable

from counterpoise.errors import InputError

_ENCRYPTED = 0x1  # bit 0 of a zip entry's flags (APPNOTE 4.4.4)
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, NotImplementedError)


@runtime_checkable
class _Readable(Protocol):
    """An opened entry of an archive."""

    def read(self, size: int = ..., /) -> bytes: ...


def extract(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive (plain, gzip, bzip2, xz) into `folder`.

    Only folders and regular files are unpacked, without their owners and permissions. All is written aside first: an
    archive that is refused, damaged or interrupted leaves nothing behind.

    Raises:
        InputError: an entry is absolute, climbs out with "..", is a link, a device or encrypted, or occurs twice; the
            archive is damaged or of another kind; or `folder` holds one of its top entries already.
    """
    if not archive.is_file():
        raise InputError(f"{archive}: no such file, expected a zip or tar archive")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".extract-") as aside:
        try:
            for name, content in _entries(archive):
                _write(Path(aside), name, content, archive)
        except _DAMAGED as error:
            raise InputError(f"{archive}: damaged ({error}), expected a whole zip or tar archive") from error
        entries = sorted(Path(aside).iterdir())
        for entry in entries:
            if (folder / entry.name).exists():
                raise InputError(f"{archive}: {folder / entry.name} exists already, expected to create it")
        for entry in entries:
            entry.rename(folder / entry.name)


def _entries(archive: Path) -> Iterator[tuple[str, _Readable | None]]:
    """Yield the name and the content (None for a folder) of each entry, in order."""
    if zipfile.is_zipfile(archive):
        yield from _zip_entries(archive)
    elif tarfile.is_tarfile(archive):
        yield from _tar_entries(archive)
    else:
        raise InputError(f"{archive}: neither a zip nor a tar archive, expected one of them")


def _zip_entries(archive: Path) -> Iterator[tuple[str, _Readable | None]]:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)  # the high half is the Unix mode, 0 if packed elsewhere
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or entry.flag_bits & _ENCRYPTED:
                raise InputError(
                    f"{archive}: entry {entry.filename!r} is a link, a device or encrypted, expected a file"
                )
            # orig_filename: what the archive says, before zipfile cuts it at a null byte.
            if entry.is_dir():
                yield entry.orig_filename, None
            else:
                with opened.open(entry) as content:
                    yield entry.orig_filename, content


def _tar_entries(archive: Path) -> Iterator[tuple[str, _Readable | None]]:
    with tarfile.open(archive) as opened:
        for entry in opened:
            if not (entry.isreg() or entry.isdir()):
                raise InputError(f"{archive}: entry {entry.name!r} is a link or a device, expected files and folders")
            yield entry.name, opened.extractfile(entry)


def _write(aside: Path, name: str, content: _Readable | None, archive: Path) -> None:
    parts = PurePosixPath(name)
    if parts.is_absolute() or PureWindowsPath(name).drive or ".." in parts.parts or "\\" in name or "\0" in name:
        raise InputError(f"{archive}: entry {name!r} leads out of the folder, expected a path inside it")
    target = aside / parts
    try:
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as stream:
            shutil.copyfileobj(content, stream)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(f"{archive}: entry {name!r} occurs twice, expected every path once") from error
