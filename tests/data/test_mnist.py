"""MNIST and the backgrounds behind it: one table out of two layouts, hand-computed pixels, files that are not right."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from counterpoise import data
from counterpoise.data import biased_mnist, mnist
from counterpoise.data.class_folders import PARTS
from counterpoise.data.generate.folders import MARKER
from counterpoise.data.generate.mnist import idx, write_mnist
from counterpoise.data.pixels import open_images
from counterpoise.errors import InputError

TRAIN_LABELS, TRAIN_IMAGES = "train-labels-idx1-ubyte", "train-images-idx3-ubyte"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_mnist(tmp_path / "idx", train=4, test=2)
    return tmp_path / "idx"


@pytest.fixture
def tree(files: Path, tmp_path: Path) -> Path:
    """The same images as files, numbered within their digit in the order of the IDX files; read here on our own."""
    for part, stem in zip(PARTS, ("train", "t10k"), strict=True):
        labels = np.fromfile(files / mnist.RAW / f"{stem}-labels-idx1-ubyte", dtype=np.uint8)[8:]
        images = np.fromfile(files / mnist.RAW / f"{stem}-images-idx3-ubyte", dtype=np.uint8)[16:].reshape(-1, 28, 28)
        for digit in range(10):
            into = tmp_path / "tree" / part / str(digit)
            into.mkdir(parents=True)
            for number, image in enumerate(images[labels == digit]):
                Image.fromarray(image).save(into / f"{number:04d}.png")
    return tmp_path / "tree"


@pytest.mark.parametrize("reader", ["biased_mnist", "multicolor_mnist"])
def test_both_layouts_give_the_same_table_and_the_same_pixels(files: Path, tree: Path, reader: str) -> None:
    table = data.read(reader, files)
    pd.testing.assert_frame_equal(table, data.read(reader, tree))
    names = table["image"].unique()
    assert len(names) == 60
    from_files, from_tree = open_images("biased_mnist", files, names), open_images("biased_mnist", tree, names)
    pair = zip(from_files, map(from_tree.__getitem__, range(60)), strict=True)
    for from_array, from_file in pair:
        assert from_array.name == from_file.name
        assert torch.equal(from_array.pixels, from_file.pixels)
        assert (from_array.pixels[0] == from_array.pixels).all()


def test_packed_files_are_read_too(files: Path) -> None:
    table = mnist.read(files)
    path = files / mnist.RAW / TRAIN_IMAGES
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    pd.testing.assert_frame_equal(table, mnist.read(files))
    path.with_name(f"{path.name}.gz").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"images-idx3-ubyte\.gz: cannot be read \(.*\), expected the published"):
        mnist.read(files)


def test_the_real_images(raw: Callable[..., Path]) -> None:
    table = biased_mnist.read(raw("mnist", "MNIST/raw/*"))
    assert table.groupby("official_part").size().to_dict() == {"train": 120_000, "test": 20_000}
    assert (table["label"] == "1").sum() == 2 * (6_742 + 1_135)
    assert (table[table["label"] == "3"]["colour"] == "green").sum() == 6_131 + 1_010


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (TRAIN_LABELS, None, r"train-labels-idx1-ubyte: no such file; torchvision\.datasets\.MNIST\(.*download=True\)"),
        (TRAIN_LABELS, b"", r"train-labels-idx1-ubyte: begins with nothing, expected 000008"),
        (TRAIN_LABELS, b"\x89PNG\r\n", r"begins with 89504e47, expected 000008, an IDX file of bytes"),
        (TRAIN_LABELS, idx(np.zeros(40, np.uint8))[:30], r"holds 22 values for the shape \[40\]: truncated or altered"),
        (TRAIN_LABELS, idx(np.zeros(40, np.uint8))[:6], r"holds 0 values for the shape \[\]: truncated or altered"),
        (TRAIN_LABELS, idx(np.full(40, 12, np.uint8)), r"train-labels-idx1-ubyte: holds the label 12, expected digits"),
        (
            TRAIN_LABELS,
            idx(np.zeros(39, np.uint8)),
            r"hold labels \[39\] and images \[40, 28, 28\], expected \[n\] and",
        ),
        (TRAIN_LABELS, idx(np.zeros(40, np.uint8)), r"train .*holds no image of the classes 1, 2, 3, 4, 5, 6, 7, 8, 9"),
    ],
)
def test_wrong_files_are_named(files: Path, name: str, content: bytes | None, sentence: str) -> None:
    path = files / mnist.RAW / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        mnist.read(files)


def test_other_classes_are_refused(tree: Path) -> None:
    for part in PARTS:
        (tree / part / "9").rename(tree / part / "nine")
    with pytest.raises(InputError, match=r"holds the classes 0, .*, 8, nine, expected 0, 1, .*, 9"):
        mnist.read(tree)


def test_no_data_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train: no such folder; torchvision\.datasets\.MNIST\(.* or put images into"):
        mnist.read(tmp_path)


def test_checksums_are_compared_on_request(files: Path) -> None:
    with pytest.raises(InputError, match=r"ubyte: found SHA-256"):
        biased_mnist.read(files, checksums={f"{mnist.RAW}/{TRAIN_LABELS}": "0" * 64})


def test_drawn_digits_are_the_same_each_time(files: Path, tmp_path: Path) -> None:
    write_mnist(tmp_path / "more", train=6, test=2)
    names = mnist.read(files)["image"]
    images = [open_images("biased_mnist", folder, names) for folder in (files, tmp_path / "more")]
    assert all(torch.equal(few.pixels, more.pixels) for few, more in zip(*images, strict=True))
    before = (files / MARKER).stat().st_mtime_ns
    write_mnist(files, train=4, test=2)
    assert (files / MARKER).stat().st_mtime_ns == before
    with pytest.raises(InputError, match=r"found 0 and 20, expected at least one generated image of each digit"):
        write_mnist(tmp_path / "none", train=0)
