"""Datasets of scheduled retraining: the history of champions, the ledger of partitions, and the rows of a training."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from kedro.io import AbstractVersionedDataset, Version
from kedro_datasets.partitions import IncrementalDataset

from counterpoise import atomic
from counterpoise.artifacts.artifact import Artifact
from counterpoise.artifacts.datasets import LocalDataset, local_path
from counterpoise.artifacts.lineage import sha256_of
from counterpoise.errors import InputError
from counterpoise.retraining.history import Record, from_lines, to_line

History = tuple[Record, ...]

SOURCE = "image source"
"""Column of rows of images: the path that an image is linked from, or copied, beside the rows."""

PARTITION = re.compile(
    r"(?P<name>.+?)(\.(csv|tsv|json|jsonl|ndjson|parquet|xls|xlsx|xlsm)|(?<=-\d\d)\.txt)(\.(gz|bz2|xz|zip))?",
    re.IGNORECASE | re.DOTALL,
)
"""A file that is a partition: its name, and how the names of tables end, packed ones too. A text is one if dated."""

HIDDEN = (".", "~$")
"""How the names of files begin that programs leave beside a table: macOS, LibreOffice, Excel."""

LOCK_SECONDS = 60
"""How long to wait for another process that writes the history."""

POLL_SECONDS = 0.002


class HistoryDataset(LocalDataset[History, History]):
    """The history of champions, a file of JSON lines that is empty until there is one.

    `save` is a compare-and-swap: it appends what the records have beyond those in the file, if the file's are what they
    begin with, under a lock of the operating system. Of two processes that append to the same history one is refused.
    """

    def load(self) -> History:
        return _records(Path(self._filepath))

    def save(self, data: History) -> None:
        path = Path(self._filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS, poll_interval=POLL_SECONDS):
            present = _records(path)
            if tuple(data[: len(present)]) != present:
                raise InputError(
                    f"{path}: has {len(present)} records, which are not those that this run has read: another run has "
                    "decided in the meantime, run it again"
                )
            if len(data) > len(present):
                text = "".join(f"{to_line(record)}\n" for record in data)
                atomic.write(path, lambda aside: aside.write_text(text, encoding="utf-8"), durable=True)


def _records(path: Path) -> History:
    return from_lines(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else ()


class LedgerDataset(LocalDataset[dict[str, Any], dict[str, Any]]):
    """The partitions that were decided on: name → what was in the file (`sha256`, …); empty until there are any."""

    def load(self) -> dict[str, Any]:
        path = Path(self._filepath)
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    def save(self, data: dict[str, Any]) -> None:
        text = json.dumps(data, indent=1, sort_keys=True)
        atomic.write(Path(self._filepath), lambda aside: aside.write_text(text, encoding="utf-8"), durable=True)


class NewPartitions(IncrementalDataset):
    """The partitions that the ledger does not know, or whose files have changed; the ledger is Kedro's checkpoint.

    A partition is a table of any format that is read, and its name that of the file without its ending. A name alone is
    no checkpoint: a file of an earlier date may arrive late. The run writes the ledger as its last deed, with what it
    has put aside and why, in the place of Kedro's `confirms`.

    Args:
        path: folder of the partitions. ledger: arguments of the `LedgerDataset`. dataset: as in Kedro's class.

    Loading raises InputError where two files have the same name, but for their endings.
    """

    def __init__(
        self,
        *,
        path: str,
        ledger: dict[str, Any],
        dataset: str | dict[str, Any],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(path=path, dataset=dataset, metadata=dict(metadata or {}))
        self._ledger = LedgerDataset(**ledger)

    def _path_to_partition(self, path: str) -> str:
        match = PARTITION.fullmatch(super()._path_to_partition(path))
        return match["name"] if match else ""

    def _list_partitions(self) -> list[str]:
        ledger, paths = self._ledger.load(), dict[str, str]()
        for path in self._filesystem.find(self._normalized_path):
            partition = self._path_to_partition(path)
            if not partition or Path(path).name.startswith(HIDDEN):
                continue
            if partition in paths:
                names = " and ".join(Path(one).name for one in (paths[partition], path))
                raise InputError(f"{self._path}: holds {names}, expected one file with the rows of {partition}")
            paths[partition] = path
        return sorted(path for partition, path in paths.items() if self._is_new(partition, Path(path), ledger))

    def _is_new(self, partition: str, path: Path, ledger: Mapping[str, Any]) -> bool:
        return partition not in ledger or sha256_of(path) != ledger[partition]["sha256"]

    def confirm(self) -> None:
        """Do nothing: the run saves the ledger itself."""

    def _exists(self) -> bool:
        return True


class AllPartitions(NewPartitions):
    """All partitions, decided on or not."""

    def _is_new(self, partition: str, path: Path, ledger: Mapping[str, Any]) -> bool:
        return True


class PastReports(LocalDataset[Any, dict[str, Any]]):
    """The documents of all retrainings before: name of the folder → its `report.json`."""

    def load(self) -> dict[str, Any]:
        files = sorted(Path(self._filepath).glob("*/report.json"))
        return {file.parent.name: json.loads(file.read_text(encoding="utf-8")) for file in files}


class _RowsFolder(AbstractVersionedDataset[pd.DataFrame, Path]):
    """A folder with one Parquet file: frames are saved, and the folder is what is read, as of raw files.

    Of rows of images, which have a column `SOURCE`, the images are beside it under the names of the column `image`.
    """

    def __init__(
        self, filepath: str, file: str, version: Version | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(local_path(filepath), version)
        self._file, self.metadata = file, metadata

    def save(self, data: pd.DataFrame) -> None:
        folder = Path(self._get_save_path())
        folder.mkdir(parents=True)
        for source, name in zip(data[SOURCE], data["image"], strict=True) if SOURCE in data else ():
            _link(Path(source), folder / name)
        data.drop(columns=[SOURCE], errors="ignore").to_parquet(folder / self._file, index=False)

    def load(self) -> Path:
        return Path(self._get_load_path())

    def _exists(self) -> bool:
        return (Path(self._get_load_path()) / self._file).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "version": self._version}


class RowsFolder(Artifact, _RowsFolder):
    """The raw file of an experiment that is retrained."""


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where a file system cannot."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
