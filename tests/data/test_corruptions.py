"""Corruptions of small images: what each changes, and how strongly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from counterpoise.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from counterpoise.data.generate.cifar10 import SHAPES, draw_shape

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
