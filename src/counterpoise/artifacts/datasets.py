"""The catalog's dataset classes: files that are complete or absent, with a record of what they were made from.

Everything a run leaves is first written beside its place under another name, then renamed. A run that is killed, or a
disk that is full, leaves the file that was there before, or none; never half of one. What a file was made from, and
the SHA-256 of its contents, stand in a record beside it (`counterpoise.artifacts.lineage`).
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

import fsspec
import pandas as pd
import torch
from kedro.io import AbstractDataset, AbstractVersionedDataset, DatasetError, Version
from kedro.io.core import get_protocol_and_path
from kedro.utils import load_obj
from kedro_datasets import json as kedro_json
from kedro_datasets import pandas as kedro_pandas
from kedro_datasets import plotly as kedro_plotly
from kedro_datasets import text as kedro_text
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from safetensors.torch import save_file
from torch import Tensor

from counterpoise.artifacts.artifact import Artifact
from counterpoise.artifacts.schema_fields import Schema, note_passed, passed_schema
from counterpoise.errors import InputError

T = TypeVar("T")
U = TypeVar("U")

LEADS: Final = ("=", "+", "-", "@", "\t", "\r")
QUOTE: Final = "'"


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame as it is to be written: no text, head or name of a row begins like a formula.

    Text that begins with apostrophes before such a sign gets one more, so that `with_formulas` is the inverse.
    """
    return _changed(frame, lambda value: f"{QUOTE}{value}" if _begins_like_one(value.lstrip(QUOTE)) else value)


def with_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame that `without_formulas` made safe, as it was."""
    return _changed(
        frame, lambda value: value[1:] if value.startswith(QUOTE) and _begins_like_one(value.lstrip(QUOTE)) else value
    )


def _begins_like_one(text: str) -> bool:
    return text.startswith(LEADS)


def _changed(frame: pd.DataFrame, change: Any) -> pd.DataFrame:
    def of(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    changed = frame.copy()
    for place, kind in enumerate(frame.dtypes):
        column = changed.iloc[:, place]
        if isinstance(kind, pd.CategoricalDtype):
            changed.isetitem(place, column.cat.rename_categories(of).array)
        elif not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind)):
            changed.isetitem(place, pd.Series([of(value) for value in column], index=changed.index, dtype=kind).array)
    return changed.rename(columns=of, index=of)


HEADER = "counterpoise"
"""The key of the safetensors metadata under which the JSON header stands."""


class ParquetDataset(Artifact, kedro_pandas.ParquetDataset):
    """A pandas frame in one Parquet file; where the run has written it, its schema is not checked again on reading."""

    _schema: type[Schema] | None = None

    def save(self, data: pd.DataFrame) -> None:
        self._schema = passed_schema(data)
        super().save(data)

    def load(self) -> pd.DataFrame:
        frame = super().load()
        if self._schema is not None and self.verified and self.is_of_this_run:
            note_passed(frame, self._schema)
        return frame


class _InertCSV(kedro_pandas.CSVDataset):
    """A CSV file in which a spreadsheet finds no formula, whatever the names in it are; read as it was given."""

    def save(self, data: pd.DataFrame) -> None:
        super().save.__wrapped__(self, without_formulas(data))

    def load(self) -> pd.DataFrame:
        return with_formulas(super().load())


class CSVDataset(Artifact, _InertCSV):
    """A pandas frame in one CSV file."""


class JSONDataset(Artifact, kedro_json.JSONDataset):
    """A JSON document."""


class TextDataset(Artifact, kedro_text.TextDataset):
    """A text file: HTML, Markdown."""


class FigureDataset(Artifact, kedro_plotly.JSONDataset):
    """A plotly figure as JSON; Kedro-Viz shows it."""


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors and the header that says what they are: architecture, shapes, seeds, digests."""

    tensors: dict[str, Tensor]
    header: dict[str, Any] = field(default_factory=dict)


