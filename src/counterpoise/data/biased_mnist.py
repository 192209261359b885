"""Biased-MNIST: white digits on coloured backgrounds, each digit mostly on its own colour.

Bahng et al., "Learning De-biased Representations with Biased Representations" (ICML 2020), with a palette of our own:
ten colours far apart in CIELAB, all dark enough for white ink. The order of `PALETTE` is that of the digits, so that an
image is aligned if its colour's position is its label.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from counterpoise.data import biases, mnist
from counterpoise.data.boundary import LIMITS, Limits

COLOUR = "colour"
PALETTE: Mapping[str, tuple[int, int, int]] = {
    "red": (255, 0, 45),
    "orange": (255, 135, 0),
    "gold": (180, 180, 0),
    "green": (0, 195, 0),
    "sky": (0, 180, 225),
    "blue": (0, 0, 255),
    "magenta": (255, 0, 255),
    "brown": (135, 90, 0),
    "slate": (105, 105, 120),
    "maroon": (120, 0, 15),
}


def read(folder: Path, *, checksums: Mapping[str, str] | None = None, limits: Limits = LIMITS) -> pd.DataFrame:
    """Read which images there are, and offer each in its class's colour and in one other.

    Returns:
        `image`, `label` ("0" to "9"), `colour` (a key of `PALETTE`), `official_part`; rows as `biases.offer` has them.

    Raises:
        InputError: as `mnist.read`.
    """
    return biases.offer(mnist.read(folder, checksums=checksums, limits=limits), {COLOUR: tuple(PALETTE)}, mnist.DIGITS)


def render(pixels: UInt8[Tensor, "n 3 H W"], rows: pd.DataFrame) -> UInt8[Tensor, "n 3 H W"]:
    """Put the digits on the colours that the rows name."""
    return mnist.on_background(pixels, palette(PALETTE, rows[COLOUR])[:, :, None, None])


def palette(colours: Mapping[str, tuple[int, int, int]], names: pd.Series) -> UInt8[Tensor, "n 3"]:
    """Return the colours of that name."""
    return torch.tensor(list(colours.values()), dtype=torch.uint8)[biases.codes(names, tuple(colours))]
