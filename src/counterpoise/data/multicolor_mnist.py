"""Multi-Color MNIST: white digits on backgrounds whose left and right halves have colours of their own: two biases.

Li, Hoogs and Xu, "Discover and Mitigate Unknown Biases with Debiasing Alternate Networks" (ECCV 2022), with palettes of
our own. The left one is Biased-MNIST's; no colour is in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from counterpoise.data import biased_mnist, biases, mnist
from counterpoise.data.boundary import LIMITS, Limits

LEFT, RIGHT = "left", "right"
LEFT_PALETTE = biased_mnist.PALETTE
RIGHT_PALETTE: Mapping[str, tuple[int, int, int]] = {
    "mauve": (180, 75, 165),
    "forest": (0, 30, 0),
    "sage": (165, 180, 120),
    "azure": (0, 105, 255),
    "ink": (15, 15, 60),
    "pink": (240, 150, 150),
    "bottle": (0, 105, 0),
    "navy": (0, 0, 120),
    "lilac": (165, 165, 255),
    "rose": (255, 0, 135),
}


def read(folder: Path, *, checksums: Mapping[str, str] | None = None, limits: Limits = LIMITS) -> pd.DataFrame:
    """Read which images there are, and offer each in four renderings: either half aligned or conflicting.

    Returns:
        `image`, `label` ("0" to "9"), `left` and `right` (keys of their palettes), `official_part`; rows as
        `biases.offer` has them.

    Raises:
        InputError: as `mnist.read`.
    """
    halves = {LEFT: tuple(LEFT_PALETTE), RIGHT: tuple(RIGHT_PALETTE)}
    return biases.offer(mnist.read(folder, checksums=checksums, limits=limits), halves, mnist.DIGITS)


def render(pixels: UInt8[Tensor, "n 3 H W"], rows: pd.DataFrame) -> UInt8[Tensor, "n 3 H W"]:
    """Put the digits on the two colours that the rows name; of an odd width the middle column is on the right."""
    left = biased_mnist.palette(LEFT_PALETTE, rows[LEFT])[:, :, None, None]
    right = biased_mnist.palette(RIGHT_PALETTE, rows[RIGHT])[:, :, None, None]
    on_the_left = torch.arange(pixels.shape[-1]) < pixels.shape[-1] // 2
    return mnist.on_background(pixels, torch.where(on_the_left, left, right))
