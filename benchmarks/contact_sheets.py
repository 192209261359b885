"""Draw what the rendered data sets look like, each class under every value of its bias, into docs/images.

Run: python benchmarks/contact_sheets.py [data/01_raw]. Needs MNIST and CIFAR-10 there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from counterpoise.data import biased_mnist, corrupted_cifar10, multicolor_mnist, read
from counterpoise.data.corrupted_cifar10 import CORRUPTIONS
from counterpoise.data.pixels import decode_chunk, gather, open_images, render

REPOSITORY = Path(__file__).parents[1]
SCALE = 2  # each pixel is drawn as a square of so many
GAP = 2  # pixels between images
SEVERITY = 4


def drawn(reader: str, folder: Path, rows: pd.DataFrame) -> UInt8[Tensor, "N 3 H W"]:
    """Return what rows of a reader's table show."""
    names = pd.Index(rows["image"].unique())
    images = open_images(reader, folder, names)
    decoded = gather([decode_chunk(range(len(images)), images)], images).decoded
    return render(reader, decoded, names.get_indexer(rows["image"]), rows)


def sheet(pixels: UInt8[Tensor, "N 3 H W"], columns: int) -> Image.Image:
    """Lay images out row by row."""
    n, _, height, width = pixels.shape
    canvas = np.full((n // columns * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 255, dtype=np.uint8)
    for place, image in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
        top, left = (
            GAP + step * (edge + GAP) for step, edge in zip(divmod(place, columns), (height, width), strict=True)
        )
        canvas[top : top + height, left : left + width] = image
    return Image.fromarray(canvas.repeat(SCALE, 0).repeat(SCALE, 1))


def one_each(table: pd.DataFrame, column: str, values: Sequence[str]) -> pd.DataFrame:
    """Show the first test image of each class in every value."""
    first = table[table["official_part"] == "test"].groupby("label", sort=True).head(1)
    return pd.concat([first.assign(**{column: value}) for value in values]).sort_index(kind="stable")


def both_halves(table: pd.DataFrame, each: int = 3) -> pd.DataFrame:
    """Show the first test images of each class in their four renderings."""
    test = table[table["official_part"] == "test"]
    names = test.drop_duplicates("image").groupby("label").head(each)["image"]
    rows = test[test["image"].isin(names)]
    return rows.assign(rendering=rows.groupby("image").cumcount()).sort_values(["label", "rendering", "image"])


def main(raw: Path) -> None:
    torch.set_num_threads(1)
    into = REPOSITORY / "docs" / "images"
    mnist, cifar10 = raw / "mnist", raw / "cifar10"
    colours, corruptions = tuple(biased_mnist.PALETTE), tuple(CORRUPTIONS)
    coloured = one_each(biased_mnist.read(mnist), biased_mnist.COLOUR, colours)
    halves = both_halves(multicolor_mnist.read(mnist))
    corrupted = one_each(
        read("corrupted_cifar10", cifar10, severity=SEVERITY), corrupted_cifar10.CORRUPTION, corruptions
    )
    plain = corrupted.groupby("label", sort=True).head(1)
    shown = drawn("corrupted_cifar10", cifar10, corrupted).unflatten(0, (len(plain), len(corruptions)))
    beside = torch.cat([drawn("celeba", cifar10, plain)[:, None], shown], dim=1).flatten(0, 1)
    sheet(drawn("biased_mnist", mnist, coloured), len(colours)).save(into / "biased_mnist.png", optimize=True)
    sheet(drawn("multicolor_mnist", mnist, halves), 12).save(into / "multicolor_mnist.png", optimize=True)
    sheet(beside, 1 + len(corruptions)).save(into / "corrupted_cifar10.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "data" / "01_raw")
