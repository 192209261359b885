"""Readers: raw files in, one table out. One module per data set, and the steps that every table then takes.

`read` → `encode` (features, y, s) → `draw_splits` (which part each row belongs to, per replicate).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path

import pandas as pd

from counterpoise.data.boundary import decoding
from counterpoise.data.encode import encode
from counterpoise.data.limits import LIMITS, Limits
from counterpoise.data.splits import SPLITS, UNUSED, UNUSED_NAME, draw_splits
from counterpoise.errors import InputError, suggest

__all__ = [
    "IMAGES",
    "LIMITS",
    "READERS",
    "SPLITS",
    "TABLES",
    "UNUSED",
    "UNUSED_NAME",
    "Limits",
    "draw_splits",
    "encode",
    "read",
]

#: Readers of tables by name: where each function is. Loaded on use, so that a table never waits for an image library.
TABLES: dict[str, str] = {
    "adult": "counterpoise.data.adult:read",
    "compas": "counterpoise.data.compas:read",
    "table": "counterpoise.data.table:read",
}
#: Readers of images. Their tables have a column `image`, the path, in place of features.
IMAGES: dict[str, str] = {
    "biased_mnist": "counterpoise.data.biased_mnist:read",
    "celeba": "counterpoise.data.celeba:read",
    "cifar10s": "counterpoise.data.cifar10s:read",
    "corrupted_cifar10": "counterpoise.data.corrupted_cifar10:read",
    "image_table": "counterpoise.data.image_table:read",
    "lfwa": "counterpoise.data.lfw:read",
    "multicolor_mnist": "counterpoise.data.multicolor_mnist:read",
}
READERS = TABLES | IMAGES


def read(reader: str, folder: Path, *, limits: Limits = LIMITS, **options: object) -> pd.DataFrame:
    """Read a data set with the reader of that name.

    Args:
        reader: a key of `READERS`.
        folder: where the raw files are.
        limits: how large they may be; readers with an argument `limits` get it.
        options: what that reader takes, such as `checksums` or `files`.

    Returns:
        One row per complete sample, original column names, index 0 to N−1; for images a column `image` with paths
        relative to `folder`.

    Raises:
        InputError: the reader or an option is unknown, an option is left out, or the files are not what was expected.
    """
    if reader not in READERS:
        raise InputError(f"reader: {reader!r} is unknown{suggest(reader, READERS)}, expected the name of a reader")
    function = _load(reader)
    known = dict(signature(function).parameters)
    if "limits" in known:
        options = {**options, "limits": limits}
    del known["folder"]
    for name in options:
        if name not in known:
            raise InputError(f"reader {reader!r}: the option {name!r} is unknown{suggest(name, known)}")
    for name, option in known.items():
        if option.default is Parameter.empty and name not in options:
            raise InputError(f"reader {reader!r}: the option {name!r} is missing, expected {option.annotation}")
    with decoding(folder, f"files that the reader {reader!r} can read"):
        return function(folder, **options)


def _load(reader: str) -> Callable[..., pd.DataFrame]:
    module, _, name = READERS[reader].partition(":")
    function: Callable[..., pd.DataFrame] = getattr(import_module(module), name)
    return function
