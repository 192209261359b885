"""Images in folders of their classes, `train/<class>/*` and `test/<class>/*`, or in arrays named like such files.

A reader whose source has an archive of its own names image n of a class as if it were the file
`<part>/<class>/000n.png`, so that both layouts give one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from counterpoise.data.encode import OFFICIAL_PART
from counterpoise.data.files import require_inside
from counterpoise.data.images import IMAGE, Decoded, list_images, require_folder
from counterpoise.errors import InputError

LABEL = "label"
PARTS = ("train", "test")
Transform = Callable[[Tensor], Tensor]


class Arrays(NamedTuple):
    """Images in memory; `images` (image, label, official_part) has a row's place in `pixels` as its index."""

    images: pd.DataFrame
    pixels: UInt8[np.ndarray, "N H W 3"]


class ArrayImages(Dataset[Decoded]):
    """The images `names` of arrays, with the interface of `ImageFiles`; `folder` is where they come from.

    Raises:
        InputError: the arrays have no image of a name.
    """

    def __init__(self, folder: Path, names: Iterable[str], arrays: Arrays, transform: Transform | None = None) -> None:
        position = dict(zip(arrays.images[IMAGE], arrays.images.index, strict=True))
        self.folder = folder
        self.names = np.asarray(list(names), dtype=np.str_)
        self.transform = transform
        if absent := [name for name in self.names.tolist() if name not in position]:
            raise InputError(
                f"{folder}: holds no image {absent[0]!r}, expected the files that the table was made of, unchanged"
            )
        self._pixels = torch.from_numpy(arrays.pixels[[position[name] for name in self.names]])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> Decoded:
        pixels = self._pixels[row].permute(2, 0, 1)
        return Decoded(row, str(self.names[row]), self.transform(pixels) if self.transform else pixels, "")


def is_tree(folder: Path, archive: str) -> bool:
    """Whether the folders of classes are read: they are there, or `folder / archive` is not."""
    return any((folder / part).is_dir() for part in PARTS) or not (folder / archive).is_dir()


def list_tree(folder: Path, *, source: str) -> pd.DataFrame:
    """List the images of `<part>/<class>/`; every class has to be in both parts.

    Args:
        folder: holds `train` and `test`.
        source: where to get the files, for the sentence when they are absent.

    Returns:
        `image` (path relative to `folder`), `label` (the class), `official_part`; by part, class and name.

    Raises:
        InputError: a part has no folder or no class, or a class is missing or empty in one of them, or a link leads
            out of `folder`.
    """
    for part in PARTS:
        require_folder(folder / part, source=source)
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
            require_inside(folder, names)
            listed.append(pd.DataFrame({IMAGE: names, LABEL: label, OFFICIAL_PART: part}))
    return pd.concat(listed, ignore_index=True)[[IMAGE, LABEL, OFFICIAL_PART]]


def from_arrays(labels: Sequence[Sequence[str]], pixels: Sequence[UInt8[np.ndarray, "_ H W 3"]]) -> Arrays:
    """Name the images of both parts as `list_tree` would: by part, class, and the order in which they come.

    Args:
        labels: of each part, the class of each image.
        pixels: of each part, the images.

    Returns:
        `image`, `label`, `official_part` in the order of `list_tree`, and all pixels in the given order.
    """
    listed = []
    for part, of_part in zip(PARTS, labels, strict=True):
        table = pd.DataFrame({LABEL: of_part, OFFICIAL_PART: part})
        number = table.groupby(LABEL).cumcount()
        table[IMAGE] = [f"{part}/{label}/{n:04d}.png" for label, n in zip(of_part, number, strict=True)]
        listed.append(table)
    images = pd.concat(listed, ignore_index=True)
    by_part = images[OFFICIAL_PART].map(PARTS.index)
    order = np.lexsort((images[IMAGE], images[LABEL], by_part))
    return Arrays(images.iloc[order][[IMAGE, LABEL, OFFICIAL_PART]], np.concatenate(list(pixels)))


def require_classes(table: pd.DataFrame, classes: Sequence[str], folder: Path) -> None:
    """Raise InputError unless the labels of both parts are exactly `classes`, to each of which a bias is tied."""
    labels = set(table[LABEL])
    if not labels <= set(classes):
        raise InputError(f"{folder}: holds the classes {', '.join(sorted(labels))}, expected {', '.join(classes)}")
    for part in PARTS:
        absent = set(classes) - set(table.loc[table[OFFICIAL_PART] == part, LABEL])
        if absent:
            raise InputError(
                f"{folder}: the part {part} holds no image of the classes {', '.join(sorted(absent))}, expected all of "
                f"{', '.join(classes)}"
            )
