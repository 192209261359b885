"""Draw one procedural face. The unit of length is the picture's height; x runs from the middle, y from the top."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = NDArray[np.float64]  # red, green, blue from 0 to 255
Curve = NDArray[np.float64]  # points, [n, 2]

SCALE = 2  # drawn at twice the size, then halved: smooth edges at a low price
SKIN = np.array([(250, 220, 196), (238, 200, 168), (216, 172, 136), (180, 130, 96), (132, 90, 62), (92, 60, 42)], float)
HAIR = {
    "Black_Hair": (28, 24, 24),
    "Blond_Hair": (214, 178, 108),
    "Brown_Hair": (98, 64, 40),
    "Gray_Hair": (172, 172, 172),
    "": (62, 44, 34),  # between black and brown: CelebA gives it no name
}
EYES = np.array([(70, 46, 28), (44, 92, 116), (78, 104, 62)], float)
LIPS = np.array((176, 18, 52), float)
SHADOW = np.array([(92, 52, 128), (40, 72, 140), (120, 60, 60)], float)
BLUSH = np.array((214, 78, 92), float)
DARK = np.array((24, 18, 18), float)
WHITE = np.array((246, 244, 240), float)

CENTRE = 0.53  # of the face, from the top
CROWN = 0.47  # the middle of the skull
WAVES = 9.0  # waves of hair in one picture height
NOISE = 9.0  # largest deviation of the camera's noise, in grey levels: uniform, as random bytes are the cheapest

# Shapes of size one, sampled once.
_ALONG = np.linspace(0, 1, 32)
_ACROSS = np.linspace(-1, 1, 11)[:, None]  # strands of hair, from left to right
_DEPTHS = np.linspace(0.15, 0.85, 5)[:, None, None]  # strands in front, from the crown to the hairline
_TURN: Curve = np.stack([np.cos(np.linspace(-np.pi, np.pi, 49)), np.sin(np.linspace(-np.pi, np.pi, 49))], axis=1)
_PARABOLA: Curve = np.stack([np.linspace(-1, 1, 9), 1 - np.linspace(-1, 1, 9) ** 2], axis=1)


@dataclass(frozen=True)
class Look:
    """How a face looks; strengths from 0 (nothing of it) to 1."""

    hair_colour: str
    hair_length: float
    wave: float
    makeup: float
    lipstick: float
    beard: float
    jaw: float
    age: float
    smile: float
    glasses: bool


def draw_face(look: Look, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw the face as an RGB picture of `size` (width, height). What `look` leaves open is drawn from `rng`."""
    return _Face(look, rng, size).picture()


