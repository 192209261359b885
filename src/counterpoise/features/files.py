"""Features on disk: finished shards while a pass is under way, then one array that is mapped, not loaded.

<cache>/<digest>/shard-00012.safetensors   rows 12 * shard_size and following, until all are there
<cache>/<digest>/features.npy              [N, d] float32
<cache>/<digest>/features.json             what they are; written last, so that its presence means complete

Shards and the array carry a SHA-256 of all that they say, which is checked when they are read: what a disk, a copy or
a hand has changed is computed again. The images themselves are one digest, for which files that have not changed since
the last time are not read again (`contents_digest`).
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from counterpoise import atomic
from counterpoise.errors import InputError

_ARRAY = "features.npy"
_HEADER = "features.json"
_SHARD = "counterpoise"  # key of the shard's metadata

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """The features of the rows from `start`, [n, d]; NaN where an image could not be used.

    `bad` maps the names of these images to the reason.
    """

    start: int
    features: Float[Tensor, "n d"]
    bad: dict[str, str]

    @property
    def stop(self) -> int:
        """The row after the last."""
        return self.start + len(self.features)


@dataclass(frozen=True)
class FeatureFile:
    """The features of a data set under one backbone, complete and on disk.

    Attributes:
        path: the NumPy file.
        digest: `extraction.features_digest`.
        rows: N, in the order of the data set.
        d: number of features.
        backbone: name of the architecture.
        precision: in which the network computed; the file holds float32 in any case.
        bad: images that could not be used, with the reason; their rows are NaN.
    """

    path: Path
    digest: str
    rows: int
    d: int
    backbone: str
    precision: str
    bad: Mapping[str, str] = field(default_factory=dict)

    def array(self) -> np.memmap[Any, np.dtype[np.float32]]:
        """Map the features [N, d], read-only: the system reads the pages that are used, and may drop them again."""
        mapped = np.load(self.path, mmap_mode="r")
        assert isinstance(mapped, np.memmap)
        return mapped

    def tensor(self) -> Float[Tensor, "N d"]:
        """Map the features as a tensor. What is written to it stays in memory: the file never changes."""
        return torch.from_numpy(np.load(self.path, mmap_mode="c"))


def write(path: Path, fill: Callable[[Path], object]) -> None:
    """Write a file that is whole or absent, see `counterpoise.atomic`.

    Raises InputError if it cannot be written.
    """
    try:
        atomic.write(path, fill, durable=True)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be written ({reason}), expected space and a writable folder") from error


def save_shard(path: Path, shard: Shard) -> None:
    """Write a finished shard."""
    features = shard.features.contiguous()
    header = json.dumps({"start": shard.start, "bad": shard.bad, "sha256": _shard_digest(path, shard)})
    write(path, lambda aside: save_file({"features": features}, aside, metadata={_SHARD: header}))


def load_shard(path: Path, rows: range, d: int) -> Shard | None:
    """Read a shard; None if it is absent, damaged, or not the one of `rows` under this path."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_SHARD])
            shard = Shard(header["start"], file.get_tensor("features"), header["bad"])
        intact = header["sha256"] == _shard_digest(path, shard)
    except Exception:  # whatever stands in a damaged file
        intact = False
    if not intact or shard.start != rows.start or shard.features.shape != (len(rows), d):
        _log.warning("%s: damaged or of other rows, computed again", path)
        return None
    return shard


def _shard_digest(path: Path, shard: Shard) -> str:
    """Return the SHA-256 of a shard's place and of all that it says."""
    values = shard.features.contiguous()
    digest = hashlib.sha256(values.numpy().tobytes())
    described = [path.parent.name, path.name, shard.start, shard.bad, str(values.dtype), list(values.shape)]
    digest.update(json.dumps(described, sort_keys=True).encode())
    return digest.hexdigest()


def find_features(folder: Path) -> FeatureFile | None:
    """Return the finished features in `folder`, if they are there and undamaged."""
    if not (folder / _HEADER).exists():
        return None
    try:
        header = json.loads((folder / _HEADER).read_text(encoding="utf-8"))
        sha256 = header.pop("sha256")
        features = FeatureFile(path=folder / _ARRAY, **header)
        with features.path.open("rb") as file:
            intact = _file_digest(hashlib.file_digest(file, "sha256"), header) == sha256
        intact = intact and features.digest == folder.name and features.array().shape == (features.rows, features.d)
    except Exception:  # whatever stands in a damaged file
        intact = False
    if not intact:
        _log.warning("%s: damaged, computed again", folder / _ARRAY)
        return None
    return features


def _file_digest(array: hashlib._Hash, header: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the array's file, which `array` has read, and of the header beside it."""
    array.update(json.dumps(header, sort_keys=True).encode())
    return array.hexdigest()


def join_shards(
    folder: Path, shards: Mapping[Path, range], *, digest: str, d: int, backbone: str, precision: str
) -> FeatureFile:
    """Make one array of all shards, one after the other through memory, and remove them.

    Another run on the same data may be doing the same. Shards are removed only after the array is complete, so that
    where one is missing the array must be there, and is taken as it is.

    Raises InputError if a shard is gone or damaged and there is no array either, or if the array cannot be written.
    """
    try:
        joined = find_features(folder) or _joined(folder, shards, digest, d, backbone, precision)
    except _ShardGoneError as gone:
        if (features := find_features(folder)) is None:
            raise InputError(f"{gone}: is gone or damaged, expected the shard written in this run") from None
        joined = features
    for path in folder.glob("shard-*.safetensors"):
        path.unlink(missing_ok=True)
    return joined


class _ShardGoneError(Exception):
    """A shard that was there cannot be read; the message is its path."""


def _joined(
    folder: Path, shards: Mapping[Path, range], digest: str, d: int, backbone: str, precision: str
) -> FeatureFile:
    """Write the array, and then its header."""
    bad: dict[str, str] = {}
    rows = sum(map(len, shards.values()))
    array = hashlib.sha256()

    def fill(aside: Path) -> None:
        with aside.open("wb") as file:
            dtype = np.lib.format.dtype_to_descr(np.dtype(np.float32))
            start = io.BytesIO()
            np.lib.format.write_array_header_1_0(start, {"descr": dtype, "fortran_order": False, "shape": (rows, d)})
            array.update(start.getvalue())
            file.write(start.getvalue())
            for path, span in shards.items():
                shard = load_shard(path, span, d)
                if shard is None:
                    raise _ShardGoneError(path)
                bad.update(shard.bad)
                content = shard.features.numpy().tobytes()
                array.update(content)
                file.write(content)

    write(folder / _ARRAY, fill)
    joined = FeatureFile(folder / _ARRAY, digest, rows, d, backbone, precision, bad)
    header = {key: value for key, value in asdict(joined).items() if key != "path"}
    text = json.dumps({**header, "sha256": _file_digest(array, header)}, indent=1)
    write(folder / _HEADER, lambda aside: aside.write_text(text, encoding="utf-8"))
    return joined


ABSENT = "absent"
"""Stands for the contents of a file that cannot be read: the digest changes when it appears."""

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
