"""What a backbone expects of an image: resized, cropped, normalised, as its weights were trained."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

WHITE = 255.0
"""The largest value of an 8-bit pixel; means and deviations are given in units of it."""


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop and normalisation, in two steps so that only bytes travel between processes.

    `frame` belongs where images are decoded and stays in 8 bits; `normalize` belongs where the network runs.

    Attributes:
        resize: length of the shorter edge after resizing, in pixels; None stretches the whole image to the square.
        crop: edge S of the square cut from the middle, in pixels.
        mean, std: per channel (red, green, blue), in units of white.
        interpolation: `bilinear` or `bicubic`, antialiased.
    """

    resize: int | None
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"

    def scaled(self, size: int) -> Preprocessing:
        """Return the same for images of edge `size`: the same part of each image, seen more or less finely."""
        return replace(self, resize=self.resize and round(self.resize * size / self.crop), crop=size)

    def frame(self, image: UInt8[Tensor, "3 H W"]) -> UInt8[Tensor, "3 S S"]:
        """Resize and crop one image, as torchvision does, without the seconds that each process takes to import it."""
        height, width = image.shape[1:]
        if self.resize is None:
            size = (self.crop, self.crop)
        else:
            shorter = min(height, width)
            size = (self.resize * height // shorter, self.resize * width // shorter)
        resized = interpolate(image[None], size, mode=self.interpolation, align_corners=False, antialias=True)[0]
        top, left = (round((length - self.crop) / 2) for length in size)
        return resized[:, top : top + self.crop, left : left + self.crop]

    def normalize(self, images: UInt8[Tensor, "B 3 S S"]) -> Float[Tensor, "B 3 S S"]:
        """Return (images / white − mean) / std, channels last in memory, which is how convolutions are fastest."""
        mean = torch.tensor(self.mean, device=images.device).mul_(WHITE)[:, None, None]
        std = torch.tensor(self.std, device=images.device).mul_(WHITE)[:, None, None]
        return images.to(torch.float32, memory_format=torch.channels_last).sub_(mean).div_(std)
