"""Stage read_pixels: what samples name is what the tensor holds, on drawn images and on real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from PIL import Image

from counterpoise.config.parameters import Compute, Dataset, Seeds
from counterpoise.data.generate.cifar10 import write_cifar10
from counterpoise.data.generate.faces import CELEBA_SIZE, write_celeba
from counterpoise.data.generate.mnist import write_mnist
from counterpoise.data.multicolor_mnist import LEFT_PALETTE, RIGHT_PALETTE
from counterpoise.errors import InputError
from counterpoise.pipelines.data_split import pipeline as data_split
from counterpoise.pipelines.read_pixels import pipeline as read_pixels

SHAPES: dict[str, Any] = {
    "title": "shapes",
    "reader": "cifar10s",
    "origin": "drawn",
    "label": "label",
    "positive": None,
    "classes": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "sensitive": "domain",
    "groups": ("colour", "grey"),
    "group_names": ("colour", "grey"),
    "min_test_rows": 0,
    "split": {
        "scheme": "domains",
        "skew": 0.75,
        "majority": {
            "colour": ["automobile", "cat", "dog", "horse", "truck"],
            "grey": ["airplane", "bird", "deer", "frog", "ship"],
        },
        "validation_per_cell": 2,
        "fit_share": 0.5,
    },
}
FACES: dict[str, Any] = {
    "title": "faces",
    "reader": "celeba",
    "origin": "drawn",
    "label": "Smiling",
    "positive": 1,
    "classes": ("no", "yes"),
    "sensitive": "Male",
    "groups": (0, 1),
    "group_names": ("women", "men"),
    "min_test_rows": 0,
    "split": {"fractions": {"pretrain": 0.4, "task": 0.6}, "task": {"train": 1, "validation": 1, "test": 1}},
}
MADE = ("table", "readable", "bad_images", "pixels", "samples", "splits", "data_summary")


class Kept(MemoryDataset):
    """Data in memory that outlive the node that needs them last."""

    def _release(self) -> None:
        """Keep them."""


def run(raw: Path, dataset: Dataset, compute: Compute) -> dict[str, Any]:
    """Run the stage and the one after it, on data in memory."""
    catalog = DataCatalog({name: Kept(copy_mode="assign") for name in MADE})
    given = {"raw": raw, "params:dataset": dataset, "params:compute": compute, "params:seeds": Seeds((0, 1))}  # type: ignore[arg-type]
    for name, value in given.items():
        catalog[name] = MemoryDataset(value, copy_mode="assign")
    stages = read_pixels.create_pipeline() + data_split.create_pipeline(images=True)
    SequentialRunner().run(stages, catalog)
    return {name: catalog.load(name) for name in MADE}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "cifar10"
    write_cifar10(folder, train=12, test=3, size=16)
    return folder


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    write_celeba(tmp_path / "celeba", images=60)
    return tmp_path / "celeba"


def shown(folder: Path, image: str, *, grey: bool) -> np.ndarray:
    """Open an image as PIL does, [3, H, W]."""
    with Image.open(folder / image) as opened:
        picture = opened.convert("RGB").convert("L").convert("RGB") if grey else opened.convert("RGB")
        return np.array(picture).transpose(2, 0, 1)


@pytest.mark.parametrize("backend", ["serial", "threads"])
def test_each_row_of_samples_is_shown_as_its_group_says(
    shapes: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("counterpoise.data.pixels.CHUNK", 64)  # so that there is more than one
    made = run(shapes, Dataset(**SHAPES), Compute(backend=backend, workers=2))  # type: ignore[arg-type]
    samples, pixels = made["samples"], made["pixels"].tensors["pixels"]
    assert pixels.shape == (300, 3, 16, 16)
    assert pixels.dtype == torch.uint8
    for row, sample in enumerate(samples.itertuples()):
        np.testing.assert_array_equal(pixels[row], shown(shapes, sample.image, grey=bool(sample.s)))
    assert made["bad_images"] == {"total": 300, "dropped": 0, "examples": {}}
    for codes in made["splits"].tensors["splits"]:
        assert np.bincount(codes).tolist() == [80, 20, 20, 60, 120]


DIGITS = tuple("0123456789")
RIGHT = ("mauve", "forest", "sage", "azure", "ink", "pink", "bottle", "navy", "lilac", "rose")
HALVES = SHAPES | {
    "reader": "multicolor_mnist",
    "classes": DIGITS,
    "sensitive": "left",
    "groups": ("red", "orange", "gold", "green", "sky", "blue", "magenta", "brown", "slate", "maroon"),
    "group_names": DIGITS,
    "min_test_rows": 0,
    "further_sensitive": {"right": RIGHT},
    "split": {"scheme": "aligned", "rho": {"left": 0.8, "right": 0.7}, "gates": 200, "validation": 200},
}


def test_backgrounds_are_what_samples_say(tmp_path: Path) -> None:
    """Wherever there is no ink the halves have the colours of s and of right; a digit is the same in its four rows."""
    write_mnist(tmp_path / "mnist", train=100, test=20)
    made = run(tmp_path / "mnist", Dataset(**HALVES), Compute(backend="serial"))
    samples, pixels = made["samples"], made["pixels"].tensors["pixels"]
    assert pixels.shape == (4 * 1200, 3, 28, 28)
    left = torch.tensor(list(LEFT_PALETTE.values()))[samples["s"].to_numpy(copy=True)]
    right = torch.tensor(list(RIGHT_PALETTE.values()))[samples["right"].to_numpy(copy=True)]
    assert torch.equal(pixels[:, :, 0, 0], left)
    assert torch.equal(pixels[:, :, 0, 27], right)
    for rows in samples.groupby("image").indices.values():
        white = (pixels[rows] == 255).all(dim=1)
        assert white[0].any()
        assert (white == white[0]).all()
    for codes in made["splits"].tensors["splits"].numpy():
        assert np.bincount(codes).tolist() == [600, 200, 200, 200, 3600]


def test_a_bad_image_leaves_with_both_of_its_rows(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "raw", train=12, test=3, size=16)
    (tmp_path / "raw" / "train" / "cat" / "0005.png").write_bytes(b"damaged")
    dataset = Dataset(**SHAPES, max_bad_fraction=0.01)
    made = run(tmp_path / "raw", dataset, Compute(backend="serial"))
    samples, pixels = made["samples"], made["pixels"].tensors["pixels"]
    assert len(made["table"]) == 300
    assert len(samples) == len(pixels) == 298
    assert "train/cat/0005.png" not in set(samples["image"])
    for row, sample in enumerate(samples.itertuples()):
        np.testing.assert_array_equal(pixels[row], shown(tmp_path / "raw", sample.image, grey=bool(sample.s)))
    assert made["bad_images"]["examples"] == {"train/cat/0005.png": "not an image"}


def test_too_many_bad_images_end_the_run(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "raw", train=12, test=3, size=16)
    (tmp_path / "raw" / "train" / "cat" / "0005.png").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"2 of 300 images cannot be used \(train/cat/0005\.png: not an image"):
        run(tmp_path / "raw", Dataset(**SHAPES), Compute(backend="serial"))


def test_deep_images_are_shown_in_the_range_that_is_said(faces: Path) -> None:
    values = np.linspace(0, 4095, 12 * 12).reshape(12, 12).astype(np.uint16)
    for image in (faces / "img_align_celeba").iterdir():
        Image.fromarray(values).save(image, "png")
    for settings, brightest in (({}, 16), ({"image_range": [0, 4095]}, 255)):
        pixels = run(faces, Dataset(**FACES, **settings), Compute(backend="serial"))["pixels"].tensors["pixels"]
        assert (int(pixels.min()), int(pixels.max())) == (0, brightest)
    with pytest.raises(InputError, match=r"holds values from 0 to 4095, expected 0 to 100 \(image_range"):
        run(faces, Dataset(**FACES, image_range=(0, 100)), Compute(backend="serial"))
    with pytest.raises(InputError, match=r"12 x 12 are 144 pixels, expected at most 100 \(limits\.image_pixels"):
        run(faces, Dataset(**FACES, limits={"image_pixels": 100}), Compute(backend="serial"))


def test_faces_are_resized_to_their_shorter_side_and_cut_in_the_middle(faces: Path) -> None:
    dataset = Dataset(**FACES, image_size=24)
    made = run(faces, dataset, Compute(backend="serial"))
    samples, pixels = made["samples"], made["pixels"].tensors["pixels"]
    assert pixels.shape == (60, 3, 24, 24)
    assert samples.columns.tolist() == ["image", "y", "s"]
    width, height = CELEBA_SIZE
    size = (24, 24 * height // width)
    top = round((size[1] - 24) / 2)
    for row in (0, 31, 59):
        with Image.open(faces / samples["image"][row]) as image:
            resized = np.array(image.resize(size, Image.Resampling.BILINEAR))[top : top + 24]
        difference = np.abs(resized.transpose(2, 0, 1).astype(int) - pixels[row].numpy())
        assert difference.max() <= 1  # two libraries round


def test_without_a_size_images_stay_as_they_are(faces: Path) -> None:
    made = run(faces, Dataset(**FACES), Compute(backend="serial"))
    assert made["pixels"].tensors["pixels"].shape == (60, 3, *reversed(CELEBA_SIZE))
    np.testing.assert_array_equal(
        made["pixels"].tensors["pixels"][7], shown(faces, made["samples"]["image"][7], grey=False)
    )


def test_images_of_many_sizes_need_one(faces: Path) -> None:
    first = sorted((faces / "img_align_celeba").iterdir())[0]
    Image.new("RGB", (30, 30)).save(first)
    with pytest.raises(InputError, match=r"expected one size: give one to resize to"):
        run(faces, Dataset(**FACES), Compute(backend="serial"))


def test_the_header_tells_other_pixels_apart(shapes: Path, faces: Path) -> None:
    headers = [
        run(folder, Dataset(**settings), Compute(backend="serial"))["pixels"].header
        for folder, settings in ((shapes, SHAPES), (shapes, SHAPES), (faces, FACES))
    ]
    digests = [header["digests"]["pixels"] for header in headers]
    assert digests[0] == digests[1] != digests[2]
    assert headers[0]["image_size"] == [16, 16]


def test_real_cifar10_in_both_domains(raw: Callable[..., Path]) -> None:
    """A hundred real images of two classes from either part."""
    folder = raw("cifar10", "train")
    from counterpoise.data import cifar10s
    from counterpoise.pipelines.read_pixels.nodes import decode_images

    table = cifar10s.read(folder)
    few = table[table["label"].isin(["cat", "dog"]) & table["image"].str.contains("/00")].reset_index(drop=True)
    readable, _, made = decode_images(folder, few, Dataset(**SHAPES), Compute(backend="serial"))
    pd.testing.assert_frame_equal(readable, few)
    assert len(few) == 800
    for row in (0, 399, 400, 799):
        np.testing.assert_array_equal(
            made.tensors["pixels"][row], shown(folder, few["image"][row], grey=few["domain"][row] == "grey")
        )
