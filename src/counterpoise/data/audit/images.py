"""Files of images: which have the same bytes, and how large they are. No image is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int64

from counterpoise.data.files import require_inside


def files_of(folder: Path, names: Sequence[str]) -> tuple[Int64[np.ndarray, "N"], Int64[np.ndarray, "N"]] | None:
    """Return for each image a number, the same for files of the same bytes, and the size of its file in bytes.

    Only files of the same size are read: their SHA-256 decides.

    Args:
        folder: where the images are.
        names: paths relative to it.

    Returns:
        None if the images are not files of their own, but lie in larger ones.

    Raises:
        InputError: a name leads out of the folder.
    """
    require_inside(folder, set(names))
    paths = {name: folder / name for name in dict.fromkeys(names)}
    if not all(path.is_file() for path in paths.values()):
        return None
    size = {name: path.stat().st_size for name, path in paths.items()}
    sizes = pd.Series(size)
    twice = set(sizes[sizes.duplicated(keep=False)].index)
    keys = {name: _digest(path) if name in twice else f"only one of its size: {name}" for name, path in paths.items()}
    ids = pd.factorize(pd.Series([keys[name] for name in names]))[0].astype(np.int64)
    return ids, np.array([size[name] for name in names], dtype=np.int64)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