class _SafetensorsFile(AbstractVersionedDataset[Checkpoint, Checkpoint]):
    """One safetensors file, on any file system of fsspec."""

    def __init__(
        self,
        filepath: str,
        version: Version | None = None,
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._protocol, path = get_protocol_and_path(filepath, version)
        self._fs = fsspec.filesystem(self._protocol, **{**(credentials or {}), **(fs_args or {})})
        super().__init__(PurePosixPath(path), version, exists_function=self._fs.exists, glob_function=self._fs.glob)
        self.metadata = metadata

    def save(self, data: Checkpoint) -> None:
        tensors, path = _apart(data.tensors), self._get_save_path()
        digests = {name: _digest(tensor) for name, tensor in tensors.items()}
        header = {**data.header, "shapes": _shapes(tensors), "sha256": digests}
        metadata = {HEADER: json.dumps(header, sort_keys=True)}
        try:
            if self._protocol == "file":
                save_file(tensors, path, metadata=metadata)
            else:
                self._fs.pipe_file(str(path), serialize(tensors, metadata=metadata))
        except SafetensorError as error:  # its writer has no other error for what the operating system refuses
            raise OSError(str(error)) from error

    def load(self) -> Checkpoint:
        path = self._get_load_path()
        if self._protocol == "file":
            return read_checkpoint(Path(path), verified=getattr(self, "verified", False))
        with TemporaryDirectory(prefix="counterpoise-") as folder:  # the format is read by its place in the file
            copy = Path(folder) / path.name
            copy.write_bytes(self._fs.cat_file(str(path)))
            return read_checkpoint(copy)

    def _exists(self) -> bool:
        return bool(self._fs.exists(str(self._get_load_path())))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "protocol": self._protocol, "version": self._version}


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make tensors contiguous, and copy those that share memory with one before them: the format refuses views."""
    seen: set[int] = set()
    copies = {}
    for name, tensor in tensors.items():
        copy = tensor.contiguous()
        copies[name] = copy.clone() if copy.untyped_storage().data_ptr() in seen else copy
        seen.add(copies[name].untyped_storage().data_ptr())
    return copies


class SafetensorsDataset(Artifact, _SafetensorsFile):
    """A `Checkpoint` in one safetensors file with a JSON header in its metadata; never a pickle."""


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def _digest(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's type and values."""
    digest = hashlib.sha256(str(tensor.dtype).encode())
    digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_checkpoint(path: Path, *, under: str = "", verified: bool = False) -> Checkpoint:
    """Read a checkpoint, or only the tensors whose names begin with `under`.

    Args:
        verified: whether the contents of the file were compared with its record a moment ago; values are compared with
            the header's digests otherwise.

    Raises:
        InputError: the file is missing, is a pickle or otherwise no safetensors file, has no header of ours, or holds
            other tensors, shapes, types or values than its header says.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a safetensors checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys()) if name.startswith(under)}
    except SafetensorError as error:
        content = "a pickle" if _is_pickle(path) else f"not a safetensors file ({error})"
        raise InputError(f"{path}: is {content}, expected a safetensors checkpoint; pickles are never loaded") from None
    if header is None:
        raise InputError(f"{path}: has no {HEADER!r} header in its metadata, expected a checkpoint of this project")
    described = _described(header, path)
    expected = {name: shape for name, shape in described.get("shapes", {}).items() if name.startswith(under)}
    stored_shapes = _shapes(tensors)
    for name in sorted({*expected, *stored_shapes}):
        if expected.get(name) != stored_shapes.get(name):
            raise InputError(
                f"{path}: tensor {name!r} has shape {stored_shapes.get(name, 'none')}, expected "
                f"{expected.get(name, 'none')}, as the file's header says"
            )
    digests = described.pop("sha256", {})
    for name, tensor in tensors.items():
        if not verified and name in digests and digests[name] != _digest(tensor):
            raise InputError(
                f"{path}: tensor {name!r} is damaged or was altered, its values are not those that the file's header "
                "was written for"
            )
    return Checkpoint(tensors, described)


def _described(header: str, path: Path) -> dict[str, Any]:
    """Return what a checkpoint's header says."""
    try:
        described = json.loads(header)
    except ValueError:
        described = None
    if not isinstance(described, dict) or not isinstance(described.get("shapes", {}), dict):
        raise InputError(f"{path}: has a damaged {HEADER!r} header in its metadata, expected JSON of this project")
    return described


