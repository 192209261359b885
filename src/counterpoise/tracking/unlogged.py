"""What a store would not take: written to disk, so that it can be logged later."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from counterpoise import atomic
from counterpoise.errors import InputError
from counterpoise.tracking.addresses import TrackingSettings
from counterpoise.tracking.store import Entry, Store

RECORD, FILES = "record.jsonl", "files"
FORMAT = 1


def keep(entries: list[Entry], store: Store, name: str) -> Path:
    """Write entries to a folder of their own, with the files that they name; return the JSON-lines file.

    The first line says where the entries belong; each further line is one of them. Files are linked where the file
    system can: the next run puts new ones in the place of those it finds, and leaves these alone.
    """
    folder = store.settings.unlogged / name
    (folder / FILES).mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = [
        {"format": FORMAT, "uri": store.settings.shown, "experiment": store.settings.experiment, "runs": store.ids}
    ]
    for number, entry in enumerate(entries):
        if "path" in entry:
            source = Path(entry["path"])
            copy = Path(FILES) / f"{number:03d}" / source.name
            if source.is_dir():
                shutil.copytree(source, folder / copy, copy_function=_link)
            elif source.exists():
                (folder / copy).parent.mkdir()
                _link(source, folder / copy)
            entry = {**entry, "path": copy.as_posix()}
        lines.append(entry)
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    atomic.write_bytes(folder / RECORD, text.encode())
    return folder / RECORD


def replay(record: Path, settings: TrackingSettings) -> None:
    """Log what `keep` has written.

    Raises:
        InputError: the store cannot be used, or still does not take some of it.
    """
    header, *entries = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    if header.get("format") != FORMAT:
        raise InputError(f"{record}: has the format {header.get('format')!r}, expected {FORMAT}")
    store = Store(settings)
    store.ids = dict(header["runs"])
    located = [{**e, "path": str(record.parent / e["path"])} if "path" in e else e for e in entries]
    rejected, error = store.send(located)
    if error is not None:
        with store.answering(f"{len(rejected)} entries of {record} are still not logged"):
            raise error


def _link(source: str | Path, copy: str | Path) -> None:
    try:
        os.link(source, copy)
    except OSError:  # another disk, or a file system without links
        shutil.copy2(source, copy)
