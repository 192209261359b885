"""Images on disk: decoded to 8-bit RGB, lazily in worker processes, listed, checked, and left out where unusable.

A table of images has a column `image`, each entry a path relative to the data set's folder with "/" between its parts.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64, UInt8
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from counterpoise.data.boundary import LIMITS, Limits, require_at_most, require_size
from counterpoise.data.files import require_inside
from counterpoise.errors import InputError
from counterpoise.errors import reason as first_words

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

# Pillow warns of, or refuses, a number of pixels of its own; `boundary.Limits.image_pixels` takes its place.
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


IMAGE = "image"
MAX_BAD_FRACTION = 0.001
EXAMPLES = 20  # how many images a report names
FIRST_NAMES = 3  # how many an error or a log line names
SUFFIXES = (".jpg", ".jpeg", ".png")

_log = logging.getLogger(__name__)


class Decoded(NamedTuple):
    """One image of the data set. `pixels` is None where the file cannot be decoded, and `reason` says why."""

    row: int
    name: str
    pixels: Tensor | None
    reason: str


class Batch(NamedTuple):
    """The images of a batch that could be decoded, and the ones that could not.

    `rows` [n] are their positions in the table; `pixels` is [n, 3, H, W] with channels last in memory, or [0] when no
    image of the batch could be decoded; `bad` maps the name of every other image to the reason.
    """

    rows: Int64[Tensor, " n"]
    pixels: Tensor
    bad: dict[str, str]


class ImageFiles(Dataset[Decoded]):
    """The images `names` under `folder`, decoded to uint8 RGB when asked for.

    `transform` (resize, crop, normalise) runs on [3, H, W] in the worker process; `max_pixels` and `value_range` are as
    `decode` takes them. An image that cannot be decoded is an item without pixels, never an exception, so that one bad
    file does not end a run of hours: give `collate` to the DataLoader, which counts them. An error in `transform` is a
    mistake in the program and is raised.

    Raises:
        InputError: a name leads out of the folder.
    """

    def __init__(
        self,
        folder: Path,
        names: Iterable[str],
        transform: Callable[[Tensor], Tensor] | None = None,
        *,
        max_pixels: int = LIMITS.image_pixels,
        value_range: Range | None = None,
    ) -> None:
        self.folder = folder
        # One array instead of a list of str: worker processes share its pages instead of copying them object by object.
        self.names = np.asarray(list(names), dtype=np.str_)
        self.transform = transform
        self._decode = partial(decode, max_pixels=max_pixels, value_range=value_range)
        require_inside(folder, self.names.tolist())

    @property
    def decoding(self) -> str:
        """What the pixels depend on beside the files: part of the key under which anything computed of them is kept."""
        return f"{VERSION} {self._decode.keywords}"

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> Decoded:
        name = str(self.names[row])
        try:
            pixels = self._decode(self.folder / name)
        except Exception as error:  # decoders of damaged files raise nearly anything: OSError, SyntaxError, ValueError
            return Decoded(row, name, None, reason(error))
        return Decoded(row, name, self.transform(pixels) if self.transform else pixels, "")


def reason(error: Exception) -> str:
    """Say in a few words why decoding failed; without the path, which the report names already."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_words(error)


def collate(items: Sequence[Decoded]) -> Batch:
    """Stack what was decoded and count what was not. Raises InputError if the images differ in size."""
    good = [item for item in items if item.pixels is not None]
    shapes = {tuple(item.pixels.shape): item.name for item in good if item.pixels is not None}
    if len(shapes) > 1:
        (one, first), (two, second) = list(shapes.items())[:2]
        raise InputError(
            f"images: {first!r} is {list(one)} and {second!r} is {list(two)}, expected one size: give one to resize to"
        )
    return Batch(
        rows=torch.tensor([item.row for item in good], dtype=torch.int64),
        pixels=_stack([item.pixels for item in good if item.pixels is not None]),
        bad={item.name: item.reason for item in items if item.pixels is None},
    )


def _stack(pixels: list[Tensor]) -> Tensor:
    """Stack to [n, 3, H, W], channels last in memory, as decoders deliver it and convolutions like it."""
    if not pixels:
        return torch.empty(0, dtype=torch.uint8)
    return torch.stack([image.permute(1, 2, 0) for image in pixels]).permute(0, 3, 1, 2)


