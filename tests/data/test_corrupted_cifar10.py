"""Corrupted CIFAR-10: corruptions that change images, each in its own way, and always the same one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from counterpoise.data import corrupted_cifar10
from counterpoise.data.corrupted_cifar10 import CORRUPTIONS, SEVERITIES, corrupt
from counterpoise.data.generate.cifar10 import SHAPES, draw_shape, write_cifar10
from counterpoise.errors import InputError


def test_a_row_is_shown_under_its_corruption(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "cifar10", train=9, test=2)
    table = corrupted_cifar10.read(tmp_path / "cifar10", severity=2)
    assert table.columns.tolist() == ["image", "label", "corruption", "official_part", "severity"]
    assert table.groupby("corruption").size().sum() == 2 * 110
    own = dict(zip(corrupted_cifar10.CLASSES, CORRUPTIONS, strict=True))
    np.testing.assert_array_equal(table["corruption"][:110], table["label"][:110].map(own))
    rows = table.iloc[[0, 130, 50, 219]]
    pixels = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shown = corrupted_cifar10.render(pixels, rows)
    for row, (name, corruption) in enumerate(zip(rows["image"], rows["corruption"], strict=True)):
        alone = corrupt(pixels[[row]], [name], corruption, severity=2)
        assert (shown[row].int() - alone[0].int()).abs().max() <= 1


def test_wrong_severities_and_classes_are_refused(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "cifar10", train=1, test=1, size=8)
    for severity in (0, 6):
        with pytest.raises(InputError, match=r"severity: found .*, expected a whole number from 1 to 5"):
            corrupted_cifar10.read(tmp_path / "cifar10", severity=severity)
    for part in ("train", "test"):
        (tmp_path / "cifar10" / part / "cat").rename(tmp_path / "cifar10" / part / "lion")
    with pytest.raises(InputError, match=r"holds the classes .*, lion, .*, expected airplane, automobile"):
        corrupted_cifar10.read(tmp_path / "cifar10")


NAMES = [f"train/{kind}/0000.png" for kind in SHAPES]
DRAWN = ("snow", "frost", "fog", "spatter", "elastic")
kinds = pytest.mark.parametrize("kind", CORRUPTIONS)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """One drawn image of each class, of CIFAR-10's size."""
    drawn = [
        np.array(draw_shape(outline, colour, np.random.default_rng(number), 32))
        for number, (colour, outline) in enumerate(SHAPES.values())
    ]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous()


def difference(left: Tensor, right: Tensor) -> Tensor:
    """Return the mean absolute difference of each image, in grey levels."""
    return (left.int() - right.int()).abs().float().mean(dim=(1, 2, 3))


@kinds
@pytest.mark.parametrize("severity", SEVERITIES)
def test_images_are_changed_and_still_recognised(images: Tensor, kind: str, severity: int) -> None:
    before = images.clone()
    corrupted = corrupt(images, NAMES, kind, severity=severity)
    assert corrupted.shape == images.shape
    assert corrupted.dtype == torch.uint8
    assert torch.equal(images, before)
    changed = difference(corrupted, images)
    assert (changed > 1).all()
    assert (changed < 110).all()
    flat = [
        shown.float().flatten(1) - shown.float().flatten(1).mean(dim=1, keepdim=True) for shown in (corrupted, images)
    ]
    likeness = torch.nn.functional.normalize(flat[0]) @ torch.nn.functional.normalize(flat[1]).T
    assert (likeness.diagonal() > 0.2).all()


@kinds
def test_the_severest_is_severer_than_the_mildest(images: Tensor, kind: str) -> None:
    mild, severe = (difference(corrupt(images, NAMES, kind, severity=level), images).mean() for level in (1, 5))
    assert severe > 1.2 * mild


@kinds
def test_an_image_does_not_depend_on_the_others(images: Tensor, kind: str) -> None:
    together = corrupt(images, NAMES, kind, severity=4)
    for row in (0, 7):
        alone = corrupt(images[[row]], [NAMES[row]], kind, severity=4)
        assert (alone[0].int() - together[row].int()).abs().max() <= 1  # sums may round by the size of a batch
    assert torch.equal(together, corrupt(images, NAMES, kind, severity=4))


@kinds
def test_what_is_drawn_goes_by_the_name(images: Tensor, kind: str) -> None:
    same = images[:1].expand(2, -1, -1, -1)
    one, other = corrupt(same, ["a.png", "b.png"], kind, severity=4)
    assert torch.equal(one, other) == (kind not in DRAWN)


def test_corruptions_differ_from_each_other(images: Tensor) -> None:
    shown = torch.stack([corrupt(images, NAMES, kind, severity=4) for kind in CORRUPTIONS]).float().flatten(1)
    assert (torch.cdist(shown, shown) + 1e9 * torch.eye(len(shown))).min() > 1000


def test_light_and_colour_by_hand() -> None:
    """Severity 1, in levels of 255: brightness adds 0.1 to the largest channel, contrast keeps 70% of the deviation."""
    pixels = torch.tensor([[[[0, 100]], [[0, 50]], [[0, 25]]]], dtype=torch.uint8)
    bright = corrupt(pixels, ["a"], "brightness", severity=1)
    assert bright[0, :, 0].T.tolist() == [[26, 26, 26], [126, 63, 31]]  # 0 + 25.5 and 100 · 1.255
    flat = corrupt(pixels, ["a"], "contrast", severity=1)
    assert flat[0, 0, 0].tolist() == [15, 85]  # 50 ∓ 35
    vivid = corrupt(pixels, ["a"], "saturate", severity=1)
    assert vivid[0, :, 0].T.tolist() == [[0, 0, 0], [100, 33, 0]]  # (100 − 50) / 100 · 4/3: saturation stops at 1


def test_pixelate_averages_squares() -> None:
    pixels = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    pixels[..., :2, :2] = 200
    pixels[..., 0, 0] = 100
    coarse = corrupt(pixels, ["a"], "pixelate", severity=3)  # half as many pixels along each edge
    assert (coarse[..., :2, :2] == 175).all()
    assert not coarse[..., 2:, :].any()
