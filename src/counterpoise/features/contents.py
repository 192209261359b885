"""The contents of files as one digest; files that have not changed since the last time are not read again."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from counterpoise.features.files import write

ABSENT = "absent"
"""Stands for the contents of a file that cannot be read: the digest changes when it appears."""

_log = logging.getLogger(__name__)

_Known = dict[str, tuple[int, int, str]]  # name: size in bytes, time of last change in ns, SHA-256


def contents_digest(folder: Path, names: Iterable[str], index: Path, *, verify: bool = False) -> str:
    """Return the SHA-256 of the files `names` in `folder`: their names, order, sizes and bytes.

    Where the data lie does not matter: moved data have the same digest.

    Args:
        folder: where the files are.
        names: relative to it.
        index: a folder that remembers the digest of every file by its size and time of last change; only files where
            one of these differs are read.
        verify: read every file nevertheless, and warn of those whose bytes changed while size and time did not.
    """
    folder = folder.resolve()
    remembered = index / f"files-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.json"
    remembered_entries = _load(remembered)
    names = [str(name) for name in names]
    with ThreadPoolExecutor() as pool:
        trusted = {} if verify else remembered_entries
        entries = list(pool.map(lambda name: _entry(folder / name, trusted.get(name)), names, chunksize=64))

    seen = dict(zip(names, entries, strict=True))
    both = {name: (remembered_entries[name], entry) for name, entry in seen.items() if name in remembered_entries}
    replaced = [name for name, (before, now) in both.items() if before[:2] == now[:2] and before != now]
    if replaced:
        _log.warning(
            "%s: %d files have other contents than before at the same size and time of change (%s, …)",
            folder,
            len(replaced),
            replaced[0],
        )
    if any(remembered_entries.get(name) != entry for name, entry in seen.items()):
        text = json.dumps(remembered_entries | seen)
        write(remembered, lambda path: path.write_text(text, encoding="utf-8"))
    digest = hashlib.sha256()
    for name, (size, _, sha256) in zip(names, entries, strict=True):
        digest.update(f"{name}\0{size}\0{sha256}\0".encode())
    return digest.hexdigest()


def _entry(path: Path, remembered: tuple[int, int, str] | None) -> tuple[int, int, str]:
    try:
        status = path.stat()
        if remembered is not None and remembered[:2] == (status.st_size, status.st_mtime_ns):
            return remembered
        with path.open("rb") as file:
            return status.st_size, status.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return 0, 0, ABSENT


def _load(path: Path) -> _Known:
    """Read the index; one that is absent or damaged is empty, and costs a second reading of the files."""
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(loaded, Mapping):
            return {}
        return {name: (int(size), int(changed), str(sha256)) for name, (size, changed, sha256) in loaded.items()}
    except Exception:  # whatever stands in a damaged file
        return {}