class _Face:
    """A canvas with the proportions and colours of one face. The parts are drawn from the back to the front."""

    def __init__(self, look: Look, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self.look, self.rng, self.size = look, rng, size
        # Cheap blurred background: sixteen random colours, enlarged.
        patches = np.clip(rng.uniform(40, 220, 3) + rng.normal(0, 25, (4, 4, 3)), 0, 255).astype(np.uint8)
        canvas = (SCALE * size[0], SCALE * size[1])
        self.image = Image.fromarray(patches).resize(canvas, Image.Resampling.BILINEAR)
        self.draw = ImageDraw.Draw(self.image, "RGBA")
        self.shift = np.array([0.5 * size[0] / size[1], 0.0]) + rng.normal(0, 0.012, 2)
        tone = rng.uniform(0, len(SKIN) - 1) * rng.uniform(0.2, 1)  # lighter tones are the more frequent ones
        self.skin: Colour = SKIN[int(tone)] + (tone % 1) * (SKIN[int(tone) + 1] - SKIN[int(tone)])
        self.hair: Colour = np.array(HAIR[look.hair_colour], float) + rng.uniform(-10, 10)
        self.width = 0.205 + 0.02 * look.jaw + rng.normal(0, 0.006)
        self.height = 0.285 + rng.normal(0, 0.008)
        self.eye_y = CENTRE - 0.045 + rng.normal(0, 0.005)
        self.mouth_y = CENTRE + 0.155 + rng.normal(0, 0.005)
        self.volume = 0.03 + 0.03 * look.hair_length + 0.03 * look.wave + abs(rng.normal(0, 0.012))
        self.hair_end = CROWN + 0.02 + 0.55 * look.hair_length
        # A superellipse whose lower half is square for a strong jaw.
        power = np.where(_TURN[:, 1:] > 0, 2 / (2.0 + 0.9 * look.jaw), 1.0)
        self.outline: Curve = np.sign(_TURN) * np.abs(_TURN) ** power * (self.width, self.height) + (0, CENTRE)

    def picture(self) -> Image.Image:
        self._hair_behind()
        self._neck_and_clothes()
        self._skull()
        self._age()
        self._beard()
        self._eyes()
        self._nose()
        self._mouth()
        self._fringe()
        if self.look.glasses:
            self._glasses()
        pixels = np.array(self.image.reduce(SCALE), dtype=np.float32)
        noise = np.frombuffer(self.rng.bytes(pixels.size), dtype=np.uint8).reshape(pixels.shape)
        pixels *= np.float32(self.rng.uniform(0.8, 1.15))  # light
        pixels += noise * np.float32(2 * NOISE / 255) - np.float32(NOISE)
        return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))

    # -- parts of the face ---------------------------------------------------------------------------------------------

    def _hair_behind(self) -> None:
        """The silhouette of the hair, wavy or straight at its edge, with strands that follow it."""
        top = CROWN - self.height - self.volume
        y = top + (self.hair_end - top) * _ALONG
        rise = np.clip((CROWN - y) / (self.height + self.volume), 0, 1)
        half = (self.width + self.volume) * np.sqrt(1 - rise**2)
        edges = _curves((half + self._waves(y, 0.022, 2)) * ((-1,), (1,)), y)
        self._fill(np.concatenate([edges[0], edges[1, ::-1]]), self.hair)
        strands = _curves(_ACROSS * half + self._waves(y, 0.016, len(_ACROSS)), y)
        self._strands(strands[:, 4:], 0.008)

    def _neck_and_clothes(self) -> None:
        half, top, bottom = 0.4 * self.width, CENTRE + 0.2, 0.95
        self._fill(np.array([(-half, top), (half, top), (half, bottom), (-half, bottom)]), 0.82 * self.skin)
        self._ellipse(0.0, 1.1, 0.36 + 0.08 * self.look.jaw, 0.2, self.rng.uniform(20, 230, 3))

    def _skull(self) -> None:
        for side in (-1, 1):
            self._ellipse(side * self.width, self.eye_y + 0.035, 0.025, 0.045, 0.9 * self.skin)
        self._fill(self.outline, self.skin)
        shaded = np.roll(self.outline, len(self.outline) // 2, axis=0)  # so that the right side is in one piece
        self._fill(shaded[shaded[:, 0] > 0.6 * self.width], 0.9 * self.skin, 70.0)  # light from the left
        if self.look.makeup > 0:
            for side in (-1, 1):
                self._ellipse(side * 0.11, CENTRE + 0.075, 0.05, 0.035, BLUSH, 80 * self.look.makeup)

    def _age(self) -> None:
        """Lines on the forehead, beside the nose and under the eyes."""
        if self.look.age < 0.3:
            return
        shade, strength = 0.7 * self.skin, 170 * self.look.age
        for y in (0.33, 0.355):
            self._line(_arc(0.0, y, 0.09, -0.006), shade, 0.005, strength)
        for side in (-1, 1):
            self._line(np.array([(side * 0.045, CENTRE + 0.07), (side * 0.085, CENTRE + 0.13)]), shade, 0.007, strength)
            self._line(_arc(side * 0.09, self.eye_y + 0.04, 0.035, 0.008), shade, 0.006, strength)

    def _beard(self) -> None:
        if self.look.beard == 0:
            return
        lower = self.outline[self.outline[:, 1] > CENTRE + 0.25 * self.height]
        inner = _arc(0.0, self.mouth_y - 0.05, 0.75 * self.width, 0.03)
        self._fill(np.concatenate([lower, inner]), 0.75 * self.hair, 60 + 170 * self.look.beard)

    def _eyes(self) -> None:
        iris = EYES[self.rng.integers(len(EYES))]
        shadow = SHADOW[self.rng.integers(len(SHADOW))]
        brow = 0.6 * self.hair
        for side in (-1, 1):
            x = side * 0.092
            self._ellipse(x, self.eye_y - 0.014, 0.05, 0.03, shadow, 200 * self.look.makeup)
            self._ellipse(x, self.eye_y, 0.038, 0.019, WHITE)
            self._ellipse(x, self.eye_y, 0.017, 0.018, iris)
            self._ellipse(x, self.eye_y, 0.008, 0.008, DARK)
            self._line(_arc(x, self.eye_y - 0.004, 0.041, -0.02), DARK, 0.006 + 0.010 * self.look.makeup)
            self._line(_arc(x, self.eye_y - 0.055, 0.05, -0.015), brow, 0.010 + 0.014 * self.look.jaw)

    def _nose(self) -> None:
        shade = 0.78 * self.skin
        length = CENTRE + 0.075 + self.rng.normal(0, 0.006)
        self._line(np.array([(0.012, self.eye_y + 0.02), (0.026, length - 0.02), (0.016, length)]), shade, 0.008)
        for side in (-1, 1):
            self._ellipse(side * 0.018, length, 0.01, 0.006, 0.55 * self.skin)

    def _mouth(self) -> None:
        smile, bare = self.look.smile, 0.8 * self.skin * (1.05, 0.86, 0.86)
        colour = bare + self.look.lipstick * (LIPS - bare)
        half, drop = 0.062 + 0.022 * smile, 0.05 * smile
        upper = _arc(0.0, self.mouth_y - 0.5 * drop, half, -0.014 + drop)
        lower = _arc(0.0, self.mouth_y - 0.5 * drop, half, 0.026 + 1.3 * drop)
        self._fill(np.concatenate([upper, lower[::-1]]), colour)
        middle = _arc(0.0, self.mouth_y - 0.5 * drop, 0.9 * half, 0.006 + 1.1 * drop)
        if smile > 0.5:
            top = _arc(0.0, self.mouth_y - 0.5 * drop, 0.9 * half, 0.001 + drop)
            self._fill(np.concatenate([top, middle[::-1]]), WHITE)
        self._line(middle, 0.5 * colour, 0.006)

    def _fringe(self) -> None:
        """Hair in front: from the crown to the hairline, with a parting, and strands as behind."""
        rise = 2 * _ALONG - 1
        crown = CROWN - (self.height + self.volume) * np.sqrt(1 - rise**2)
        outer = _curves(rise * (self.width + self.volume), crown)
        parting = self.rng.uniform(-0.6, 0.6)
        dip = 0.035 + 0.12 * np.abs(rise - parting) ** 1.5
        hairline = CROWN - self.height + dip + self._waves(rise * self.width, 0.014, 1)[0]
        inner = _curves(rise * 1.04 * self.width, np.maximum(hairline, crown + 0.02))
        self._fill(np.concatenate([outer, inner[::-1]]), self.hair)
        strands = outer + _DEPTHS * (inner - outer)
        strands[..., 1] += self._waves(outer[:, 0], 0.012, len(_DEPTHS))
        self._strands(strands, 0.007)

    def _glasses(self) -> None:
        for side in (-1, 1):
            frame = ring(side * 0.092, self.eye_y, 0.068, 0.05)
            self._line(frame, DARK, 0.011)
            self._line(np.array([(side * 0.16, self.eye_y - 0.01), (side * self.width, self.eye_y)]), DARK, 0.009)
        self._line(_arc(0.0, self.eye_y - 0.006, 0.026, -0.01), DARK, 0.01)

    # -- strokes -------------------------------------------------------------------------------------------------------

    def _waves(self, along: NDArray[np.float64], size: float, locks: int) -> NDArray[np.float64]:
        """Sideways deviations of locks of hair, [locks, n]: regular for waves, next to nothing for straight hair."""
        phase = self.rng.uniform(0, 2 * np.pi, (locks, 1))
        rate = WAVES * self.rng.uniform(0.85, 1.15, (locks, 1))
        return size * self.look.wave * np.sin(2 * np.pi * rate * along + phase)

    def _strands(self, curves: NDArray[np.float64], width: float) -> None:
        """Lines in tints of the hair's colour."""
        tints = self.hair * self.rng.uniform(0.65, 1.1, (len(curves), 1)) + self.rng.uniform(0, 22, (len(curves), 1))
        for curve, tint in zip(curves, tints, strict=True):
            self._line(curve, tint, width)

    def _pixels(self, curve: Curve) -> list[float]:
        """Give x and y in pixels, in turn, as the pencil wants them."""
        pixels: list[float] = ((curve + self.shift) * (SCALE * self.size[1])).ravel().tolist()
        return pixels

    def _fill(self, curve: Curve, colour: Colour, opacity: float = 255.0) -> None:
        self.draw.polygon(self._pixels(curve), fill=_rgba(colour, opacity))

    def _line(self, curve: Curve, colour: Colour, width: float, opacity: float = 255.0) -> None:
        pixels = max(1, round(width * SCALE * self.size[1]))
        self.draw.line(self._pixels(curve), fill=_rgba(colour, opacity), width=pixels)

    def _ellipse(self, x: float, y: float, half: float, rise: float, colour: Colour, opacity: float = 255.0) -> None:
        corners = np.array([(x - half, y - rise), (x + half, y + rise)])
        self.draw.ellipse(self._pixels(corners), fill=_rgba(colour, opacity))


def _rgba(colour: Colour, opacity: float) -> tuple[int, int, int, int]:
    red, green, blue = colour.tolist()  # few enough that plain Python is faster than numpy
    return min(int(red), 255), min(int(green), 255), min(int(blue), 255), int(opacity)


def _curves(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pair each x of [..., n] with its y of [n]: points, [..., n, 2]."""
    curves = np.empty((*x.shape, 2))
    curves[..., 0], curves[..., 1] = x, y
    return curves


def _arc(x: float, y: float, half: float, sag: float) -> Curve:
    """A parabola from (x − half, y) to (x + half, y) whose middle lies `sag` lower."""
    return _PARABOLA * (half, sag) + (x, y)


def ring(x: float, y: float, half: float, rise: float) -> Curve:
    """Return a closed curve around (x, y)."""
    return _TURN * (half, rise) + (x, y)
