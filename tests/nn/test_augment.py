"""Crops and mirror images of a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from counterpoise.nn import generators
from counterpoise.nn.augment import crop_and_flip

EDGE, MOST = 16, 2


def images(count: int) -> Tensor:
    return torch.randint(1, 256, (2, count, 3, EDGE, EDGE), dtype=torch.uint8)


def places(image: Tensor, made: Tensor) -> list[tuple[int, int, bool]]:
    """Every shift, mirrored or not, that turns one image into another."""
    padded = pad(image, (MOST,) * 4)
    found = []
    for down in range(2 * MOST + 1):
        for right in range(2 * MOST + 1):
            cut = padded[:, down : down + EDGE, right : right + EDGE]
            found += [
                (down, right, mirrored) for mirrored in (False, True) if made.equal(cut.flip(2) if mirrored else cut)
            ]
    return found


def test_every_image_is_shifted_within_black_edges_and_half_of_them_are_mirrored() -> None:
    given = images(150)
    made = crop_and_flip(given, generators([0, 1], "augmentation"))
    found = [places(image, other) for image, other in zip(given.flatten(0, 1), made.flatten(0, 1), strict=True)]
    assert all(len(where) == 1 for where in found)
    downs, rights, mirrored = zip(*(where[0] for where in found), strict=True)
    assert set(downs) == set(rights) == set(range(2 * MOST + 1))
    assert 100 < sum(mirrored) < 200  # 150 ± 8.7


def test_a_replicate_draws_alone() -> None:
    given = images(20)
    together = crop_and_flip(given, generators([3, 4], "augmentation"))
    alone = crop_and_flip(given[1:], generators([4], "augmentation"))
    assert torch.equal(together[1:], alone)
    assert not torch.equal(crop_and_flip(given[:1], generators([4], "augmentation")), together[:1])
