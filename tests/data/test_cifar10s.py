"""CIFAR-10S: one table out of two layouts, and folders and batches that are not what they should be."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from counterpoise import data
from counterpoise.data import cifar10, cifar10s
from counterpoise.data.pixels import open_images
from counterpoise.errors import InputError

CLASSES = ("airplane", "cat", "dog")
PER_BATCH = 12


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files as torchvision reads them, of three classes; their MD5 sums are the published ones while a test runs."""
    from torchvision.datasets import CIFAR10

    folder = tmp_path / "batches" / cifar10.BATCHES
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)

    def write(name: str, content: object) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    sums = {
        name: write(
            name,
            {
                "data": generator.integers(0, 256, (PER_BATCH, 3 * 32 * 32), dtype=np.uint8),
                "labels": generator.permutation(np.arange(PER_BATCH) % len(CLASSES)).tolist(),
            },
        )
        for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
    }
    meta = write("batches.meta", {"label_names": list(CLASSES)})
    monkeypatch.setattr(CIFAR10, "train_list", [sums[f"data_batch_{number}"] for number in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [sums["test_batch"]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": meta[1]})
    return folder.parent


@pytest.fixture
def tree(batches: Path, tmp_path: Path) -> Path:
    """The images of the batches as files, numbered within their class in the order of the batches."""
    folder = tmp_path / "tree"
    numbers: dict[Path, int] = {}
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        batch = pickle.loads((batches / cifar10.BATCHES / name).read_bytes())
        for pixels, label in zip(batch["data"], batch["labels"], strict=True):
            into = folder / ("test" if name == "test_batch" else "train") / CLASSES[label]
            into.mkdir(parents=True, exist_ok=True)
            numbers[into] = numbers.get(into, -1) + 1
            channels_last = pixels.reshape(3, 32, 32).transpose(1, 2, 0)
            Image.fromarray(channels_last).save(into / f"{numbers[into]:04d}.png")
    return folder


def test_both_layouts_give_the_same_table_and_the_same_pixels(tree: Path, batches: Path) -> None:
    table = data.read("cifar10s", tree)
    pd.testing.assert_frame_equal(table, cifar10s.read(batches))
    names = table.loc[table["domain"] == "colour", "image"]
    from_files, from_batches = open_images("cifar10s", tree, names), open_images("cifar10s", batches, names)
    assert len(from_files) == len(from_batches) == 6 * PER_BATCH
    for file, batch in zip(map(from_files.__getitem__, range(len(names))), from_batches, strict=True):
        assert file.name == batch.name
        assert torch.equal(file.pixels, batch.pixels)


def test_every_image_is_offered_in_both_domains(tree: Path) -> None:
    table = cifar10s.read(tree)
    assert table.columns.tolist() == ["image", "label", "domain", "official_part"]
    assert table.index.equals(pd.RangeIndex(12 * PER_BATCH))
    assert (table.groupby("image")["domain"].agg(tuple) == ("colour", "grey")).all()
    assert table.groupby(["official_part", "label"]).size().tolist() == [8, 8, 8, 40, 40, 40]
    name = table["image"].str.split("/", expand=True)
    assert (name[0] == table["official_part"]).all()
    assert (name[1] == table["label"]).all()


def test_a_transform_runs_on_each_image_of_a_batch(batches: Path) -> None:
    names = cifar10s.read(batches)["image"][:3]
    plain, halved = open_images("cifar10s", batches, names), open_images("cifar10s", batches, names, lambda x: x // 2)
    assert torch.equal(plain[2].pixels // 2, halved[2].pixels)


def test_the_real_images(raw: Callable[..., Path]) -> None:
    table = cifar10s.read(raw("cifar10", "train"))
    assert len(table) == 120_000
    assert table.groupby(["official_part", "label", "domain"]).size().unique().tolist() == [1_000, 5_000]


def test_no_data_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"train: no such folder; download cifar-10-python\.tar\.gz from .* or put images"
    ):
        cifar10s.read(tmp_path)


def test_a_class_that_a_part_lacks_is_named(tree: Path) -> None:
    for image in (tree / "test" / "cat").iterdir():
        image.unlink()
    with pytest.raises(InputError, match=r"test/cat: holds no image, expected at least one of the class 'cat'"):
        cifar10s.read(tree)
    (tree / "test" / "cat").rmdir()
    with pytest.raises(InputError, match=r"test/cat: no such folder, expected one for each class of the other part"):
        cifar10s.read(tree)


def test_a_part_without_classes(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
    with pytest.raises(InputError, match=r"train: holds no folder, expected one for each class"):
        cifar10s.read(tmp_path)


def test_a_missing_batch_is_named(batches: Path) -> None:
    (batches / cifar10.BATCHES / "data_batch_3").unlink()
    with pytest.raises(InputError, match=r"data_batch_3: no such file, expected the published batches; download"):
        cifar10s.read(batches)


def test_an_altered_batch_is_never_unpickled(batches: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (tmp_path / "sprung",)

    (batches / cifar10.BATCHES / "test_batch").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match=r"cifar-10-batches-py: a file is altered, expected the published batches"):
        cifar10s.read(batches)
    assert not (tmp_path / "sprung").exists()


def test_checksums_are_compared_on_request(tree: Path) -> None:
    with pytest.raises(InputError, match=r"0000\.png: found SHA-256"):
        cifar10s.read(tree, checksums={"train/cat/0000.png": "0" * 64})