def list_images(folder: Path, under: str) -> list[str]:
    """Name every image file in `folder/under` and below, relative to `folder`, sorted."""
    listed = []
    for parent, _, names in os.walk(folder / under):
        within = Path(parent).relative_to(folder).as_posix()  # once: paths of 100,000 files take seconds
        prefix = "" if within == "." else f"{within}/"
        listed += [f"{prefix}{name}" for name in names if name.lower().endswith(SUFFIXES)]
    return sorted(listed)


def check_images(table: pd.DataFrame, folder: Path) -> dict[str, str]:
    """Map every image that `table` names and `folder` does not hold to the reason. Opens no file: see `ImageFiles`."""
    names = [str(name) for name in table[IMAGE]]
    present: set[str] = set()
    for parent in {name.rpartition("/")[0] for name in names}:
        if (folder / parent).is_dir():
            prefix = f"{parent}/" if parent else ""
            present.update(f"{prefix}{entry.name}" for entry in os.scandir(folder / parent) if entry.is_file())
    return {name: os.strerror(errno.ENOENT) for name in names if name not in present}


def check_unlabelled(
    table: pd.DataFrame, folder: Path, under: str, *, rows: str, max_fraction: float = MAX_BAD_FRACTION
) -> list[str]:
    """Name the image files in `folder/under` that have no row in `table`, which is all of them that can be told.

    `rows` is the file the rows come from, for the messages. A few are left out with a line in the log.
    Raises InputError when they are more than `max_fraction` of the image files, or a row's image lies outside `folder`.
    """
    require_inside(folder, table[IMAGE], source=rows)
    images = list_images(folder, under)
    unlabelled = sorted(set(images).difference(table[IMAGE]))
    if unlabelled:
        paths = (
            f"{folder / under}: {len(unlabelled)} of {len(images)} images have no row in {rows} ({_first(unlabelled)})"
        )
        if len(unlabelled) > max_fraction * len(images):
            raise InputError(f"{paths}, expected at most {max_fraction:.2%} to leave out (max_bad_fraction)")
        _log.warning("%s: left out", paths)
    return unlabelled


@dataclass(frozen=True)
class BadImages:
    """What `drop_bad` left out: `dropped` of `total` images, and the reason for up to 20 of them by name."""

    total: int
    dropped: int
    examples: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON and for MLflow."""
        return {"total": self.total, "dropped": self.dropped, "examples": dict(self.examples)}


def drop_bad(
    table: pd.DataFrame, bad: Mapping[str, str], max_fraction: float = MAX_BAD_FRACTION
) -> tuple[pd.DataFrame, BadImages]:
    """Leave the images in `bad` (name: reason) out of `table` and report them.

    Returns the remaining rows in their order, numbered anew, and the report.
    Raises InputError when more than `max_fraction` of the rows would go.
    """
    unusable = table[IMAGE].isin(list(bad))
    names = [str(name) for name in table.loc[unusable, IMAGE]]
    if len(names) > max_fraction * len(table):
        reasons = [f"{name}: {bad[name]}" for name in names]
        raise InputError(
            f"{len(names)} of {len(table)} images cannot be used ({_first(reasons)}), "
            f"expected at most {max_fraction:.2%} to leave out (max_bad_fraction)"
        )
    report = BadImages(len(table), len(names), {name: bad[name] for name in names[:EXAMPLES]})
    return table.loc[~unusable].reset_index(drop=True), report


def require_varied(table: pd.DataFrame, columns: Iterable[str], *, source: str) -> None:
    """Raise InputError if one of the chosen `columns` has one value in all rows: nothing can be learnt from it."""
    for column in columns:
        if table[column].nunique(dropna=False) == 1:
            value = table[column].iloc[0]
            raise InputError(f"{source}: column {column!r} is {value} in all {len(table)} rows, expected it to vary")


def read_lines(path: Path, *, source: str, limits: Limits = LIMITS) -> list[str]:
    """Read the lines of an attribute file. `source` says how to get it, for the error when it is absent.

    Raises InputError if it is absent, larger than `limits.file_bytes`, or not text in UTF-8.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; {source}")
    require_size(path, limits)
    try:
        return path.read_text(encoding="utf-8").rstrip("\n").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a text file in UTF-8, as byte {error.start} shows, expected the official file"
        ) from error


def require_folder(folder: Path, *, source: str) -> None:
    """Raise InputError, with `source` saying how to get them, when the folder of the images is absent."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {source}")


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:FIRST_NAMES]) + (", …" if len(names) > FIRST_NAMES else "")
