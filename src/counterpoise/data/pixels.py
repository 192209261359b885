"""All images of a data set as one tensor of bytes, for networks that are trained from pixels.

Each file is decoded once, however many rows show it: the grey rendering is computed from the colours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from counterpoise.data import cifar10s
from counterpoise.data.images import Batch, ImageFiles, collate
from counterpoise.errors import InputError

CHUNK = 512
"""Images that are decoded at a time: a second's work, some megabytes."""

Images = ImageFiles | cifar10s.BatchImages

_OPENERS: Mapping[str, Callable[..., Images]] = {"cifar10s": cifar10s.open_images}

# Weights of red, green and blue in 2⁻¹⁶, as PIL has them (ITU-R 601-2 luma); they sum to one.
_LUMA = (19595, 38470, 7471)


class Pixels(NamedTuple):
    """Decoded images; a row of `decoded` whose image is in `bad` (name: reason) is black."""

    decoded: UInt8[Tensor, "U 3 H W"]
    bad: dict[str, str]


def open_images(
    reader: str, folder: Path, names: Iterable[str], transform: Callable[[Tensor], Tensor] | None = None
) -> Images:
    """Return the images that a reader's table names, each decoded when asked for."""
    return _OPENERS.get(reader, ImageFiles)(folder, names, transform)


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
    decoded: UInt8[Tensor, "U 3 H W"], shown: Int[np.ndarray, "N"], in_grey: Bool[np.ndarray, "N"]
) -> UInt8[Tensor, "N 3 H W"]:
    """Return what each row of a table shows: image `shown`, in colour or in grey."""
    if not in_grey.any() and np.array_equal(shown, np.arange(len(decoded))):
        return decoded
    pixels = decoded[torch.from_numpy(shown)]
    for rows in _blocks(np.flatnonzero(in_grey)):
        pixels[rows] = grey(pixels[rows])
    return pixels


def grey(pixels: UInt8[Tensor, "*N 3 H W"]) -> UInt8[Tensor, "*N 3 H W"]:
    """Return the luma of each pixel, as PIL's mode "L" rounds it, in all three channels."""
    red, green, blue = (weight * channel for weight, channel in zip(_LUMA, pixels.int().unbind(-3), strict=True))
    luma = (red + green + blue + (1 << 15)) >> 16
    return luma.to(torch.uint8).unsqueeze(-3).expand(pixels.shape).clone()


def _blocks(rows: Int[np.ndarray, "n"]) -> Iterator[Tensor]:
    """Divide rows, so that what is computed with 32 bits stays small."""
    for start in range(0, len(rows), CHUNK):
        yield torch.from_numpy(rows[start : start + CHUNK])
