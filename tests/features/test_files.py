"""Cached features: what changed a shard, the array or an image is noticed where it is read, and costs time alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn

from counterpoise.data.images import Decoded, ImageFiles
from counterpoise.features.backbones import Backbone
from counterpoise.features.extraction import Progress, extract_features, features_digest
from counterpoise.nn.preprocessing import Preprocessing

IMAGES, EDGE = 50, 8
SETTINGS: dict[str, Any] = {"shard_size": 16, "batch_size": 8, "precision": "float32", "device": "cpu"}


class Counting(ImageFiles):
    """Knows which rows were decoded; for passes in this process."""

    def __init__(self, images: ImageFiles) -> None:
        super().__init__(images.folder, images.names)
        self.decoded: list[int] = []

    def __getitem__(self, row: int) -> Decoded:
        self.decoded.append(row)
        return super().__getitem__(row)


@pytest.fixture
def images(tmp_path: Path) -> ImageFiles:
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, EDGE, EDGE, 3), dtype=np.uint8)
    names = [f"{number:04d}.png" for number in range(IMAGES)]
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image).save(folder / name)
    return ImageFiles(folder, names)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def network() -> Backbone:
    """Averages of the four quarters of an image, times what tells channels apart."""
    preprocess = Preprocessing(EDGE, EDGE, mean=(0.5, 0.4, 0.3), std=(1.0, 2.0, 3.0))
    return Backbone("tiny", nn.AdaptiveAvgPool2d(2), 12, None, preprocess, "digest", pretrained=False)


@pytest.fixture
def expected(images: ImageFiles, network: Backbone, tmp_path: Path) -> np.ndarray:
    """The features of an undisturbed pass."""
    return extract_features(images, network, cache=tmp_path / "another", backend="serial", **SETTINGS).array()


def test_an_image_replaced_at_the_same_size_and_time_is_noticed_where_it_is_asked_for(
    images: ImageFiles, cache: Path, network: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    before = features_digest(images, network, cache=cache, **SETTINGS)
    assert features_digest(images, network, cache=cache, verify=True, **SETTINGS) == before
    assert not caplog.records
    victim = images.folder / str(images.names[7])
    status, content = victim.stat(), victim.read_bytes()
    victim.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = features_digest(images, network, cache=cache, verify=True, **SETTINGS)
    assert after != before
    assert (
        f"1 files have other contents than before at the same size and time of change ({images.names[7]}" in caplog.text
    )
    assert features_digest(images, network, cache=cache, **SETTINGS) == after  # from now on


def change(path: Path, how: str) -> None:
    """Alter a shard or an array as a disk or a hand may; what can be, in a file that stays valid."""
    content = path.read_bytes()
    middle = len(content) // 2
    if how == "flipped bit":
        content = content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
    elif how == "zeroed half":
        content = content[:middle] + bytes(len(content) - middle)
    elif how == "truncated":
        content = content[:middle]
    elif how == "empty":
        content = b""
    else:
        save_altered(path, how)
        return
    path.write_bytes(content)


def save_altered(path: Path, how: str) -> None:
    alter: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "NaN": lambda values: np.where(np.arange(len(values))[:, None] == 3, np.float32("nan"), values),
        "permuted rows": lambda values: values[::-1].copy(),
        "permuted columns": lambda values: values[:, ::-1].copy(),
        "another dtype": lambda values: values.astype(np.float64),
    }
    if path.suffix == ".npy":
        np.save(path, alter[how](np.load(path)))
        return
    with safe_open(path, framework="np") as file:
        values, metadata = file.get_tensor("features"), file.metadata()
    save_file({"features": alter[how](values)}, path, metadata=metadata)


DAMAGES = [
    "flipped bit",
    "zeroed half",
    "truncated",
    "empty",
    "NaN",
    "permuted rows",
    "permuted columns",
    "another dtype",
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_computed_again(
    damage: str,
    images: ImageFiles,
    cache: Path,
    network: Backbone,
    expected: np.ndarray,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 32:
            raise KeyboardInterrupt

    settings: dict[str, Any] = SETTINGS | {"cache": cache, "backend": "serial"}
    with pytest.raises(KeyboardInterrupt):
        extract_features(images, network, on_progress=stop, **settings)
    first, _ = sorted(cache.glob("*/shard-*"))
    change(first, damage)
    again = Counting(images)
    found = extract_features(again, network, **settings)
    assert again.decoded == [*range(16), *range(32, IMAGES)]
    np.testing.assert_array_equal(found.array(), expected)
    assert f"{first}: damaged" in caplog.text


def test_shards_that_change_places_are_computed_again(
    images: ImageFiles, cache: Path, network: Backbone, expected: np.ndarray
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 32:
            raise KeyboardInterrupt

    settings: dict[str, Any] = SETTINGS | {"cache": cache, "backend": "serial"}
    with pytest.raises(KeyboardInterrupt):
        extract_features(images, network, on_progress=stop, **settings)
    first, second = sorted(cache.glob("*/shard-*"))
    aside = first.rename(first.with_name("aside"))
    second.rename(first)
    aside.rename(second)
    again = Counting(images)
    np.testing.assert_array_equal(extract_features(again, network, **settings).array(), expected)
    assert again.decoded == list(range(IMAGES))


@pytest.mark.parametrize("damage", [*DAMAGES, "altered header"])
def test_a_damaged_array_is_computed_again(
    damage: str,
    images: ImageFiles,
    cache: Path,
    network: Backbone,
    expected: np.ndarray,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings: dict[str, Any] = SETTINGS | {"cache": cache, "backend": "serial"}
    before = extract_features(images, network, **settings)
    if damage == "altered header":
        header = before.path.with_name("features.json")
        header.write_text(header.read_text().replace('"bad": {}', '"bad": {"0000.png": "none"}'))
    else:
        change(before.path, damage)
    again = Counting(images)
    found = extract_features(again, network, **settings)
    assert again.decoded == list(range(IMAGES))
    assert found == before
    np.testing.assert_array_equal(found.array(), expected)
    assert "features.npy: damaged, computed again" in caplog.text
    last = Counting(images)
    extract_features(last, network, **settings)
    assert last.decoded == []


def test_a_damaged_index_of_files_costs_reading_them_again(images: ImageFiles, cache: Path, network: Backbone) -> None:
    before = features_digest(images, network, cache=cache, **SETTINGS)
    (index,) = cache.glob("files-*.json")
    content = index.read_bytes()
    for damaged in (
        b"",
        b"null",
        b"[1]",
        b'{"a": 5}',
        b'{"a": [Infinity, 1, "x"]}',
        b"[" * 100_000,
        content[: len(content) // 2],
    ):
        index.write_bytes(damaged)
        assert features_digest(images, network, cache=cache, **SETTINGS) == before
