"""Readers: raw files in, one table out. One module per data set, and the steps that every table then takes.

`read` → `encode` (features, y, s) → `draw_splits` (which part each row belongs to, per replicate).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import Parameter, formatannotation, signature
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from counterpoise.data.boundary import LIMITS, Limits, decoding
from counterpoise.data.encode import encode
from counterpoise.data.splitting.shares import SPLITS, UNUSED, UNUSED_NAME, draw_splits
from counterpoise.errors import InputError, shown, suggest

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


def read(
    reader: str,
    folder: Path,
    *,
    limits: Limits = LIMITS,
    left_out: list[pd.DataFrame] | None = None,
    unused: Sequence[str] = (),
    treated: dict[str, dict[str, int]] | None = None,
    untreated: list[pd.DataFrame] | None = None,
    **options: object,
) -> pd.DataFrame:
    """Read a data set with the reader of that name.

    Args:
        reader: a key of `READERS`.
        limits: how large they may be; readers with an argument `limits` get it.
        left_out: gets the rows that miss a value, from readers that leave such rows out; columns as in the result.
        unused: columns that become no features, for readers that then keep rows that miss their values.
        treated: gets what a reader did about rows and gaps, and to how many: see `counterpoise.data.table.read`.
        untreated: gets the rows with the gaps that the files have, from readers that fill some.
        options: what that reader takes, such as `checksums` or `files`.

    Returns:
        One row per complete sample, original column names, index 0 to N−1; for images a column `image` with paths
        relative to `folder`.

    Raises:
        InputError: the reader or an option is unknown, an option is left out or of another type, or the files are not
            what was expected.
    """
    if reader not in READERS:
        raise InputError(f"reader: {reader!r} is unknown{suggest(reader, READERS)}, expected the name of a reader")
    function = _load(reader)
    parameters = dict(signature(function).parameters)
    context = {"limits": limits, "left_out": left_out, "unused": unused, "treated": treated, "untreated": untreated}
    accepted = {name: option for name, option in parameters.items() if name not in {"folder", *context}}
    for name in options:
        if name not in accepted:
            raise InputError(f"reader {reader!r}: the option {name!r} is unknown{suggest(name, accepted)}")
    for name, option in accepted.items():
        if option.default is Parameter.empty and name not in options:
            raise InputError(f"reader {reader!r}: the option {name!r} is missing, expected {option.annotation}")
    checked = {name: _checked(reader, function, name, value) for name, value in options.items()}
    with decoding(folder, f"files that the reader {reader!r} can read"):
        return function(folder, **checked, **{name: value for name, value in context.items() if name in parameters})


def _checked(reader: str, function: Callable[..., pd.DataFrame], name: str, value: object) -> Any:
    """Return an option's value as the type that the reader says."""
    try:
        return TypeAdapter(get_type_hints(function)[name]).validate_python(value, strict=True)
    except ValidationError as error:
        raise InputError(
            f"reader {reader!r}: the option {name!r} is {shown(value)}, expected "
            f"{_written(signature(function).parameters[name].annotation)}"
        ) from error


def _written(annotation: object) -> str:
    """Return a type as the source has it; a decorator may have put the type itself in the place of its name."""
    return annotation if isinstance(annotation, str) else formatannotation(annotation)


def _load(reader: str) -> Callable[..., pd.DataFrame]:
    module, _, name = READERS[reader].partition(":")
    function: Callable[..., pd.DataFrame] = getattr(import_module(module), name)
    return function
