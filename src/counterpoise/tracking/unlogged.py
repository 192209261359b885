"""What a store would not take: written to disk, so that it can be logged later, once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from counterpoise import atomic
from counterpoise.errors import InputError
from counterpoise.tracking.addresses import TrackingSettings
from counterpoise.tracking.store import PARENT, Entry, Store

RECORD, FILES, LOCK = "record.jsonl", "files", ".lock"
FORMAT = 2

REMEDY = "kedro run --pipelines=sync_tracking"

LISTED = 5
"""Names that a sentence lists."""


def keep(entries: list[Entry], store: Store, name: str) -> Path:
    """Write entries to a folder of their own, with the files that they name; return the JSON-lines file.

    The first line says where the entries belong; each further line is one of them. Files are linked where the file
    system can: the next run puts new ones in the place of those it finds, and leaves these alone.
    """
    folder = store.settings.unlogged / name
    (folder / FILES).mkdir(parents=True, exist_ok=True)
    stored = []
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
        stored.append(entry)
    _write(folder / RECORD, store, stored)
    return folder / RECORD


def described(entries: Iterable[Entry]) -> str:
    """Return in words what entries would log, to be read in a sentence."""
    entries = list(entries)
    metrics = [entry for entry in entries if entry.get("metrics")]
    runs = list(dict.fromkeys(entry["run"] for entry in metrics if entry["run"] != PARENT))
    files = [Path(entry["path"]).name for entry in entries if entry["do"] == "log_file"]
    models = [entry["name"] for entry in entries if entry["do"] == "log_model"]
    parts = [f"the metrics of {_listed(runs)}"] if runs else []
    parts += ["the metrics of the run itself"] if len(metrics) > len(runs) else []
    parts += [f"the files {_listed(files)}"] if files else []
    parts += [f"the model {_listed(models)}"] if models else []
    parts += ["how the run ended"] if any(entry["do"] == "end_run" for entry in entries) else []
    return f"{len(entries)} entries ({'; '.join(parts) or 'tags'})"


def sync(settings: TrackingSettings) -> list[str]:
    """Log all records of a project; return one sentence for each. Records that are logged are deleted.

    Raises:
        InputError: another process does so, or some of the records are still not logged.
    """
    records = sorted(settings.unlogged.glob(f"*/{RECORD}"))
    sentences: list[str] = []
    errors: list[str] = []
    if not records:
        return sentences
    try:
        with FileLock(settings.unlogged / LOCK, timeout=0):
            for record in records:
                if not record.exists():  # logged by another process, before it gave the lock back
                    continue
                try:
                    count = replay(record, settings)
                except InputError as error:
                    errors.append(str(error))
                else:
                    sentences.append(f"{record.parent.name}: {count} entries are logged")
    except Timeout:
        raise InputError(f"{settings.unlogged}: another process is logging what is there, wait for it") from None
    if errors:
        raise InputError("; ".join([*sentences, *errors]))
    return sentences


def replay(record: Path, settings: TrackingSettings) -> int:
    """Log what `keep` has written, and delete it; return the number of entries.

    What the store has already is not logged again: runs are found by their keys, models by their runs, and metrics,
    parameters, tags and files are the same under the same names. So this may be killed at any moment and repeated.

    Raises:
        InputError: the record cannot be read, is that of another store, or the store still does not take some of it.
    """
    header, entries = _read(record)
    store = Store(replace(settings, experiment=header["experiment"]), header["key"])
    store.ids = dict(header["runs"])
    with store.answering(f"nothing of {record} is logged"):
        for run in store.ids.values():
            _require_run(store, run, record, header["uri"])
    located = [{**e, "path": str(record.parent / e["path"])} if "path" in e else e for e in entries]
    rejected, error = store.send(located)
    if error is not None:
        remaining = [entries[located.index(entry)] for entry in rejected]
        _write(record, store, remaining)
        with store.answering(f"{len(rejected)} of {len(entries)} entries of {record} are still not logged"):
            raise error
    shutil.rmtree(record.parent)
    return len(entries)


def _read(record: Path) -> tuple[dict[str, Any], list[Entry]]:
    try:
        header, *entries = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
        version = header.get("format")
    except (ValueError, AttributeError, OSError) as error:
        raise InputError(f"{record}: cannot be read ({error}), expected one JSON object in each line") from None
    if version != FORMAT:
        raise InputError(f"{record}: has the format {version!r}, expected {FORMAT}")
    return header, entries


def _write(record: Path, store: Store, entries: Iterable[Entry]) -> None:
    header = {
        "format": FORMAT,
        "uri": store.settings.shown,
        "experiment": store.settings.experiment,
        "key": store.key,
        "runs": store.ids,
    }
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in (header, *entries))
    atomic.write_bytes(record, text.encode())


def _require_run(store: Store, run: str, record: Path, uri: str) -> None:
    """Raise InputError unless the store has the run that a record belongs to."""
    from mlflow.exceptions import MlflowException

    try:
        store.patiently(lambda: store.client.get_run(run))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise InputError(
            f"{record}: belongs to a run that MLflow at {store.settings.shown} does not have, expected {uri}"
        ) from None


def _listed(names: list[str]) -> str:
    further = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {further} more" if further > 0 else "")


def _link(source: str | Path, copy: str | Path) -> None:
    try:
        os.link(source, copy)
    except OSError:  # another disk, or a file system without links
        shutil.copy2(source, copy)
