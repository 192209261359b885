"""Image files of any colour mode as 8-bit RGB: deep images are scaled; those that cannot be scaled are reported."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from counterpoise.data.limits import LIMITS, require_at_most
from counterpoise.errors import InputError

VERSION = 2
"""Of the rules by which files become pixels: raise it when they change, so that no cache serves older pixels."""

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
"""What is read. Pillow knows more formats, and runs other programs for some (Ghostscript for EPS)."""

Range = tuple[float, float]
"""The values that stand for black and for white."""

_WHITE = 255
_TIFF = (b"II*\0", b"MM\0*")  # how the files begin
_RANGES: dict[str, Range] = {"I": (0.0, 65_535.0), "F": (0.0, 1.0)}
"""Of deep images, by the first letter of Pillow's mode: whole numbers (I, I;16, I;16B, …), and floating-point ones."""

# Pillow warns of, or refuses, a number of pixels of its own; `limits.image_pixels` takes its place.
Image.MAX_IMAGE_PIXELS = None


def decode(
    path: Path, *, max_pixels: int = LIMITS.image_pixels, value_range: Range | None = None
) -> UInt8[Tensor, "3 H W"]:
    """Read an image file as 8-bit RGB, turned upright if its EXIF data ask for it; of several pictures the first.

    Transparency is ignored. Images of more than 8 bits per channel are scaled, all images of a data set alike: grey
    ones of 16 bits from 0 … 65,535 and floating-point ones from 0 … 1, or both from `value_range`, to 0 … 255; of
    16-bit colours Pillow takes the upper 8 bits.

    Args:
        path: of the file, in one of `FORMATS`.
        max_pixels: width times height above which it is refused before a pixel is decoded.
        value_range: of grey images of more than 8 bits.

    Raises:
        InputError: too many pixels, or values outside the range. Says what is wrong, not where: the caller has names.
        Exception: of nearly any kind, if the file is damaged.
    """
    # Not by its path: Pillow would map uncompressed files, and shear TIFFs that lie on their side (seen in 13.0).
    with path.open("rb") as file, _opened(file) as image:
        width, height = image.size
        require_at_most(width * height, max_pixels, f"{width:,} x {height:,} are", "pixels", "image_pixels")
        upright = ImageOps.exif_transpose(image) if "exif" in image.info else image
        return torch.from_numpy(_rgb(upright, value_range)).permute(2, 0, 1)


def _opened(file: BinaryIO) -> Image.Image:
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        file.seek(0)
        if file.read(len(_TIFF[0])) in _TIFF:
            raise InputError("a TIFF of a kind that Pillow cannot read, expected 8-bit colours or grey") from None
        raise


def _rgb(image: Image.Image, value_range: Range | None) -> UInt8[np.ndarray, "H W 3"]:
    if image.mode[0] in _RANGES:
        return _scaled(np.asarray(image), value_range or _RANGES[image.mode[0]])
    if image.mode == "LAB":  # the one mode that Pillow converts only with profiles
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
        image = ImageCms.applyTransform(image, transform) or image
    return np.array(image.convert("RGB"))


def _scaled(values: np.ndarray, value_range: Range) -> UInt8[np.ndarray, "H W 3"]:
    """Map black to 0 and white to 255. Clipping would make white what is only bright, and no one would notice."""
    black, white = value_range
    low, high = float(values.min()), float(values.max())
    if not black <= low <= high <= white:  # NaN is neither
        raise InputError(
            f"holds values from {low:g} to {high:g}, expected {black:g} to {white:g} (image_range says which value is "
            "black and which is white)"
        )
    grey = (values.astype(np.float64) - black) * (_WHITE / (white - black))
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)
