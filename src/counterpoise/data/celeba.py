"""CelebA: celebrity faces with forty attributes (Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015).

The folder holds the official files as they come: `img_align_celeba/`, `list_attr_celeba.txt` and, where the official
partition is asked for, `list_eval_partition.txt`. They may describe the full set of 202,599 images or any part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise.data import files
from counterpoise.data.boundary import LIMITS, Limits
from counterpoise.data.images import IMAGE, MAX_BAD_FRACTION, check_unlabelled, read_lines, require_folder
from counterpoise.errors import InputError, shorten, shown, suggest

IMAGES = "img_align_celeba"
ATTRIBUTES = "list_attr_celeba.txt"
PARTITION = "list_eval_partition.txt"
PARTITIONS = {"train": "0", "validation": "1", "test": "2"}


def how_to_get(folder: Path) -> str:
    """Say what to download, from where, under which terms, and where to put it."""
    return (
        f"download {IMAGES}.zip, {ATTRIBUTES} and {PARTITION} from mmlab.ie.cuhk.edu.hk/projects/CelebA.html (for "
        f"non-commercial research only, no redistribution), unpack the images, and put all three into {folder}"
    )


def read(
    folder: Path,
    *,
    checksums: Mapping[str, str] | None = None,
    partition: str | None = None,
    max_bad_fraction: float = MAX_BAD_FRACTION,
    limits: Limits = LIMITS,
) -> pd.DataFrame:
    """Read the attributes: one row per line of the attribute file, in its order.

    Args:
        partition: train, validation or test keeps the rows of that official part; None keeps all, without that file.
        max_bad_fraction: the share of the images that may have no row; those are left out, with a line in the log.

    Returns:
        `image` (path relative to `folder`) and every attribute as 0 or 1 (int8). Rows whose image is absent are kept:
        `images.check_images` names them and `images.drop_bad` decides.

    Raises:
        InputError: a file is absent, altered or malformed (in which line), or too many images have no row.
    """
    source = how_to_get(folder)
    if checksums:
        files.verify(folder, checksums, source=source)
    table = _attributes(folder / ATTRIBUTES, source, limits)
    require_folder(folder / IMAGES, source=source)
    check_unlabelled(table, folder, IMAGES, rows=ATTRIBUTES, max_fraction=max_bad_fraction)
    if partition is None:
        return table
    parts = _partition(folder / PARTITION, source, limits)
    return table[_in_part(table, parts, partition, folder / PARTITION)].reset_index(drop=True)


def _attributes(path: Path, source: str, limits: Limits) -> pd.DataFrame:
    """Parse line 1, the number of images, line 2, the attributes' names, and then a name and ±1 for each of them."""
    lines = read_lines(path, source=source, limits=limits)
    if len(lines) < 2 or not lines[0].strip().isdecimal():
        raise InputError(f"{path} must begin with the number of images, and the attributes' names on line 2")
    number_of_images = lines[0].strip().lstrip("0")  # a text: Python reads no number of thousands of digits
    columns = lines[1].split()
    if len(set(columns)) < len(columns):
        raise InputError(f"{path}, line 2: names an attribute twice, expected distinct names")
    names: dict[str, None] = {}
    flags = bytearray()  # one byte for each attribute of each image: 200,000 rows take 8 MB
    for number, line in enumerate(lines[2:], start=3):
        name, *values = line.split() or [""]
        if len(values) != len(columns):
            raise InputError(
                f"{path}, line {number}: has {len(values)} values, expected {len(columns)} as line 2 names"
            )
        if not {"1", "-1"}.issuperset(values):
            wrong = next(value for value in values if value not in {"1", "-1"})
            raise InputError(f"{path}, line {number}: holds {shown(wrong)}, expected 1 or -1")
        if name in names:
            raise InputError(
                f"{path}, line {number}: names {shorten(name)} a second time, expected one row for each image"
            )
        names[name] = None
        flags += bytes(map("1".__eq__, values))
    if str(len(names)) != number_of_images:
        raise InputError(
            f"{path}: holds {len(names)} rows, expected {shorten(number_of_images)}, the number on its first line"
        )
    table = pd.DataFrame(np.frombuffer(flags, dtype=np.int8).reshape(len(names), len(columns)), columns=columns)
    table.insert(0, IMAGE, [f"{IMAGES}/{name}" for name in names])
    return table


def _partition(path: Path, source: str, limits: Limits) -> dict[str, str]:
    """Parse lines of an image's name and 0, 1 or 2."""
    parts: dict[str, str] = {}
    for number, line in enumerate(read_lines(path, source=source, limits=limits), start=1):
        name, *code = line.split() or [""]
        if len(code) != 1 or code[0] not in PARTITIONS.values():
            raise InputError(
                f"{path}, line {number}: reads {shown(line.strip())}, expected an image's name and 0, 1 or 2"
            )
        parts[f"{IMAGES}/{name}"] = code[0]
    return parts


def _in_part(table: pd.DataFrame, parts: Mapping[str, str], partition: str, path: Path) -> pd.Series:
    if partition not in PARTITIONS:
        raise InputError(f"partition: {partition!r} is unknown{suggest(partition, PARTITIONS)}")
    part = table[IMAGE].map(parts)
    if part.isna().any():
        raise InputError(
            f"{path}: no line for {table.loc[part.isna(), IMAGE].iloc[0]}, expected one as {ATTRIBUTES} names it"
        )
    inside = part == PARTITIONS[partition]
    if not inside.any():
        raise InputError(
            f"{path}: puts none of the {len(table)} images into the {partition} part, expected at least one"
        )
    return inside
