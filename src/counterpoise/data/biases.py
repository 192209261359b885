"""Images whose classes a bias gives away: each is offered in its class's value of the bias and in one other value.

A bias (a background colour, a corruption) has one value for each class, in the order of the classes: an image is
*aligned* with it if it is shown in its own class's value, and *conflicting* otherwise. Which rendering a replicate uses
is drawn with its split (`counterpoise.data.splitting.aligned`); which other value an image has is drawn once, here.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int

from counterpoise.data.class_folders import LABEL, PARTS
from counterpoise.data.encode import OFFICIAL_PART
from counterpoise.data.images import IMAGE

_STREAM = zlib.crc32(b"biases")


def offer(images: pd.DataFrame, biases: Mapping[str, Sequence[str]], classes: Sequence[str]) -> pd.DataFrame:
    """Give each image 2^B rows: aligned or conflicting with each of the B biases.

    Within a class and official part each of the other values is the conflicting one equally often, up to one image;
    with two biases each pair of other values too. The draw depends on the order of the images alone.

    Args:
        images: `image`, `label`, `official_part`.
        biases: column → its values, in the order of `classes`.

    Returns:
        `image`, `label`, a column for each bias, `official_part`: first all images aligned with all biases, last all
        images conflicting with all of them; within that in the given order.
    """
    label = images[LABEL].map({name: code for code, name in enumerate(classes)}).to_numpy(dtype=np.int64)
    part = images[OFFICIAL_PART].map({name: code for code, name in enumerate(PARTS)}).to_numpy(dtype=np.int64)
    other = np.empty((len(biases), len(images)), dtype=np.int64)
    for cell in itertools.product(range(len(PARTS)), range(len(classes))):
        members = np.flatnonzero((part == cell[0]) & (label == cell[1]))
        other[:, members] = _others(len(members), cell[1], len(classes), len(biases), [_STREAM, *cell])
    offered = []
    for conflicting in itertools.product((False, True), repeat=len(biases)):
        shown = {
            column: np.asarray(values, dtype=object)[other[bias] if conflicting[bias] else label]
            for bias, (column, values) in enumerate(biases.items())
        }
        offered.append(images.assign(**shown))
    table = pd.concat(offered, ignore_index=True)[[IMAGE, LABEL, *biases, OFFICIAL_PART]]
    return table.astype(dict.fromkeys(biases, "str"))


def codes(column: pd.Series, values: Sequence[str]) -> Int[np.ndarray, "N"]:
    """Return each row's position in `values`."""
    return column.map({value: code for code, value in enumerate(values)}).to_numpy(dtype=np.int64, copy=True)


def _others(n: int, aligned: int, values: int, biases: int, stream: list[int]) -> Int[np.ndarray, "B n"]:
    """Draw `n` values other than `own` for each bias.

    In every run of `values` − 1 images each bias has each other value once, and the second bias lags one further behind
    the first in each run: prefixes of any length are balanced singly and in pairs.
    """
    generator = np.random.default_rng(stream)
    count = values - 1
    turn = np.arange(n)
    rest = np.delete(np.arange(values), aligned)
    drawn = [generator.permutation(rest)[(turn + bias * (turn // count)) % count] for bias in range(biases)]
    return np.stack(drawn)[:, generator.permutation(n)]
