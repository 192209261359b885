"""Procedural faces in the official file layouts of CelebA and LFW+a: the image pipelines run with nothing downloaded.

Nobody is shown: every face is drawn from random numbers. The cues that a network has to learn are drawn into it (wavy
or straight hair, make-up, beard, jaw, length and colour of hair, glasses, smile, wrinkles), each with a strength of its
own, so that weak cases are ambiguous as they are in photographs. Attributes depend on sex as they do in CelebA, which
gives a network the same shortcut: long hair and lipstick say "woman", and women's hair is wavy more often.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from counterpoise.data import celeba, lfw
from counterpoise.data.generate.drawing import Look, draw_face
from counterpoise.data.generate.folders import write_once

Rates = Mapping[str, tuple[float, float]]

VERSION = 1  # of the drawings: raise it when they change, so that folders written by an older version are redrawn
QUALITY = 90  # of the JPEG files
CELEBA_SIZE = (89, 109)  # half the official 178 by 218
LFW_SIZE = 112

# The share of (women, men) that has each attribute, from the first 10,000 images of CelebA.
CELEBA_RATES: Rates = {
    "Black_Hair": (0.20, 0.30),
    "Blond_Hair": (0.24, 0.02),
    "Brown_Hair": (0.24, 0.15),
    "Eyeglasses": (0.03, 0.12),
    "Gray_Hair": (0.01, 0.09),
    "Heavy_Makeup": (0.66, 0.003),
    "No_Beard": (1.0, 0.61),
    "Smiling": (0.55, 0.39),
    "Wavy_Hair": (0.45, 0.14),
    "Young": (0.88, 0.64),
}
CELEBA_MEN = 0.42
LIPSTICK_ONLY = 0.4  # of the women without heavy make-up: four women in five wear lipstick
HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")  # exclude one another; often there is none

# In LFW+a more than three in four pictures show men, and the attribute classifier finds make-up on some of them.
LFW_MEN = 0.775
LFW_RATES: Rates = {**CELEBA_RATES, "Heavy_Makeup": (0.74, 0.10)}
# The official file's names of the attributes that are drawn, and CelebA's names of the same.
LFW_COLUMNS = {
    "Male": "Male",
    "Youth": "Young",
    "Smiling": "Smiling",
    "Eyeglasses": "Eyeglasses",
    "Wavy Hair": "Wavy_Hair",
    "Heavy Makeup": "Heavy_Makeup",
}
SCORES = (0.05, 3.0)  # the range of an attribute score's magnitude

# Strengths of a cue are drawn from these ranges. They meet in the middle: there lie the faces nobody can tell.
PRESENT = (0.35, 1.0)
ABSENT = (0.0, 0.4)
FAINT = (0.0, 0.1)


@dataclass(frozen=True)
class Person:
    """What is true of a face: its attributes by CelebA's names, and how it looks."""

    attributes: dict[str, bool]
    look: Look


def write_celeba(folder: Path, *, images: int = 600, size: tuple[int, int] = CELEBA_SIZE, seed: int = 0) -> None:
    """Write `images` faces of `size` (width, height) as CelebA comes: images, attributes and official partition.

    The attribute file names the attributes that are drawn. The same arguments give the same bytes, image i does not
    depend on how many there are, and a folder that already holds them is left alone.
    Raises InputError if `folder` holds anything else: real data are never overwritten.
    """

    def write(into: Path) -> None:
        (into / celeba.IMAGES).mkdir()
        columns = sorted([*CELEBA_RATES, "Male", "Wearing_Lipstick"])
        rows, parts = [str(images), " ".join(columns)], []
        for index, (person, face) in enumerate(_faces(images, size, seed, CELEBA_MEN, CELEBA_RATES)):
            name = f"{index + 1:06d}.jpg"
            face.save(into / celeba.IMAGES / name, quality=QUALITY)
            rows.append(f"{name} " + " ".join(f"{1 if person.attributes[column] else -1:2d}" for column in columns))
            parts.append(f"{name} {_official_part(index, images)}")
        (into / celeba.ATTRIBUTES).write_text("\n".join(rows) + "\n", encoding="utf-8")
        (into / celeba.PARTITION).write_text("\n".join(parts) + "\n", encoding="utf-8")

    write_once(
        folder, write, drawn_by=__name__, version=VERSION, layout="celeba", images=images, size=list(size), seed=seed
    )


