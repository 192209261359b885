"""Drawn images in folders of CIFAR-10's classes: CIFAR-10S runs with nothing downloaded.

Each class is a shape, which a network has to learn, in a colour that is typical of the class, which it may learn
instead where it sees colours. Size, place, turn, background and noise vary.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from counterpoise.data.class_folders import PARTS
from counterpoise.data.generate.folders import write_once
from counterpoise.errors import InputError

VERSION = 1  # of the drawings: raise it when they change, so that folders written by an older version are redrawn
SIZE = 32
SCALE = 4  # drawn at four times the size, then reduced: smooth edges
NOISE = 12  # largest deviation of a pixel, in grey levels
TINT = 45.0  # standard deviation of a colour around its class's, in grey levels

Outline = NDArray[np.float64]  # points, [n, 2], in units of the shape's radius


def _polygon(corners: int, inner: float = 1.0) -> Outline:
    """A regular polygon; with `inner` below 1 every second corner is nearer to the middle: a star."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radii = np.where(np.arange(corners) % 2, inner, 1.0)
    return radii[:, None] * np.stack([np.sin(angles), -np.cos(angles)], axis=1)


def _box(width: float, height: float) -> Outline:
    return np.array([(-width, -height), (width, -height), (width, height), (-width, height)])


_PLUS = np.array([(-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3)])  # half of a plus sign

#: Class → its typical colour and the outline that stands for it.
SHAPES: dict[str, tuple[tuple[int, int, int], Outline]] = {
    "airplane": ((120, 170, 230), _polygon(3)),
    "automobile": ((200, 50, 50), _box(1.0, 0.45)),
    "bird": ((90, 140, 80), _polygon(10, 0.4)),
    "cat": ((190, 130, 70), _polygon(48)),
    "deer": ((140, 100, 60), np.concatenate([_PLUS, -_PLUS])),
    "dog": ((220, 190, 120), _box(0.8, 0.8)),
    "frog": ((70, 180, 60), _polygon(6)),
    "horse": ((110, 60, 40), _box(0.25, 1.0)),
    "ship": ((60, 90, 180), _polygon(48) * (1.0, 0.5)),
    "truck": ((230, 120, 40), _polygon(8, 0.3)),
}


def write_cifar10(folder: Path, *, train: int = 60, test: int = 20, size: int = SIZE, seed: int = 0) -> None:
    """Write `train` and `test` images of each class as PNG files of `size` pixels, in `<part>/<class>/`.

    The same arguments give the same bytes, image i of a class does not depend on how many there are, and a folder that
    already holds them is left alone.

    Raises:
        InputError: no image is asked for, or `folder` holds anything else: real data are never overwritten.
    """
    if min(train, test) < 1:
        raise InputError(f"train, test: found {train} and {test}, expected at least one generated image of each class")

    def write(into: Path) -> None:
        for part, (name, count) in enumerate(zip(PARTS, (train, test), strict=True)):
            for label, (kind, (colour, outline)) in enumerate(SHAPES.items()):
                there = into / name / kind
                there.mkdir(parents=True)
                for number in range(count):
                    generator = np.random.default_rng([seed, part, label, number])
                    draw_shape(outline, colour, generator, size).save(there / f"{number:04d}.png")

    write_once(folder, write, drawn_by=__name__, version=VERSION, train=train, test=test, size=size, seed=seed)


def draw_shape(
    outline: Outline, colour: tuple[int, int, int], generator: np.random.Generator, size: int
) -> Image.Image:
    """Draw a shape in a tint of `colour`, at a place, size and turn that are drawn too."""
    canvas = Image.new("RGB", (SCALE * size, SCALE * size), _rgb(generator.normal(128, 50, 3)))
    turn = generator.normal(0, 0.15)
    rotation = np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
    radius, place = generator.uniform(0.28, 0.4), generator.normal(0.5, 0.04, 2)
    points = SCALE * size * (radius * outline @ rotation.T + place)
    ImageDraw.Draw(canvas).polygon(points.ravel().tolist(), fill=_rgb(generator.normal(colour, TINT)))
    pixels = np.array(canvas.reduce(SCALE), dtype=np.int16)
    pixels += generator.integers(-NOISE, NOISE + 1, pixels.shape, dtype=np.int16)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _rgb(values: NDArray[np.float64]) -> tuple[int, int, int]:
    red, green, blue = np.clip(values, 0, 255).astype(int).tolist()
    return red, green, blue
