"""Images that arrive in dated files: where each of them lies, what is in it, and how bright and large it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise.data.boundary import LIMITS
from counterpoise.data.images import IMAGE, MAX_BAD_FRACTION, ImageFiles, Range, drop_bad
from counterpoise.errors import InputError

FILE, DIGEST = "image file", "image digest"
"""Columns beside those of the table: the path of an image, and the SHA-256 of its bytes."""

LOOKS = ("image brightness", "image contrast", "image width", "image height")
"""Further ones: mean and standard deviation of the 8-bit values, and pixels. What drift of images is measured by."""


def with_files(
    rows: pd.DataFrame,
    folder: Path,
    *,
    name: str,
    max_bad_fraction: float = MAX_BAD_FRACTION,
    max_pixels: int = LIMITS.image_pixels,
    value_range: Range | None = None,
) -> pd.DataFrame:
    """Return the rows whose image can be read, with the columns `FILE`, `DIGEST` and `LOOKS`. Every image is decoded.

    Args:
        rows: with a column `image`, paths relative to the folder.
        name: of the rows, for errors.
        max_bad_fraction: of the images that may be missing or unreadable, which are left out.
        max_pixels, value_range: as of `images.decode`.

    Raises:
        InputError: a path leads out of the folder, or more images cannot be read.
    """
    images = ImageFiles(folder, rows[IMAGE].astype(str), max_pixels=max_pixels, value_range=value_range)
    bad: dict[str, str] = {}
    described = []
    for row in range(len(images)):
        image = images[row]
        if image.pixels is None:
            bad[image.name] = image.reason
            continue
        path, values = folder / image.name, image.pixels.numpy()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        height, width = values.shape[1:]
        described.append((str(path), digest, float(values.mean()), float(values.std()), int(width), int(height)))
    try:
        usable, _ = drop_bad(rows, bad, max_bad_fraction)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    columns = (FILE, DIGEST, *LOOKS)
    return usable.assign(**{column: [entry[i] for entry in described] for i, column in enumerate(columns)})


def file_names(rows: pd.DataFrame) -> pd.Series:
    """Return a name for each image that says what is in it: its digest, a number for others of the same bytes."""
    number = rows.groupby(DIGEST).cumcount()
    endings = rows[FILE].map(lambda path: Path(path).suffix)
    twice = np.where(number > 0, "-" + number.astype(str), "")
    return rows[DIGEST] + twice + endings
