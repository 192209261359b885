"""LFW+a: Labeled Faces in the Wild, deep-funneled (Huang et al. 2012), and scored attributes (Kumar et al., ICCV 2009).

The folder holds `lfw-deepfunneled/<Person_Name>/<Person_Name>_0001.jpg` and `lfw_attributes.txt`, both as they come.
An attribute is present when its classifier's score is above zero. Nine of the 13,233 images may have no row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise.data import files
from counterpoise.data.boundary import LIMITS, Limits
from counterpoise.data.images import IMAGE, MAX_BAD_FRACTION, check_unlabelled, read_lines, require_folder
from counterpoise.errors import InputError, reason, shorten, shown

IMAGES = "lfw-deepfunneled"
ATTRIBUTES = "lfw_attributes.txt"
KEY = ["person", "imagenum"]
COMMENT = "#"
_DIGITS = 9  # of an image's number: nobody has a milliard


def how_to_get(folder: Path) -> str:
    """Say what to download, from where, under which terms, and where to put it."""
    return (
        f"download {IMAGES}.tgz from vis-www.cs.umass.edu/lfw and {ATTRIBUTES} from "
        f"www.cs.columbia.edu/CAVE/databases/pubfig (for research; the pictures' copyright stays with their owners), "
        f"unpack the images, and put both into {folder}"
    )


def read(
    folder: Path,
    *,
    checksums: Mapping[str, str] | None = None,
    max_bad_fraction: float = MAX_BAD_FRACTION,
    limits: Limits = LIMITS,
) -> pd.DataFrame:
    """Read the attributes: one row per line of the attribute file, in its order.

    Args:
        max_bad_fraction: the share of the images that may have no row; those are left out, with a line in the log.

    Returns:
        `image` (path relative to `folder`) and every attribute as int8: 1 where its score is above zero, else 0. Rows
        whose image is absent are kept: `images.check_images` names them and `images.drop_bad` decides.

    Raises:
        InputError: a file is absent, altered or malformed (in which line), or too many images have no row.
    """
    source = how_to_get(folder)
    if checksums:
        files.verify(folder, checksums, source=source)
    table = _attributes(folder / ATTRIBUTES, source, limits)
    require_folder(folder / IMAGES, source=source)
    check_unlabelled(table, folder, IMAGES, rows=ATTRIBUTES, max_fraction=max_bad_fraction)
    return table


def image_path(person: str, number: int) -> str:
    """Name the file of a person's n-th image: `("AJ Cook", 1)` is `lfw-deepfunneled/AJ_Cook/AJ_Cook_0001.jpg`."""
    name = "_".join(person.split())
    return f"{IMAGES}/{name}/{name}_{number:04d}.jpg"


def _attributes(path: Path, source: str, limits: Limits) -> pd.DataFrame:
    """Parse tab-separated lines of a person, the image's number, and a score for each attribute the comment names."""
    lines = read_lines(path, source=source, limits=limits)
    columns = _columns(lines, path)
    names: dict[str, None] = {}
    scores: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        if line.startswith(COMMENT):
            continue
        person, _, rest = line.partition("\t")
        image, *values = rest.split("\t")
        if not image.isdecimal() or len(image) > _DIGITS or len(values) != len(columns):
            raise InputError(
                f"{path}, line {number}: has {len(values)} scores after {shown(person)} and {shown(image)}, expected "
                f"a person, the image's number and {len(columns)} scores, separated by tabs"
            )
        name = image_path(person, int(image))
        if name in names:
            raise InputError(
                f"{path}, line {number}: names image {image} of {shorten(person)} a second time, expected one row each"
            )
        names[name] = None
        scores.append(_numbers(values, f"{path}, line {number}"))
    if not names:
        raise InputError(f"{path}: found no row, expected one for each image")
    table = pd.DataFrame((np.array(scores) > 0).astype(np.int8), columns=columns)
    table.insert(0, IMAGE, list(names))
    return table


def _columns(lines: Sequence[str], path: Path) -> list[str]:
    """Find the comment line `#, person, imagenum, <attributes>` and return the attributes' names."""
    for line in lines:
        fields = line.split("\t")
        if fields[0] == COMMENT and fields[1:3] == KEY:
            if len(set(fields)) < len(fields):
                raise InputError(f"{path}: names an attribute twice, expected distinct names")
            return fields[3:]
    raise InputError(
        f"{path}: no line names the columns, expected one with '#', 'person', 'imagenum' and the attributes"
    )


def _numbers(values: Sequence[str], where: str) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except ValueError as error:
        raise InputError(
            f"{where}: holds a score that is not a number ({reason(error)}), expected one as 1.9279"
        ) from error
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"{where}: holds a score that is not finite, expected one as 1.9279")
    return numbers
