"""The catalog's own dataset classes: files that are written whole or not at all.

Everything a run leaves is first written beside its place under another name, then renamed. A run that is killed, or a
disk that is full, leaves the file that was there before, or none; never half of one.
"""

from __future__ import annotations

import glob
import json
import os
import pickle
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from kedro.io import AbstractDataset
from kedro.utils import load_obj
from kedro_datasets import json as kedro_json
from kedro_datasets import pandas as kedro_pandas
from kedro_datasets import plotly as kedro_plotly
from kedro_datasets import text as kedro_text
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from counterpoise.errors import InputError

HEADER = "counterpoise"
"""The key of the safetensors metadata under which the JSON header stands."""


class WriteAside:
    """Makes `save` of a file or folder atomic: write `.<name>.<process>.part`, then rename."""

    _filepath: PurePosixPath

    def save(self, data: Any) -> None:
        final = self._filepath
        aside = final.with_name(f".{final.name}.{os.getpid()}.part")
        self._filepath = aside
        try:
            Path(final.parent).mkdir(parents=True, exist_ok=True)
            _clear(Path(final))
            super().save(data)  # type: ignore[misc]
            _put(Path(aside), Path(final))
        except Exception as error:
            if cause := _os_error(error):
                reason = cause.strerror or str(cause)
                raise InputError(
                    f"{final}: cannot be written ({reason}), expected space and a writable folder"
                ) from error
            raise
        finally:
            self._filepath = final
            with suppress(OSError):
                _remove(Path(aside))


def _put(aside: Path, final: Path) -> None:
    """Rename `aside` to `final`; a folder that is there steps aside first, because folders do not replace folders."""
    if not (aside.is_dir() and final.is_dir()):
        aside.replace(final)
        return
    before = final.with_name(f".{final.name}.before.{os.getpid()}.part")
    final.rename(before)
    try:
        aside.rename(final)
    except OSError:
        before.rename(final)
        raise
    _remove(before)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _clear(final: Path) -> None:
    """Remove what killed runs have left half-written beside `final`."""
    for aside in final.parent.glob(f".{glob.escape(final.name)}.*.part"):
        writer = aside.suffixes[-2].removeprefix(".")
        if writer.isdecimal() and not _is_running(int(writer)):
            _remove(aside)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only asks whether it could be sent
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _os_error(error: BaseException | None) -> OSError | None:
    """Return the operating system's own error behind an exception, if there is one."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


class ParquetDataset(WriteAside, kedro_pandas.ParquetDataset):
    """A pandas frame in one Parquet file."""


class CSVDataset(WriteAside, kedro_pandas.CSVDataset):
    """A pandas frame in one CSV file."""


class JSONDataset(WriteAside, kedro_json.JSONDataset):
    """A JSON document."""


class TextDataset(WriteAside, kedro_text.TextDataset):
    """A text file: HTML, Markdown."""


class FigureDataset(WriteAside, kedro_plotly.JSONDataset):
    """A plotly figure as JSON; Kedro-Viz shows it."""


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors and the header that says what they are: architecture, shapes, seeds, digests."""

    tensors: dict[str, Tensor]
    header: dict[str, Any] = field(default_factory=dict)


class _SafetensorsFile(AbstractDataset[Checkpoint, Checkpoint]):
    def __init__(self, filepath: str, metadata: Mapping[str, Any] | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self.metadata = metadata

    def save(self, data: Checkpoint) -> None:
        header = {**data.header, "shapes": _shapes(data.tensors)}
        try:
            save_file(_apart(data.tensors), self._filepath, metadata={HEADER: json.dumps(header, sort_keys=True)})
        except SafetensorError as error:  # its writer has no other error for what the operating system refuses
            raise OSError(str(error)) from error

    def load(self) -> Checkpoint:
        return read_checkpoint(Path(self._filepath))

    def _exists(self) -> bool:
        return Path(self._filepath).exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make tensors contiguous, and copy those that share memory with one before them: the format refuses views."""
    seen: set[int] = set()
    made = {}
    for name, tensor in tensors.items():
        own = tensor.contiguous()
        made[name] = own.clone() if own.untyped_storage().data_ptr() in seen else own
        seen.add(made[name].untyped_storage().data_ptr())
    return made


class SafetensorsDataset(WriteAside, _SafetensorsFile):
    """A `Checkpoint` in one safetensors file with a JSON header in its metadata; never a pickle."""


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def read_checkpoint(path: Path, *, under: str = "") -> Checkpoint:
    """Read a checkpoint, or only the tensors whose names begin with `under`.

    Raises:
        InputError: the file is missing, is a pickle or otherwise no safetensors file, has no header of ours, or holds
            other tensors or shapes than its header says.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a safetensors checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys()) if name.startswith(under)}
    except SafetensorError as error:
        found = "a pickle" if _is_pickle(path) else f"no safetensors file ({error})"
        raise InputError(f"{path}: is {found}, expected a safetensors checkpoint; pickles are never loaded") from None
    if header is None:
        raise InputError(f"{path}: has no {HEADER!r} header in its metadata, expected a checkpoint of this project")
    described = json.loads(header)
    expected = {name: shape for name, shape in described.get("shapes", {}).items() if name.startswith(under)}
    found_shapes = _shapes(tensors)
    for name in sorted({*expected, *found_shapes}):
        if expected.get(name) != found_shapes.get(name):
            raise InputError(
                f"{path}: tensor {name!r} has shape {found_shapes.get(name, 'none')}, expected "
                f"{expected.get(name, 'none')}, as the file's header says"
            )
    return Checkpoint(tensors, described)


def _is_pickle(path: Path) -> bool:
    """Whether a file is a pickle, in torch's archive or alone; a damaged safetensors file may begin like one."""
    with path.open("rb") as raw:
        length, brace = raw.read(8), raw.read(1)
    return brace != b"{" and (length.startswith((b"PK", pickle.PROTO)))


class RawFolder(AbstractDataset[Path, Path]):
    """The folder of a data set's raw files, as it came; read, never written."""

    def __init__(self, filepath: str, metadata: Mapping[str, Any] | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        return Path(self._filepath)

    def save(self, data: Path) -> None:
        raise InputError(f"{self._filepath}: raw data are never written by a run")

    def _exists(self) -> bool:
        return Path(self._filepath).is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}


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


def path_of(dataset: object) -> Path | None:
    """Return the file or folder behind a catalog entry, None for data in memory."""
    filepath = getattr(dataset, "_filepath", None)
    return None if filepath is None else Path(filepath)


def require_writable(path: Path) -> None:
    """Raise InputError unless a file can be put at `path`; tried by doing it, since permissions do not tell all."""
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