def write_lfwa(folder: Path, *, images: int = 600, size: int = LFW_SIZE, seed: int = 0) -> None:
    """Write `images` square faces of `size` pixels as LFW+a comes: a folder for each person, and the scored attributes.

    Every person has one image. Otherwise as `write_celeba`.
    """

    def write(into: Path) -> None:
        rows = [f"#\t{lfw.ATTRIBUTES}", "\t".join(["#", *lfw.KEY, *LFW_COLUMNS])]
        for index, (person, face) in enumerate(_faces(images, (size, size), seed, LFW_MEN, LFW_RATES)):
            name = f"Drawn Face{index:05d}"
            path = into / lfw.image_path(name, 1)
            path.parent.mkdir(parents=True)
            face.save(path, quality=QUALITY)
            present = [person.attributes[column] for column in LFW_COLUMNS.values()]
            scores = np.random.default_rng([seed, index, 1]).uniform(*SCORES, len(present))
            signed = np.where(present, scores, -scores)
            rows.append("\t".join([name, "1", *(f"{score:.4f}" for score in signed)]))
        (into / lfw.ATTRIBUTES).write_text("\n".join(rows) + "\n", encoding="utf-8")

    write_once(folder, write, drawn_by=__name__, version=VERSION, layout="lfwa", images=images, size=size, seed=seed)


def _faces(
    images: int, size: tuple[int, int], seed: int, men: float, rates: Rates
) -> Iterator[tuple[Person, Image.Image]]:
    """Draw faces one by one, each from a generator of its own."""
    for index in range(images):
        rng = np.random.default_rng([seed, index])
        person = draw_person(rng, men, rates)
        yield person, draw_face(person.look, rng, size)


def draw_person(rng: np.random.Generator, men: float, rates: Rates) -> Person:
    """Draw the attributes, dependent on sex, and then a look that shows them."""
    male = bool(rng.random() < men)
    rate = {name: pair[male] for name, pair in rates.items()}
    has = {name: bool(rng.random() < share) for name, share in rate.items()}
    shares = [rate[name] for name in HAIR_COLOURS]
    colour = rng.choice([*HAIR_COLOURS, ""], p=[*shares, 1 - sum(shares)])
    has.update({name: name == colour for name in HAIR_COLOURS})
    has["Young"] = has["Young"] and colour != "Gray_Hair"
    has["Male"] = male
    has["Wearing_Lipstick"] = has["Heavy_Makeup"] or (not male and bool(rng.random() < LIPSTICK_ONLY))
    makeup = _strength(rng, has["Heavy_Makeup"], FAINT if male else ABSENT)
    look = Look(
        hair_colour=str(colour),
        hair_length=float(rng.uniform(0.0, 0.25) if male else rng.uniform(0.3, 1.0)),
        wave=_strength(rng, has["Wavy_Hair"], ABSENT),
        makeup=makeup,
        lipstick=max(makeup, _strength(rng, has["Wearing_Lipstick"], FAINT)),
        beard=0.0 if has["No_Beard"] else float(rng.uniform(*PRESENT)),
        jaw=float(np.clip(rng.normal(0.75 if male else 0.25, 0.2), 0, 1)),
        age=float(rng.uniform(0.0, 0.4) if has["Young"] else rng.uniform(0.5, 1.0)),
        smile=_strength(rng, has["Smiling"], FAINT),
        glasses=has["Eyeglasses"],
    )
    return Person(has, look)


def _strength(rng: np.random.Generator, present: bool, absent: tuple[float, float]) -> float:
    """Draw how strongly a cue shows."""
    return float(rng.uniform(*(PRESENT if present else absent)))


def _official_part(index: int, images: int) -> int:
    """Cut in the files' order, as CelebA's partition: four fifths train (0), then validation (1), then test (2)."""
    return int(index >= 0.8 * images) + int(index >= 0.9 * images)
