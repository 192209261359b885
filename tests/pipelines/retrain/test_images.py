"""Partitions of images: the bytes of a file decide whether it is held out, repeated or altered, not its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from counterpoise.artifacts.retraining import SOURCE, RowsFolder
from counterpoise.config.parameters import Dataset
from counterpoise.config.retraining import Retraining
from counterpoise.data.partitions import FILE
from counterpoise.errors import InputError
from counterpoise.pipelines.retrain.partitions import HELD_OUT, audit_partitions, take_partitions, training_rows

from .conftest import WEEKS

PER_WEEK = 60


@pytest.fixture
def dataset() -> Dataset:
    return Dataset.model_validate(
        {
            "title": "shapes",
            "reader": "image_table",
            "label": "round",
            "positive": 1,
            "classes": ["square", "round"],
            "sensitive": "colour",
            "groups": ["blue", "red"],
            "group_names": ["blue", "red"],
            "origin": "a test",
            "split": {"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 1, "validation": 1, "test": 1}},
        }
    )


def draw(folder: Path, table: Path, below: str, numbers: range) -> Path:
    """Write an image of noise for each number, and a table of their paths below a folder."""
    (folder / below).mkdir(parents=True)
    names = [f"{below}/{number}.png" for number in numbers]
    for number, name in zip(numbers, names, strict=True):
        pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    colours = ["red" if number % 3 else "blue" for number in numbers]
    pd.DataFrame({"image": names, "round": [n % 2 for n in numbers], "colour": colours}).to_csv(table, index=False)
    return table


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    draw(tmp_path / "raw", tmp_path / "raw" / "images.csv", "all", range(100))
    return tmp_path / "raw"


@pytest.fixture
def inbox(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "partitions"
    starts = (1000, 2000, 3000)
    return {
        f"shapes-{week}": draw(folder, folder / f"shapes-{week}.csv", week, range(start, start + PER_WEEK))
        for week, start in zip(WEEKS, starts, strict=True)
    }


def test_training_reads_the_images_of_all_partitions_from_one_folder(
    inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining, tmp_path: Path
) -> None:
    batch, rows = take_partitions(inbox, inbox, {}, (), raw, dataset, retraining)
    trained = training_rows(rows)
    assert list(trained) == ["image", "round", "colour", SOURCE]
    assert len(trained) + rows[HELD_OUT].sum() == len(rows) == 100 + 2 * PER_WEEK + PER_WEEK
    folder = RowsFolder(filepath=str(tmp_path / "training"), file="rows.parquet")
    folder.save(trained)
    stored = pd.read_parquet(folder.load() / "rows.parquet")
    assert stored.equals(trained.drop(columns=SOURCE))
    for name, source in zip(trained["image"], trained[SOURCE], strict=True):
        assert (folder.load() / name).read_bytes() == Path(source).read_bytes()
    moved = {row["column"] for row in audit_partitions(rows, batch, dataset)["drift"]}
    assert moved == {"round", "colour", "image brightness", "image contrast", "image width", "image height"}


def test_an_image_is_on_the_same_side_under_every_name(
    inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining
) -> None:
    name, path = next(iter(inbox.items()))
    copies = pd.read_csv(path).iloc[:50]
    for row, image in enumerate(copies["image"]):
        content = (raw / f"all/{row}.png").read_bytes()
        (path.parent / image).write_bytes(content)
    copies.to_csv(path, index=False)
    _, rows = take_partitions({name: path}, inbox, {}, (), raw, dataset, retraining)
    sides = rows.assign(content=[Path(file).read_bytes() for file in rows[FILE]]).groupby("content")[HELD_OUT]
    assert (sides.nunique() == 1).all()
    assert (sides.size() == 2).sum() == len(copies)
    assert training_rows(rows)["image"].is_unique


def test_images_that_cannot_be_used_are_named(
    inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining
) -> None:
    first, second, third = inbox.values()
    (first.parent / pd.read_csv(second)["image"][0]).write_bytes(b"no image")
    renamed = pd.read_csv(first)
    for row, image in enumerate(pd.read_csv(third)["image"]):
        (first.parent / image).write_bytes((first.parent / renamed["image"][row]).read_bytes())
    pd.read_csv(third).assign(round=renamed["round"], colour=renamed["colour"]).to_csv(third, index=False)
    batch, _ = take_partitions(inbox, inbox, {}, (), raw, dataset, retraining)
    sentences: dict[str, Any] = batch["quarantined"]
    assert "1 of 60 images cannot be used" in sentences[f"shapes-{WEEKS[1]}"]
    assert f"has the same rows as shapes-{WEEKS[0]}" in sentences[f"shapes-{WEEKS[2]}"]

    (first.parent / renamed["image"][0]).write_bytes((raw / "all/0.png").read_bytes())
    later = {f"shapes-{WEEKS[1]}": draw(first.parent, second, "again", range(4000, 4000 + PER_WEEK))}
    with pytest.raises(InputError, match=rf"shapes-{WEEKS[0]}.csv: an image was altered after it was decided on"):
        take_partitions(later, inbox, batch["entries"], (), raw, dataset, retraining)