def _is_pickle(path: Path) -> bool:
    """Whether a file is a pickle, in torch's archive or alone; a damaged safetensors file may begin like one."""
    with path.open("rb") as raw:
        length, brace = raw.read(8), raw.read(1)
    return brace != b"{" and (length.startswith((b"PK", pickle.PROTO)))


class LocalDataset(AbstractDataset[T, U]):
    """A file or folder of this machine that is only read, unless a subclass writes it; there is always something."""

    def __init__(self, filepath: str, metadata: Mapping[str, Any] | None = None) -> None:
        self._filepath = local_path(filepath)
        self.metadata = metadata

    def save(self, data: T) -> None:
        raise InputError(f"{self._filepath}: is only read here, expected another data set for what is written")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}


class RawFolder(LocalDataset[Path, Path]):
    """A local folder that a run reads or keeps its caches in: raw files as they came, finished shards."""

    def load(self) -> Path:
        return Path(self._filepath)

    def identity(self, digest: Callable[[Path], str]) -> str | None:
        """Return the digest of what the folder holds, None if it is not there."""
        folder = Path(self._filepath)
        return digest(folder) if folder.is_dir() else None

    def save(self, data: Path) -> None:
        raise InputError(f"{self._filepath}: raw data are never written by a run")

    def _exists(self) -> bool:
        return Path(self._filepath).is_dir()


class GeneratedFolder(RawFolder):
    """A raw folder that a generator of this package fills when it is first read: data to try a pipeline on.

    Args:
        generator: dotted path of a function `(folder: Path, **options)` that writes the real file layout.
    """

    def __init__(
        self,
        filepath: str,
        generator: str,
        options: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(filepath, metadata)
        self._generator, self._options = generator, dict(options or {})

    def load(self) -> Path:
        folder = Path(self._filepath)
        load_obj(self._generator)(folder, **self._options)
        return folder

    def identity(self, digest: Callable[[Path], str]) -> str | None:
        """Return what the folder will hold: the generator and its options decide it."""
        named = json.dumps([self._generator, self._options], sort_keys=True)
        return hashlib.sha256(named.encode()).hexdigest()


def local_path(filepath: str) -> PurePosixPath:
    """Return the path of a folder of this machine.

    Raises:
        InputError: it is on another file system.
    """
    protocol, path = get_protocol_and_path(filepath)
    if protocol != "file":
        raise InputError(f"{filepath}: is a folder on {protocol!r}, expected one on a local disk")
    return PurePosixPath(path)


def path_of(dataset: object) -> Path | None:
    """Return the local file or folder behind a catalog entry, None for data in memory or elsewhere."""
    filepath = getattr(dataset, "_filepath", None)
    if filepath is None or getattr(dataset, "_protocol", "file") != "file":
        return None
    if getattr(dataset, "_version", None) is not None:
        try:
            return Path(dataset._get_load_path())  # type: ignore[attr-defined]
        except DatasetError:  # no version is there yet
            return Path(filepath)
    return Path(filepath)


def require_writable(path: Path) -> None:
    """Raise InputError unless a file can be put at `path`; tested by writing, since permissions do not decide it."""
    probe = path.parent / f".{path.name}.{os.getpid()}.probe"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be written ({error.strerror}), expected a writable folder") from None


def as_header(**values: Any) -> dict[str, Any]:
    """Return a checkpoint header; torch's version is part of it because initial weights depend on its generator."""
    return {"torch": torch.__version__, **values}
