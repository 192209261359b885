"""Images to features, or to logits, for the exported model beside this file: decoded, framed, run through a network.

It needs torch and Pillow and, for images on disk, the variable `COUNTERPOISE_IMAGES`: the folder of the paths.
`counterpoise.artifacts.serving` copies it; nothing here imports the project.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from PIL import Image, ImageCms, ImageOps
from torch.nn.functional import interpolate

COLUMN = "image"
FOLDER = "COUNTERPOISE_IMAGES"
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
RANGES = {"I": (0.0, 65_535.0), "F": (0.0, 1.0)}
"""The values of black and white in images of more than 8 bits, by the first letter of Pillow's mode."""
WHITE = 255
BATCH = 16
"""Images that the network sees at a time."""


class Images:
    """The column `image`: bytes of a file, the same in base64, or a path within a folder that the operator has named.

    Args:
        program: a file of `torch.export`, from images [N, 3, S, S] with values from 0 to 255 to what the model reads.
        framing: `resize` (shorter edge, or null: stretched), `crop` (the square's edge, or null: as it is),
            `interpolation`, `size` (height and width of images that are not resized), `max_pixels`, `value_range`.
    """

    has_categories = False

    def __init__(self, program: str, framing: Mapping[str, Any]) -> None:
        self.network = torch.export.load(program).module()
        self.framing = framing
        self.features = [f"f{i}" for i in range(framing["outputs"])]

    def encode(self, rows: pd.DataFrame, unknown: str = "") -> tuple[np.ndarray, list[str]]:
        """Return what the model reads of each image, [N, D], and nothing unknown.

        Raises:
            MlflowException: there is no column `image`, or a value of it is no image.
        """
        if (count := int((rows.columns == COLUMN).sum())) != 1:
            raise _refused(f"column {COLUMN!r}: found {count} of this name, expected one")
        outputs = np.empty((len(rows), len(self.features)), dtype=np.float32)
        values = rows[COLUMN].tolist()
        for start in range(0, len(values), BATCH):
            framed = [self._image(value, row) for row, value in enumerate(values[start : start + BATCH], start)]
            with torch.inference_mode():
                outputs[start : start + BATCH] = self.network(torch.stack(framed).float()).numpy()
        return outputs, [""] * len(rows)

    def _image(self, value: Any, row: int) -> torch.Tensor:
        """Return an image as the network expects it, uint8 [3, S, S]."""
        try:
            pixels = self._decoded(_content(value, row))
        except MlflowException:
            raise
        except Exception as error:  # decoders of damaged files raise nearly anything
            reason = " ".join(str(error).split()) or type(error).__name__
            raise _refused(f"column {COLUMN!r}: row {row} is no image that can be read ({reason})") from None
        framed = self._framed(torch.from_numpy(pixels).permute(2, 0, 1))
        size = self.framing["size"]
        if list(framed.shape[1:]) != size:
            raise _refused(f"column {COLUMN!r}: row {row} has {list(framed.shape[1:])} pixels, expected {size}")
        return framed

    def _decoded(self, content: bytes) -> np.ndarray:
        """Return 8-bit RGB [H, W, 3], upright, as `data.images.decode` does."""
        Image.MAX_IMAGE_PIXELS = None  # the bound below takes its place
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            width, height = opened.size
            if width * height > self.framing["max_pixels"]:
                raise ValueError(f"{width:,} x {height:,} pixels, expected at most {self.framing['max_pixels']:,}")
            image = ImageOps.exif_transpose(opened) if "exif" in opened.info else opened
            if image.mode[0] in RANGES:
                return _scaled(np.asarray(image), *(self.framing["value_range"] or RANGES[image.mode[0]]))
            if image.mode == "LAB":
                lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
                image = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB")) or image
            return np.array(image.convert("RGB"))

    def _framed(self, image: torch.Tensor) -> torch.Tensor:
        """Resize and crop, as `nn.preprocessing.Preprocessing.frame` does."""
        crop, resize = self.framing["crop"], self.framing["resize"]
        if crop is None:
            return image
        height, width = image.shape[1:]
        shorter = min(height, width)
        size = (crop, crop) if resize is None else (resize * height // shorter, resize * width // shorter)
        mode = self.framing["interpolation"]
        resized = interpolate(image[None], size, mode=mode, align_corners=False, antialias=True)[0]
        top, left = (round((length - crop) / 2) for length in size)
        return resized[:, top : top + crop, left : left + crop]


def _content(value: Any, row: int) -> bytes:
    """Return the bytes of a file that a value holds or names."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, str | Path):
        raise _refused(
            f"column {COLUMN!r}: found {type(value).__name__} in row {row}, expected the bytes of an image file, in "
            "JSON and CSV in base64"
        )
    folder = os.environ.get(FOLDER)
    if folder:
        with suppress(OSError, ValueError):  # base64 is too long for a path
            path = (Path(folder) / value).resolve()
            if path.is_relative_to(Path(folder).resolve()) and path.is_file():
                return path.read_bytes()
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        where = f"a file within {FOLDER}" if folder else f"a path, for which {FOLDER} has to name the folder"
        raise _refused(f"column {COLUMN!r}: row {row} is neither base64 nor {where}") from None


def _scaled(values: np.ndarray, black: float, white: float) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if not black <= low <= high <= white:
        raise ValueError(f"values from {low:g} to {high:g}, expected {black:g} to {white:g}")
    grey = np.rint((values.astype(np.float64) - black) * (WHITE / (white - black))).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _refused(reason: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(reason)
