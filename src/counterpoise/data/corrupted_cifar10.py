"""Corrupted CIFAR-10: each class mostly under a corruption of its own.

Nam et al., "Learning from Failure: Training Debiased Classifier from Biased Classifier" (NeurIPS 2020). The order of
the corruptions is that of the classes, so that an image is aligned if its corruption's position is its label.

Their kinds are those of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (ICLR 2019); how each is computed, and its strengths, are our own, since the package that offers theirs
does not run with NumPy 2. Frost is drawn here, not photographed. Results are therefore comparable in kind with figures
on Corrupted CIFAR-10, not in degree.

Each image has a generator of its own, made from its name and the corruption: what it looks like depends neither on the
other images nor on their order. Apart from those draws a batch is computed at once. Lengths are in shares of the edge.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from counterpoise.data import biases, cifar10
from counterpoise.data.class_folders import require_classes
from counterpoise.data.images import IMAGE
from counterpoise.errors import InputError

SEVERITIES = range(1, 6)
Images = Float[Tensor, "n 3 H W"]
Field = Float[Tensor, "n 1 H W"]
Draw = Callable[[Callable[[np.random.Generator], np.ndarray]], Tensor]
"""Calls a function with each image's generator and stacks what it returns, float32 [n, …]."""

_FROST = (0.86, 0.93, 1.0)  # bluish white
_FOG = 0.85  # grey of the air
_WATER, _MUD = (0.75, 0.84, 0.9), (0.26, 0.17, 0.08)
_FLAKE = 0.9  # how much of what is behind it a flake hides
_FLAKES = 9  # edge of the kernel that flakes fall along, in pixels


