"""CIFAR-10: small photographs of ten classes.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).

The folder holds either images in folders of their classes, `train/<class>/*` and `test/<class>/*`, or the files that
torchvision reads, `cifar-10-batches-py/`. Both give the same table. The batches are pickles: torchvision unpickles them
only after their MD5 sums have been found to be those of the published files, which are known to hold arrays alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise.data import files
from counterpoise.data.boundary import LIMITS, Limits
from counterpoise.data.class_folders import PARTS, Arrays, from_arrays, is_tree, list_tree
from counterpoise.errors import InputError

BATCHES = "cifar-10-batches-py"


def how_to_get(folder: Path) -> str:
    """Say what to download, from where, and where to put it."""
    return (
        f"download cifar-10-python.tar.gz from www.cs.toronto.edu/~kriz/cifar.html and unpack it, so that there is "
        f"{folder / BATCHES}, or put images into {folder / PARTS[0]}/<class> and {folder / PARTS[1]}/<class>"
    )


def read(folder: Path, *, checksums: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read which images there are, each once.

    Args:
        folder: holds `train` and `test`, or torchvision's `cifar-10-batches-py`; the folders count if it has both.

    Returns:
        `image` (path relative to `folder`; batches name image n of a class as if it were the file
        `<part>/<class>/000n.png`), `label` (the class), `official_part` (train or test); by part, class and name.

    Raises:
        InputError: neither layout is there, a class folder is missing or holds no image, or a batch is missing or not
            the published file.
    """
    if checksums:
        files.verify(folder, checksums, source=how_to_get(folder))
    return list_tree(folder, source=how_to_get(folder)) if is_tree(folder, BATCHES) else arrays(folder).images


def arrays(folder: Path, limits: Limits = LIMITS) -> Arrays:
    """Return the images of the batches, whose size is known: they are checked by their MD5 sums.

    Raises:
        InputError: a batch is missing or not the published file.
    """
    from torchvision.datasets import CIFAR10  # imported here: slow to import, and not needed for a tree of files

    try:
        parts = [CIFAR10(str(folder), train=part == PARTS[0], download=False) for part in PARTS]
    except RuntimeError as error:
        wanted = [*CIFAR10.train_list, *CIFAR10.test_list, [CIFAR10.meta["filename"]]]
        absent = [name for name, *_ in wanted if not (folder / BATCHES / name).is_file()]
        fault = f"{folder / BATCHES / absent[0]}: no such file" if absent else f"{folder / BATCHES}: a file is altered"
        raise InputError(f"{fault}, expected the published batches; {how_to_get(folder)}") from error
    labels = [np.array(part.classes)[part.targets].tolist() for part in parts]
    return from_arrays(labels, [part.data for part in parts])
