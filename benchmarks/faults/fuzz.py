"""Thousands of damaged files of every kind: data, or one sentence; the original where a checksum says what it was."""

from __future__ import annotations

import gzip
import io
import logging
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scene import Kind

from counterpoise import data
from counterpoise.artifacts.datasets import Checkpoint, SafetensorsDataset, read_checkpoint
from counterpoise.artifacts.lineage import Record, parse_record
from counterpoise.artifacts.states import TrainingStates
from counterpoise.data import Limits, celeba
from counterpoise.data.archives import extract
from counterpoise.data.images import ImageFiles
from counterpoise.data.mnist import RAW
from counterpoise.errors import InputError
from counterpoise.features.weights import load_pickle

SLOW = 20.0
"""Seconds after which a file counts as one that hangs the reader, on a busy machine."""

LONG = 1000
"""Characters beyond which a sentence is none."""

ROWS = pd.DataFrame(
    {
        "age": np.arange(200) % 60 + 18,
        "income": np.linspace(900.5, 9000.25, 200),
        "job": ["smith, the", "baker", "Zoë", "NA"] * 50,
        "paid": ["yes", "no"] * 100,
    }
)
DIGITS = np.arange(20 * 28 * 28).reshape(20, 28, 28).astype(np.uint8)
RECORD = Record(
    "a.b", {"seeds": [1]}, {"x__raw": "ab"}, "x__y", ({"command": "kedro", "code": "c", "versions": {}},), {}, "cd"
)
TENSORS = {"weights.0": torch.arange(60.0).reshape(3, 20), "mask": torch.ones(7, dtype=torch.bool)}


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        content: a whole one.
        read: reads the one at a path, and returns what it says in a form that can be compared.
        sealed: whether it carries checksums, so that nothing else than the original may come out.
    """

    name: str
    content: bytes
    read: Callable[[Path], Any]
    sealed: bool = False


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """Return the bytes with one to four places flipped, cut out, repeated, zeroed, moved or overwritten."""
    altered = bytearray(content)
    for _ in range(random.integers(1, 5)):
        at = int(random.integers(len(altered) + 1))
        length = int(random.choice([1, 2, 8, 64, 1024]))
        match random.integers(7):
            case 0 if altered:
                altered[at % len(altered)] ^= 1 << int(random.integers(8))
            case 1:
                del altered[at : at + length]
            case 2:
                altered[at:at] = altered[at : at + length]
            case 3:
                altered[at : at + length] = bytes(min(length, len(altered) - at))
            case 4:
                altered[at : at + length] = random.bytes(min(length, len(altered) - at))
            case 5:
                altered[at:at] = random.choice([b'"', b"\n", b"\0", b"\xff\xff\xff\xff", b"9" * 40, b"1e999", b"\xe4"])
            case _:
                del altered[at:]
    return bytes(altered)


def _bytes_of(write: Callable[[Path], object]) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path)
        return path.read_bytes()


def _table(suffix: str) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        named = path.with_name(f"t{suffix}")
        shutil.move(path, named)
        return data.read("table", path.parent, files=[named.name], limits=Limits(unpacked_bytes=2**22))

    return read


def _idx(path: Path) -> Any:
    folder = path.parent / RAW
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(_idx_of(DIGITS))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(_idx_of(np.arange(20, dtype=np.uint8) % 10))
    shutil.move(path, folder / "train-images-idx3-ubyte")
    table = data.read("biased_mnist", path.parent)
    return len(table)


def _idx_of(values: np.ndarray) -> bytes:
    """Return an array in the format of MNIST's files."""
    return bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape) + values.tobytes()


def _image(path: Path) -> Any:
    return ImageFiles(path.parent, [path.name])[0].reason


def _archive(path: Path) -> Any:
    target = path.parent / "out"
    extract(path, target, limits=Limits(unpacked_bytes=2**22))
    return {str(file.relative_to(target)): file.read_bytes() for file in sorted(target.rglob("*")) if file.is_file()}


def _attributes(path: Path) -> Any:
    images = path.parent / celeba.IMAGES
    images.mkdir(parents=True)
    for number in range(1, 4):
        (images / f"{number:06d}.jpg").touch()
    shutil.move(path, path.parent / celeba.ATTRIBUTES)
    return len(data.read("celeba", path.parent, max_bad_fraction=1.0))


