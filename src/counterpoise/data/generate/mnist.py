"""Drawn digits in MNIST's files (IDX, where torchvision puts them): rendered digits with nothing downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from counterpoise.data.class_folders import PARTS
from counterpoise.data.generate.drawing import Curve, ring
from counterpoise.data.generate.folders import write_once
from counterpoise.data.mnist import RAW, STEMS
from counterpoise.errors import InputError

VERSION = 1  # of the drawings: raise it when they change, so that folders written by an older version are redrawn
SIZE = 28
SCALE = 4  # drawn at four times the size, then reduced: smooth edges


def _line(*points: tuple[float, float]) -> Curve:
    return np.array(points)


#: Digit → the strokes of the pen, in units of the picture's edge from its middle.
STROKES: tuple[tuple[Curve, ...], ...] = (
    (ring(0.0, 0.0, 0.19, 0.32),),
    (_line((-0.12, -0.2), (0.03, -0.33), (0.03, 0.33)),),
    (_line((-0.2, -0.18), (-0.12, -0.3), (0.03, -0.33), (0.18, -0.24), (0.15, -0.07), (-0.21, 0.33), (0.22, 0.33)),),
    (
        _line((-0.19, -0.28), (0.0, -0.33), (0.16, -0.24), (0.13, -0.08), (-0.04, -0.02)),
        _line((-0.04, -0.02), (0.16, 0.07), (0.18, 0.22), (0.01, 0.33), (-0.2, 0.27)),
    ),
    (_line((0.1, 0.33), (0.1, -0.33), (-0.22, 0.12), (0.23, 0.12)),),
    (_line((0.18, -0.33), (-0.15, -0.33), (-0.17, -0.04), (0.03, -0.08), (0.19, 0.05), (0.17, 0.23), (-0.2, 0.3)),),
    (_line((0.13, -0.33), (-0.08, -0.13), (-0.17, 0.13)), ring(0.0, 0.15, 0.17, 0.18)),
    (_line((-0.21, -0.32), (0.21, -0.32), (-0.05, 0.33)),),
    (ring(0.0, -0.17, 0.14, 0.15), ring(0.0, 0.16, 0.18, 0.17)),
    (ring(0.0, -0.14, 0.17, 0.18), _line((0.17, -0.12), (0.14, 0.12), (0.0, 0.33))),
)


def write_mnist(folder: Path, *, train: int = 130, test: int = 20, size: int = SIZE, seed: int = 0) -> None:
    """Write `train` and `test` images of each digit into `MNIST/raw/`, digits in turn.

    The same arguments give the same bytes, image i of a digit does not depend on how many there are, and a folder that
    already holds them is left alone.

    Raises:
        InputError: no image is asked for, or `folder` holds anything else: real data are never overwritten.
    """
    if min(train, test) < 1:
        raise InputError(f"train, test: found {train} and {test}, expected at least one generated image of each digit")

    def write(into: Path) -> None:
        raw = into / RAW
        raw.mkdir(parents=True)
        for part, (name, count) in enumerate(zip(PARTS, (train, test), strict=True)):
            labels = np.tile(np.arange(len(STROKES), dtype=np.uint8), count)
            drawn = [
                draw_digit(digit, np.random.default_rng([seed, part, digit, number]), size)
                for number in range(count)
                for digit in range(len(STROKES))
            ]
            (raw / f"{STEMS[name]}-labels-idx1-ubyte").write_bytes(idx(labels))
            (raw / f"{STEMS[name]}-images-idx3-ubyte").write_bytes(idx(np.stack(drawn)))

    write_once(folder, write, drawn_by=__name__, version=VERSION, train=train, test=test, size=size, seed=seed)


def draw_digit(digit: int, generator: np.random.Generator, size: int) -> UInt8[np.ndarray, "H W"]:
    """Draw a digit in white on black, with a place, size, slant and pen that are drawn too."""
    canvas = Image.new("L", (SCALE * size, SCALE * size))
    pen = ImageDraw.Draw(canvas)
    slant, scale = generator.normal(0, 0.15), generator.normal(1, 0.07, 2).clip(0.8, 1.2)
    place, width = generator.normal(0.5, 0.02, 2), generator.uniform(0.07, 0.12)
    for stroke in STROKES[digit]:
        points = stroke * scale + generator.normal(0, 0.012, stroke.shape)
        points[:, 0] -= slant * points[:, 1]
        path = (SCALE * size * (points + place)).ravel().tolist()
        pen.line(path, fill=255, width=round(SCALE * size * width), joint="curve")
    return np.array(canvas.reduce(SCALE))


def idx(values: UInt8[np.ndarray, "..."]) -> bytes:
    """Return the bytes of an IDX file."""
    lengths = np.array(values.shape, dtype=">u4").tobytes()
    return bytes([0, 0, 8, values.ndim]) + lengths + values.tobytes()
