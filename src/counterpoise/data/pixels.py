"""All images of a data set as one tensor of bytes, for networks that are trained from pixels.

Each file is decoded once, however many rows show it: what a row shows (grey, a background, a corruption) is computed
from the decoded image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from counterpoise.data import biased_mnist, cifar10, cifar10s, corrupted_cifar10, mnist, multicolor_mnist
from counterpoise.data.boundary import LIMITS, Limits, decoding
from counterpoise.data.class_folders import ArrayImages, Arrays, is_tree
from counterpoise.data.images import Batch, ImageFiles, Range, collate
from counterpoise.errors import InputError

CHUNK = 512
"""Images that are decoded, and rows that are rendered at a time: less than a second's work, some megabytes."""

Images = ImageFiles | ArrayImages

#: Reader → the folder of files that hold many images each, and what reads them where there is no tree of classes.
_ARCHIVES: Mapping[str, tuple[str, Callable[[Path, Limits], Arrays]]] = {
    "biased_mnist": (mnist.RAW, mnist.arrays),
    "cifar10s": (cifar10.BATCHES, cifar10.arrays),
    "corrupted_cifar10": (cifar10.BATCHES, cifar10.arrays),
    "multicolor_mnist": (mnist.RAW, mnist.arrays),
}

#: Reader → what makes of some images, and of the rows of its table that name them, what these rows show.
_RENDERERS: Mapping[str, Callable[[Tensor, pd.DataFrame], Tensor]] = {
    "biased_mnist": biased_mnist.render,
    "cifar10s": cifar10s.render,
    "corrupted_cifar10": corrupted_cifar10.render,
    "multicolor_mnist": multicolor_mnist.render,
}


class Pixels(NamedTuple):
    """Decoded images; a row of `decoded` whose image is in `bad` (name: reason) is black."""

    decoded: UInt8[Tensor, "U 3 H W"]
    bad: dict[str, str]


def open_images(
    reader: str,
    folder: Path,
    names: Iterable[str],
    transform: Callable[[Tensor], Tensor] | None = None,
    *,
    limits: Limits = LIMITS,
    value_range: Range | None = None,
) -> Images:
    """Return the images that a reader's table names, each decoded when asked for.

    Args:
        reader: whose table.
        transform: runs on each.
        value_range: of deep images, as `images.decode` takes it.

    Raises:
        InputError: as the reader, of files that hold many images.
    """
    with decoding(folder, f"files that the reader {reader!r} can read"):
        if reader in _ARCHIVES and not is_tree(folder, (archive := _ARCHIVES[reader])[0]):
            return ArrayImages(folder, names, archive[1](folder, limits), transform)
        return ImageFiles(folder, names, transform, max_pixels=limits.image_pixels, value_range=value_range)


def chunks(images: Images) -> list[range]:
    """Divide the images into what is decoded at a time."""
    return [range(start, min(start + CHUNK, len(images))) for start in range(0, len(images), CHUNK)]


def decode_chunk(rows: range, images: Images) -> Batch:
    """Decode the images of one chunk."""
    return collate([images[row] for row in rows])


def gather(batches: Iterable[Batch], images: Images) -> Pixels:
    """Put chunks that come in any order into one tensor.

    Raises:
        InputError: two images differ in size, or none can be decoded.
    """
    decoded: Tensor | None = None
    bad: dict[str, str] = {}
    for batch in batches:
        bad |= batch.bad
        if not len(batch.rows):
            continue
        size = batch.pixels.shape[1:]
        if decoded is None:
            decoded = torch.zeros(len(images), *size, dtype=torch.uint8)
        if size != decoded.shape[1:]:
            raise InputError(
                f"images: {str(images.names[batch.rows[0]])!r} is {list(size)} and others are "
                f"{list(decoded.shape[1:])}, expected one size: give one to resize to (image_size)"
            )
        decoded[batch.rows] = batch.pixels
    if decoded is None:
        name, why = next(iter(bad.items()), ("none", "there are no images"))
        raise InputError(
            f"{images.folder}: none of {len(images)} images can be decoded ({name}: {why}), expected images"
        )
    return Pixels(decoded, bad)


def render(
    reader: str, decoded: UInt8[Tensor, "U 3 H W"], shown: Int[np.ndarray, "N"], table: pd.DataFrame
) -> UInt8[Tensor, "N 3 H W"]:
    """Return what each row of a reader's table shows.

    Args:
        reader: whose table; see `_RENDERERS`. Other readers' rows show images as they are.
        decoded: every image once.
        shown: the image of each row.
    """
    renderer = _RENDERERS.get(reader)
    if renderer is None and np.array_equal(shown, np.arange(len(decoded))):
        return decoded
    which = torch.from_numpy(shown)
    if renderer is None:
        return decoded[which]
    pixels = torch.empty(len(shown), *decoded.shape[1:], dtype=torch.uint8)
    for start in range(0, len(shown), CHUNK):
        rows = slice(start, start + CHUNK)
        pixels[rows] = renderer(decoded[which[rows]], table.iloc[rows])
    return pixels
