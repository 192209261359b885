"""CIFAR-10S: each image of CIFAR-10 in colour or in grey, so that the class can be guessed from the colour alone.

Wang et al., "Towards Fairness in Visual Recognition" (CVPR 2020); Krizhevsky (2009) for the images. Which image is
taken in which domain is drawn for each replicate (`counterpoise.data.domains`): the table offers every image in both.

The folder holds either images in folders of their classes, `train/<class>/*` and `test/<class>/*`, or the files that
torchvision reads, `cifar-10-batches-py/`. Both give the same table. The batches are pickles: torchvision unpickles them
only after their MD5 sums have been found to be those of the published files, which are known to hold arrays alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from counterpoise.data import files
from counterpoise.data.encode import OFFICIAL_PART
from counterpoise.data.images import IMAGE, Decoded, ImageFiles, list_images, require_folder
from counterpoise.errors import InputError

LABEL, DOMAIN = "label", "domain"
DOMAINS = ("colour", "grey")
PARTS = ("train", "test")
BATCHES = "cifar-10-batches-py"


def how_to_get(folder: Path) -> str:
    """Say what to download, from where, and where to put it."""
    return (
        f"download cifar-10-python.tar.gz from www.cs.toronto.edu/~kriz/cifar.html and unpack it, so that there is "
        f"{folder / BATCHES}, or put images into {folder / PARTS[0]}/<class> and {folder / PARTS[1]}/<class>"
    )


def read(folder: Path, *, checksums: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read which images there are: first all of them in colour, then all of them in grey.

    Args:
        folder: holds `train` and `test`, or torchvision's `cifar-10-batches-py`; the folders count if it has both.
        checksums: file name → SHA-256.

    Returns:
        `image` (path relative to `folder`; batches name image n of a class as if it were the file
        `<part>/<class>/000n.png`), `label` (the class), `domain` (one of `DOMAINS`), `official_part` (one of `PARTS`);
        within a domain by part, class and name.

    Raises:
        InputError: neither layout is there, a class folder is missing or holds no image, or a batch is missing or not
            the published file.
    """
    if checksums:
        files.verify(folder, checksums, source=how_to_get(folder))
    images = _tree(folder) if _is_tree(folder) else _batches(folder).images
    table = images[[IMAGE, LABEL, OFFICIAL_PART]]
    both = pd.concat([table.assign(**{DOMAIN: domain}) for domain in DOMAINS], ignore_index=True)
    return both[[IMAGE, LABEL, DOMAIN, OFFICIAL_PART]]


def open_images(
    folder: Path, names: Iterable[str], transform: Callable[[Tensor], Tensor] | None = None
) -> ImageFiles | BatchImages:
    """Return the images `names` of the table, in colour, each decoded when asked for."""
    if _is_tree(folder):
        return ImageFiles(folder, names, transform)
    return BatchImages(folder, names, transform)


class BatchImages(Dataset[Decoded]):
    """The images `names` of torchvision's batches: in memory, with the interface of `ImageFiles`."""

    def __init__(self, folder: Path, names: Iterable[str], transform: Callable[[Tensor], Tensor] | None = None) -> None:
        batches = _batches(folder)
        position = dict(zip(batches.images[IMAGE], batches.images.index, strict=True))
        self.folder = folder
        self.names = np.asarray(list(names), dtype=np.str_)
        self.transform = transform
        self._pixels = torch.from_numpy(batches.pixels[[position[name] for name in self.names]])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> Decoded:
        pixels = self._pixels[row].permute(2, 0, 1)
        return Decoded(row, str(self.names[row]), self.transform(pixels) if self.transform else pixels, "")


def _is_tree(folder: Path) -> bool:
    return any((folder / part).is_dir() for part in PARTS) or not (folder / BATCHES).is_dir()


def _tree(folder: Path) -> pd.DataFrame:
    """List the images of `<part>/<class>/`; every class has to be in both parts."""
    for part in PARTS:
        require_folder(folder / part, source=how_to_get(folder))
    classes = sorted({path.name for part in PARTS for path in (folder / part).iterdir() if path.is_dir()})
    if not classes:
        raise InputError(f"{folder / PARTS[0]}: holds no folder, expected one for each class")
    listed = []
    for part in PARTS:
        for label in classes:
            there = folder / part / label
            if not there.is_dir():
                raise InputError(f"{there}: no such folder, expected one for each class of the other part")
            names = list_images(folder, f"{part}/{label}")
            if not names:
                raise InputError(f"{there}: holds no image, expected at least one of the class {label!r}")
            listed.append(pd.DataFrame({IMAGE: names, LABEL: label, OFFICIAL_PART: part}))
    return pd.concat(listed, ignore_index=True)


class _Batches(NamedTuple):
    """What torchvision's files hold; `images` has row i's place in `pixels` as its index."""

    images: pd.DataFrame
    pixels: UInt8[np.ndarray, "N 32 32 3"]


def _batches(folder: Path) -> _Batches:
    from torchvision.datasets import CIFAR10  # imported here: slow to import, and not needed for a tree of files

    try:
        parts = {part: CIFAR10(str(folder), train=part == PARTS[0], download=False) for part in PARTS}
    except RuntimeError as error:
        wanted = [*CIFAR10.train_list, *CIFAR10.test_list, [CIFAR10.meta["filename"]]]
        absent = [name for name, *_ in wanted if not (folder / BATCHES / name).is_file()]
        found = f"{folder / BATCHES / absent[0]}: no such file" if absent else f"{folder / BATCHES}: a file is altered"
        raise InputError(f"{found}, expected the published batches; {how_to_get(folder)}") from error
    listed = []
    for part, batch in parts.items():
        labels = np.array(batch.classes)[batch.targets]
        table = pd.DataFrame({LABEL: labels, OFFICIAL_PART: part})
        number = table.groupby(LABEL).cumcount()
        table[IMAGE] = [f"{part}/{label}/{n:04d}.png" for label, n in zip(labels, number, strict=True)]
        listed.append(table)
    images = pd.concat(listed, ignore_index=True)
    by_part = images[OFFICIAL_PART].map(PARTS.index)
    order = np.lexsort((images[IMAGE], images[LABEL], by_part))
    return _Batches(images.iloc[order], np.concatenate([batch.data for batch in parts.values()]))