def _checkpoint(path: Path) -> Any:
    return {name: tensor.tolist() for name, tensor in read_checkpoint(path).tensors.items()}


def _weights(path: Path) -> Any:
    return load_pickle(path, "weights")


def _state(path: Path) -> Any:
    shutil.move(path, path.with_name("state.pt"))
    state = TrainingStates(path.parent).load("state")
    return None if state is None else state["epoch"]


def _save_state(path: Path) -> None:
    states = TrainingStates(path.parent)
    states.save("state", {"epoch": 3, "trainee": TENSORS})
    states.path("state").rename(path)


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("faces/one.jpg", b"one" * 400)
        archive.writestr("faces/deep/er/two.jpg", bytes(range(256)) * 8)
    return stream.getvalue()


def _tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in (("faces/one.jpg", b"one" * 400), ("faces/two.jpg", bytes(range(256)) * 8)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _png(mode: str) -> bytes:
    stream = io.BytesIO()
    values = np.arange(64 * 64 * 3).reshape(64, 64, 3) % 251
    Image.fromarray(values.astype(np.uint8) if mode == "RGB" else values[..., 0].astype(np.uint16)).save(stream, "PNG")
    return stream.getvalue()


def targets() -> list[Target]:
    """Return a file of each kind that comes from outside or is kept for a later run."""
    attributes = "3\nMale Young\n" + "".join(f"{i:06d}.jpg {1 - 2 * (i % 2)} -1\n" for i in range(1, 4))
    return [
        Target("CSV", ROWS.to_csv(index=False).encode(), _table(".csv")),
        Target("CSV, gz", gzip.compress(ROWS.to_csv(index=False).encode(), mtime=0), _table(".csv.gz")),
        Target("Parquet", _bytes_of(ROWS.to_parquet), _table(".parquet")),
        Target("attribute file", attributes.encode(), _attributes),
        Target("idx", _idx_of(DIGITS), _idx),
        Target("PNG", _png("RGB"), _image),
        Target("PNG, 16 bits", _png("I;16"), _image),
        Target("zip", _zip(), _archive),
        Target("tar.gz", _tar(), _archive),
        Target(
            "weights (.pth)", _bytes_of(lambda path: torch.save(TENSORS, path)), lambda path: load_pickle(path, "w")
        ),
        Target(
            "checkpoint",
            _bytes_of(lambda path: SafetensorsDataset(str(path)).save(Checkpoint(TENSORS, {"seeds": [1]}))),
            _checkpoint,
            sealed=True,
        ),
        Target(
            "state of a training",
            _bytes_of(_save_state),
            _state,
            sealed=True,
        ),
        Target(
            "lineage record",
            RECORD.text().encode(),
            lambda path: parse_record(path.read_bytes().decode("utf-8", errors="replace"), path).digest,
            sealed=True,
        ),
    ]


def fuzzed(inputs: int) -> list[Kind]:
    """Damage each kind of file equally often; `inputs` in all."""
    logging.disable(logging.WARNING)
    kinds, random = [], np.random.default_rng(14)
    every = targets()
    for target in every:
        _intact(target)  # else everything would be refused, and that rightly
        kind = Kind(f"damaged file: {target.name}")
        for number in range(-(-inputs // len(every))):
            content = mutated(target.content, random)
            with TemporaryDirectory() as folder:
                path = Path(folder) / "file"
                path.write_bytes(content)
                kind.count(*_tried(target, path, number))
        kinds.append(kind)
    logging.disable(logging.NOTSET)
    return kinds


def _tried(target: Target, path: Path, number: int) -> tuple[bool, str]:
    """Return whether reading ends as it should, and what it came to."""
    began = time.monotonic()
    try:
        came = target.read(path)
    except InputError as error:
        told = str(error)
        return told.isprintable() and len(told) <= LONG and time.monotonic() - began < SLOW, f"{number}: {told[:200]}"
    except Exception as error:
        return False, f"{number}: {type(error).__name__}: {str(error)[:200]}"
    if time.monotonic() - began > SLOW:
        return False, f"{number}: took {time.monotonic() - began:.0f} s"
    if not target.sealed:
        return True, ""
    return came is None or came == _intact(target), f"{number}: something else came out"


def _intact(target: Target) -> Any:
    """Return what is read from the file that is not damaged."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(target.content)
        return target.read(path)