def corrupt(
    pixels: UInt8[Tensor, "n 3 H W"], names: Sequence[str], corruption: str, *, severity: int
) -> UInt8[Tensor, "n 3 H W"]:
    """Return the images `names` under one corruption.

    Args:
        names: what identifies each; its generator is made from it.
        corruption: a key of `CORRUPTIONS`.
        severity: 1 to 5.
    """
    generators = [_generator(name, corruption) for name in names]

    def draw(one: Callable[[np.random.Generator], np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack([one(generator) for generator in generators]).astype(np.float32))

    corrupted = CORRUPTIONS[corruption](pixels.float() / 255, severity - 1, draw)
    return corrupted.clamp(0, 1).mul(255).round().to(torch.uint8)


def _generator(name: str, corruption: str) -> np.random.Generator:
    digest = hashlib.blake2b(f"{corruption}:{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


# -- weather -----------------------------------------------------------------------------------------------------------


def snow(images: Images, level: int, draw: Draw) -> Images:
    """Dim colours to a bright grey and let flakes of two sizes fall along one direction per image."""
    density, veil = ((0.012, 0.2), (0.018, 0.25), (0.024, 0.3), (0.03, 0.35), (0.04, 0.4))[level]
    height, width = images.shape[-2:]
    angle = draw(lambda generator: generator.uniform(-math.pi / 4, math.pi / 4, 1))[:, 0]
    flakes = draw(lambda generator: generator.random((2, height, width), dtype=np.float32))
    near, far = (flakes[:, [0]] < density / 3).float(), (flakes[:, [1]] < 2 * density).float()
    fallen = _along(near, angle) + 0.6 * far
    veiled = (1 - veil) * images + veil * (0.5 + 0.5 * _luma(images))
    return veiled + (1 - veiled) * fallen.clamp(0, _FLAKE)


def frost(images: Images, level: int, draw: Draw) -> Images:
    """Lay ice over the image: bright crystals with sharp ridges, thicker towards the edges."""
    cover = (0.32, 0.4, 0.48, 0.56, 0.65)[level]
    height, width = images.shape[-2:]
    crystals = 1 - (2 * _clouds(draw, height, width, slope=1.9) - 1).abs()  # bright where the field crosses its middle
    ridges = crystals**2 * (0.6 + 0.4 * _clouds(draw, height, width, slope=1.2))
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    rim = torch.maximum(x.abs(), y.abs()) ** 2
    thickness = cover * (0.85 * ridges + 0.35 * rim * crystals + 0.1).clamp(0, 1)
    dimmed = images * (1 - 0.3 * cover)
    return dimmed + thickness * (_colour(_FROST) - dimmed)


def fog(images: Images, level: int, draw: Draw) -> Images:
    """Let grey air come between: little in some places and much in others."""
    thickest = (0.45, 0.55, 0.65, 0.72, 0.8)[level]
    air = thickest * (0.55 + 0.45 * _clouds(draw, *images.shape[-2:], slope=1.8))
    return (1 - air) * images + air * _FOG


def spatter(images: Images, level: int, draw: Draw) -> Images:
    """Splash drops on the lens: of water up to severity 3, of mud above."""
    share, opacity = ((0.08, 0.6), (0.12, 0.65), (0.16, 0.7), (0.14, 0.9), (0.2, 0.95))[level]
    field = _smooth(_noise(draw, *images.shape[-2:]), 0.045 * images.shape[-1])
    threshold = field.flatten(1).quantile(1 - share, dim=1)[:, None, None, None]
    spread = field.std(dim=(-2, -1), keepdim=True)
    drops = opacity * ((field - threshold) / (0.25 * spread)).clamp(0, 1)
    splashed = _colour(_WATER if level < 3 else _MUD)
    return (1 - drops) * images + drops * splashed


# -- light and colour --------------------------------------------------------------------------------------------------


def brightness(images: Images, level: int, draw: Draw) -> Images:
    """Raise the value (HSV), the largest of the three channels, and keep hue and saturation."""
    value = images.amax(dim=1, keepdim=True)
    raised = (value + (0.1, 0.18, 0.26, 0.34, 0.42)[level]).clamp(max=1)
    return torch.where(value > 0, images * raised / value.clamp(min=1e-6), raised)


def contrast(images: Images, level: int, draw: Draw) -> Images:
    """Move each channel towards its mean over the image."""
    share = (0.7, 0.5, 0.4, 0.3, 0.2)[level]
    mean = images.mean(dim=(-2, -1), keepdim=True)
    return mean + share * (images - mean)


def saturate(images: Images, level: int, draw: Draw) -> Images:
    """Multiply the saturation (HSV) and keep hue and value; greys stay grey."""
    factor = (1.5, 2.0, 2.5, 3.0, 4.0)[level]
    value, low = images.amax(dim=1, keepdim=True), images.amin(dim=1, keepdim=True)
    saturation = (value - low) / value.clamp(min=1e-6)
    gain = (factor * saturation).clamp(max=1) / saturation.clamp(min=1e-6)
    return value - (value - images) * gain


# -- digital -----------------------------------------------------------------------------------------------------------


def elastic(images: Images, level: int, draw: Draw) -> Images:
    """Pull the image about: every point moves by a smooth random field."""
    length = (0.015, 0.022, 0.03, 0.04, 0.05)[level]  # root mean square of a point's way along an axis
    height, width = images.shape[-2:]
    noise = draw(lambda generator: generator.standard_normal((2, height, width), dtype=np.float32))
    field = _smooth(noise.flatten(0, 1)[:, None], 0.09 * width).view(len(images), 2, height, width)
    field = field / field.square().mean(dim=(-3, -2, -1), keepdim=True).sqrt()
    still = F.affine_grid(
        torch.eye(2, 3).expand(len(images), 2, 3), [len(images), 3, height, width], align_corners=False
    )
    moved = still + 2 * length * field.permute(0, 2, 3, 1)  # the grid runs from −1 to 1
    return F.grid_sample(images, moved, mode="bilinear", padding_mode="reflection", align_corners=False)


def jpeg(images: Images, level: int, draw: Draw) -> Images:
    """Compress to JPEG and decompress."""
    quality = (35, 25, 18, 12, 7)[level]
    channels_last = images.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    compressed = np.empty_like(channels_last)
    for image, target in zip(channels_last, compressed, strict=True):
        with io.BytesIO() as file:
            Image.fromarray(image).save(file, "JPEG", quality=quality)
            target[:] = np.asarray(Image.open(file))
    return torch.from_numpy(compressed).permute(0, 3, 1, 2).float() / 255


def pixelate(images: Images, level: int, draw: Draw) -> Images:
    """Average over fewer, larger pixels."""
    share = (0.75, 0.6, 0.5, 0.4, 0.3)[level]
    height, width = images.shape[-2:]
    few = F.interpolate(images, size=(max(1, round(share * height)), max(1, round(share * width))), mode="area")
    return F.interpolate(few, size=(height, width), mode="nearest-exact")


#: In the order of CIFAR-10's classes.
CORRUPTIONS: Mapping[str, Callable[[Images, int, Draw], Images]] = {
    "snow": snow,
    "frost": frost,
    "fog": fog,
    "brightness": brightness,
    "contrast": contrast,
    "spatter": spatter,
    "elastic": elastic,
    "jpeg": jpeg,
    "pixelate": pixelate,
    "saturate": saturate,
}


# -- fields ------------------------------------------------------------------------------------------------------------


def _colour(colour: tuple[float, float, float]) -> Float[Tensor, "3 1 1"]:
    return torch.tensor(colour)[:, None, None]


def _luma(images: Images) -> Field:
    return (images * _colour((0.299, 0.587, 0.114))).sum(dim=1, keepdim=True)


def _noise(draw: Draw, height: int, width: int) -> Field:
    """Draw independent standard normal values."""
    return draw(lambda generator: generator.standard_normal((1, height, width), dtype=np.float32))


def _smooth(field: Float[Tensor, "m 1 H W"], deviation: float) -> Float[Tensor, "m 1 H W"]:
    """Blur with a Gaussian whose deviation is in pixels; what is beyond the edge mirrors what is inside."""
    reach = max(1, min(math.ceil(3 * deviation), *(edge - 1 for edge in field.shape[-2:])))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    kernel /= kernel.sum()
    padded = F.pad(field, (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel[None, None, :, None]), kernel[None, None, None, :])


def _clouds(draw: Draw, height: int, width: int, *, slope: float) -> Field:
    """Draw a field whose amplitudes fall with frequency as f^−slope, from 0 to 1 in each image."""
    spectrum = torch.fft.rfft2(_noise(draw, height, width))
    y, x = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    frequency = (x**2 + y**2).sqrt()
    frequency[0, 0] = math.inf
    field = torch.fft.irfft2(spectrum * frequency**-slope, s=(height, width))
    low, high = field.amin(dim=(-2, -1), keepdim=True), field.amax(dim=(-2, -1), keepdim=True)
    return (field - low) / (high - low)


def _along(field: Field, angle: Float[Tensor, "n"]) -> Field:
    """Smear each image's field along a line, which leans from the vertical by `angle`; a point stays as bright."""
    at = torch.arange(_FLAKES) - _FLAKES // 2
    across = at[None, None, :] * angle.cos()[:, None, None] - at[None, :, None] * angle.sin()[:, None, None]
    along = at[None, None, :] * angle.sin()[:, None, None] + at[None, :, None] * angle.cos()[:, None, None]
    kernels = torch.exp(-((across / 0.6) ** 2) - (along / 1.6) ** 2)[:, None]
    kernels = kernels / kernels.amax(dim=(-2, -1), keepdim=True)
    return F.conv2d(field.transpose(0, 1), kernels, padding=_FLAKES // 2, groups=len(field)).transpose(0, 1)


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
