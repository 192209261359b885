"""Drawn CIFAR-10: the real layout, the same bytes each time, a shape and a colour to learn."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from counterpoise.data import cifar10s, pixels
from counterpoise.data.generate.cifar10 import SHAPES, SIZE, write_cifar10
from counterpoise.data.generate.folders import MARKER
from counterpoise.data.images import decode
from counterpoise.data.pixels import open_images
from counterpoise.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cifar") / "cifar10"
    write_cifar10(path)
    return path


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*.png"))
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_layout_is_what_the_reader_expects(folder: Path) -> None:
    table = cifar10s.read(folder)
    assert table.groupby(["official_part", "domain", "label"]).size().unique().tolist() == [20, 60]
    assert sorted(table["label"].unique()) == sorted(SHAPES)
    assert decode(folder / table["image"][0]).shape == (3, SIZE, SIZE)


def test_colour_is_a_cue_and_grey_hides_it(folder: Path) -> None:
    """The mean colour of an image's middle tells classes apart, beyond chance (1 in 10); in grey it tells less."""
    table = cifar10s.read(folder).query("domain == 'colour'")
    images = open_images("cifar10s", folder, table["image"])
    decoded = pixels.gather([pixels.decode_chunk(range(len(images)), images)], images).decoded
    train = (table["official_part"] == "train").to_numpy()
    accuracy = []
    for shown in (decoded, cifar10s.grey(decoded)):
        middle = shown[..., 14:19, 14:19].float().mean(dim=(-2, -1)).numpy() / 255
        model = LogisticRegression(C=100, max_iter=2000).fit(middle[train], table["label"][train])
        accuracy.append(model.score(middle[~train], table["label"][~train]))
    assert accuracy[0] > 0.35
    assert accuracy[0] > accuracy[1] + 0.15


def test_the_same_call_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    write_cifar10(few, train=3, test=2)
    drawn, all_drawn = digests(few), digests(folder)
    assert len(drawn) == 50
    assert drawn.items() <= all_drawn.items()
    assert len(set(all_drawn.values())) == len(all_drawn) == 800
    before = (few / MARKER).stat().st_mtime_ns
    write_cifar10(few, train=3, test=2)
    assert (few / MARKER).stat().st_mtime_ns == before
    write_cifar10(few, train=3, test=2, seed=1)
    assert not set(digests(few).values()) & set(drawn.values())


def test_real_data_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match=r"holds files that were not drawn here, expected an empty folder"):
        write_cifar10(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_no_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found 0 and 20, expected at least one"):
        write_cifar10(tmp_path / "none", train=0)


def test_shapes_differ_in_grey(folder: Path) -> None:
    """The outlines of two classes never cover the same pixels, whatever their colours."""
    covered = {}
    for kind in SHAPES:
        names = [f"train/{kind}/{number:04d}.png" for number in range(20)]
        images = open_images("cifar10s", folder, names)
        shown = cifar10s.grey(pixels.gather([pixels.decode_chunk(range(20), images)], images).decoded)[:, 0].float()
        contrast = (shown - shown[:, :4, :4].mean(dim=(1, 2))[:, None, None]).abs()
        covered[kind] = (contrast / contrast.amax(dim=(1, 2), keepdim=True)).mean(dim=0)
    flat = torch.stack(list(covered.values())).flatten(1)
    distance = torch.cdist(flat, flat) + 100 * torch.eye(len(flat))
    assert distance.min() > 1.0
    assert np.isfinite(distance.numpy()).all()
