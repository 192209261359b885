"""Random crops and mirror images, the usual augmentation of small images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import pad

SHIFT = 8
"""An image is padded by its edge divided by this, and cut to its size again anywhere within: 4 pixels of 32."""


def crop_and_flip(x: UInt8[Tensor, "R B c h w"], generators: Sequence[torch.Generator]) -> UInt8[Tensor, "R B c h w"]:
    """Shift each image by up to an eighth of its edge, black beyond, and mirror half of them."""
    height, width = x.shape[-2:]
    most = height // SHIFT, width // SHIFT
    augmented = torch.empty_like(x)
    for r, generator in enumerate(generators):
        count = x.shape[1]
        down, right = (torch.randint(0, 2 * edge + 1, (count,), generator=generator) for edge in most)
        mirrored = torch.rand(count, generator=generator) < 0.5
        padded = pad(x[r], (most[1], most[1], most[0], most[0]))
        columns = torch.arange(width).where(~mirrored.unsqueeze(1), torch.arange(width).flip(0)) + right.unsqueeze(1)
        rows = torch.arange(height) + down.unsqueeze(1)
        image = torch.arange(count).view(-1, 1, 1)
        place = (tensor.to(x.device) for tensor in (image, rows.unsqueeze(2), columns.unsqueeze(1)))
        first, second, third = place
        augmented[r] = padded.permute(0, 2, 3, 1)[first, second, third].permute(0, 3, 1, 2)
    return augmented
