"""CIFAR-10S: each image of CIFAR-10 in colour or in grey, so that the class can be guessed from the colour alone.

Wang et al., "Towards Fairness in Visual Recognition" (CVPR 2020). Which image is taken in which domain is drawn for
each replicate (`counterpoise.data.splitting.domains`): the table offers every image in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from counterpoise.data import cifar10
from counterpoise.data.class_folders import LABEL
from counterpoise.data.encode import OFFICIAL_PART
from counterpoise.data.images import IMAGE

DOMAIN = "domain"
DOMAINS = ("colour", "grey")

# Weights of red, green and blue in 2⁻¹⁶, as PIL has them (ITU-R 601-2 luma); they sum to one.
_LUMA = (19595, 38470, 7471)


def read(folder: Path, *, checksums: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read which images there are: first all of them in colour, then all of them in grey.

    Returns:
        `image`, `label`, `domain` (one of `DOMAINS`), `official_part`; within a domain in the order of `cifar10.read`.

    Raises:
        InputError: as `cifar10.read`.
    """
    table = cifar10.read(folder, checksums=checksums)
    both = pd.concat([table.assign(**{DOMAIN: domain}) for domain in DOMAINS], ignore_index=True)
    return both[[IMAGE, LABEL, DOMAIN, OFFICIAL_PART]]


def render(pixels: UInt8[Tensor, "n 3 H W"], rows: pd.DataFrame) -> UInt8[Tensor, "n 3 H W"]:
    """Return the images in the domains that the rows name."""
    in_grey = torch.tensor((rows[DOMAIN] == DOMAINS[1]).to_numpy(), dtype=torch.bool)
    shown = pixels.clone()
    shown[in_grey] = grey(pixels[in_grey])
    return shown


def grey(pixels: UInt8[Tensor, "*N 3 H W"]) -> UInt8[Tensor, "*N 3 H W"]:
    """Return the luma of each pixel, as PIL's mode "L" rounds it, in all three channels."""
    red, green, blue = (weight * channel for weight, channel in zip(_LUMA, pixels.int().unbind(-3), strict=True))
    luma = (red + green + blue + (1 << 15)) >> 16
    return luma.to(torch.uint8).unsqueeze(-3).expand(pixels.shape).clone()
