"""MNIST: handwritten digits (LeCun, Cortes and Burges), the digits of the rendered data sets.

The folder holds the files that torchvision downloads, `MNIST/raw/*-ubyte` (or `*-ubyte.gz`), or images in folders of
their classes, `train/<digit>/*` and `test/<digit>/*`. Both give the same table.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from torch import Tensor

from counterpoise.data import files
from counterpoise.data.boundary import LIMITS, Limits, decoding, require_at_most, require_size
from counterpoise.data.class_folders import PARTS, Arrays, from_arrays, is_tree, list_tree, require_classes
from counterpoise.errors import InputError

DIGITS = tuple("0123456789")
RAW = "MNIST/raw"
STEMS = {"train": "train", "test": "t10k"}
_BYTES = 8  # IDX's code for unsigned bytes
_MOST_AXES = 3
_WHITE = 255


def how_to_get(folder: Path) -> str:
    """Say how to get the files, and where they belong."""
    return (
        f"torchvision.datasets.MNIST({str(folder)!r}, download=True) puts them into {folder / RAW}, or put images into "
        f"{folder / PARTS[0]}/<digit> and {folder / PARTS[1]}/<digit>"
    )


def read(folder: Path, *, checksums: Mapping[str, str] | None = None, limits: Limits = LIMITS) -> pd.DataFrame:
    """Read which images there are, each once.

    Args:
        folder: holds `train` and `test`, or `MNIST/raw`; the folders count if it has both.

    Returns:
        `image` (path relative to `folder`; IDX files name image n of a digit as if it were the file
        `<part>/<digit>/000n.png`), `label` ("0" to "9"), `official_part` (train or test); by part, digit and name.

    Raises:
        InputError: neither layout is there, a file is missing, truncated, altered or too large, or a digit is missing.
    """
    if checksums:
        files.verify(folder, checksums, source=how_to_get(folder))
    tree = is_tree(folder, RAW)
    table = list_tree(folder, source=how_to_get(folder)) if tree else arrays(folder, limits).images
    require_classes(table, DIGITS, folder)
    return table.reset_index(drop=True)


def arrays(folder: Path, limits: Limits) -> Arrays:
    """Return the images of the IDX files, white on black in three equal channels.

    Raises:
        InputError: a file is missing, truncated, altered or too large.
    """
    labels, pixels = [], []
    for part in PARTS:
        stem = folder / RAW / STEMS[part]
        digits, images = (
            _idx(Path(f"{stem}-labels-idx1-ubyte"), folder, limits),
            _idx(Path(f"{stem}-images-idx3-ubyte"), folder, limits),
        )
        if digits.ndim != 1 or images.ndim != 3 or len(digits) != len(images):
            raise InputError(
                f"{stem}-*-ubyte: hold labels {list(digits.shape)} and images {list(images.shape)}, expected [n] and "
                "[n, height, width]"
            )
        if len(digits) == 0 or digits.max() >= len(DIGITS):
            raise InputError(
                f"{stem}-labels-idx1-ubyte: holds {f'the label {digits.max()}' if len(digits) else 'no label'}, "
                "expected digits from 0 to 9"
            )
        labels.append(np.array(DIGITS)[digits].tolist())
        pixels.append(np.repeat(images[..., None], 3, axis=3))
    return from_arrays(labels, pixels)


def on_background(digits: UInt8[Tensor, "n 3 H W"], colours: UInt8[Tensor, "n 3 #H #W"]) -> UInt8[Tensor, "n 3 H W"]:
    """Return the digits in white on coloured backgrounds: the ink's grey level is how much of a pixel it covers."""
    paper = (colours.int() * (_WHITE - digits.int()) + _WHITE // 2).div_(_WHITE, rounding_mode="floor")
    return paper.to(digits.dtype) + digits


def _idx(path: Path, folder: Path, limits: Limits) -> UInt8[np.ndarray, "..."]:
    """Read a file in IDX: two zero bytes, the type, the number of axes, their lengths (4 bytes each), the values."""
    packed = path.with_name(f"{path.name}.gz")
    if not path.is_file() and not packed.is_file():
        raise InputError(f"{path}: no such file; {how_to_get(folder)}")
    require_size(path if path.is_file() else packed, limits)
    content = path.read_bytes() if path.is_file() else _unpacked(packed, limits)
    if len(content) < 4 or content[:3] != bytes([0, 0, _BYTES]):
        raise InputError(f"{path}: begins with {content[:4].hex() or 'nothing'}, expected 000008, an IDX file of bytes")
    axes = content[3]
    shape = np.frombuffer(content, dtype=">u4", offset=4, count=min(axes, (len(content) - 4) // 4)).tolist()
    values = content[4 + 4 * axes :]
    if len(shape) < axes or len(values) != math.prod(shape) or axes > _MOST_AXES:
        raise InputError(f"{path}: holds {len(values):,} values for the shape {shape}: truncated or altered")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _unpacked(path: Path, limits: Limits) -> bytes:
    """Unpack a gzip file, no further than its bound."""
    with decoding(path, "the published file"), gzip.open(path) as stream:
        content = stream.read(limits.unpacked_bytes + 1)
    require_at_most(len(content), limits.unpacked_bytes, f"{path}: unpacks to", "bytes or more", "unpacked_bytes")
    return content
