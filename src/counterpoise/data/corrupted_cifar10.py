"""Corrupted CIFAR-10: each class mostly under a corruption of its own.

Nam et al., "Learning from Failure: Training Debiased Classifier from Biased Classifier" (NeurIPS 2020); for the
corruptions see `counterpoise.data.corruptions`. Their order there is that of the classes, so that an image is aligned
if its corruption's position is its label.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from counterpoise.data import biases, cifar10
from counterpoise.data.class_folders import require_classes
from counterpoise.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from counterpoise.data.images import IMAGE
from counterpoise.errors import InputError

CORRUPTION, SEVERITY = "corruption", "severity"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read(folder: Path, *, checksums: Mapping[str, str] | None = None, severity: int = 4) -> pd.DataFrame:
    """Read which images there are, and offer each under its class's corruption and under one other.

    Args:
        severity: of all corruptions, 1 to 5.

    Returns:
        `image`, `label`, `corruption` (a key of `CORRUPTIONS`), `official_part`, `severity`; rows as `biases.offer` has
        them.

    Raises:
        InputError: as `cifar10.read`; the classes are not CIFAR-10's, or the severity is none.
    """
    if severity not in SEVERITIES:
        raise InputError(f"severity: found {severity!r}, expected a whole number from 1 to {SEVERITIES[-1]}")
    table = cifar10.read(folder, checksums=checksums)
    require_classes(table, CLASSES, folder)
    return biases.offer(table, {CORRUPTION: tuple(CORRUPTIONS)}, CLASSES).assign(**{SEVERITY: severity})


def render(pixels: UInt8[Tensor, "n 3 H W"], rows: pd.DataFrame) -> UInt8[Tensor, "n 3 H W"]:
    """Corrupt each image as its row says."""
    shown = torch.empty_like(pixels)
    severity = int(rows[SEVERITY].iloc[0])  # one for all
    for corruption, members in rows.groupby(CORRUPTION).indices.items():
        which, names = torch.from_numpy(members), rows[IMAGE].iloc[members].tolist()
        shown[which] = corrupt(pixels[which], names, str(corruption), severity=severity)
    return shown
