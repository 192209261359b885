"""Digits on two colours: which half shows which bias."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from counterpoise.data import multicolor_mnist


@pytest.mark.parametrize("width", [4, 5])
def test_halves_have_their_own_colours(width: int) -> None:
    rows = pd.DataFrame({"left": ["red", "blue"], "right": ["ink", "pink"]})
    rendered = multicolor_mnist.render(torch.zeros(2, 3, 1, width, dtype=torch.uint8), rows)
    right = width - 2
    assert rendered[0, :, 0].T.tolist() == [[255, 0, 45]] * 2 + [[15, 15, 60]] * right
    assert rendered[1, :, 0].T.tolist() == [[0, 0, 255]] * 2 + [[240, 150, 150]] * right


def contrast_with_white(colour: tuple[int, int, int]) -> float:
    """WCAG's ratio of luminances."""
    channels = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in np.divide(colour, 255)
    ]
    return 1.05 / (float(np.dot(channels, (0.2126, 0.7152, 0.0722))) + 0.05)


def test_colours_are_far_apart_and_digits_legible() -> None:
    """Of both palettes together: no two colours are alike, white stands out on every one."""
    colours = [*multicolor_mnist.LEFT_PALETTE.values(), *multicolor_mnist.RIGHT_PALETTE.values()]
    assert len(set(colours)) == 20
    assert not set(multicolor_mnist.LEFT_PALETTE) & set(multicolor_mnist.RIGHT_PALETTE)
    distance = np.linalg.norm(np.subtract.outer(colours, colours).diagonal(axis1=1, axis2=3), axis=-1)
    assert (distance + 999 * np.eye(20)).min() > 45
    assert min(map(contrast_with_white, colours)) > 2
