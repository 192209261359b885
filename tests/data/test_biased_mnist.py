"""Digits on a coloured background."""

from __future__ import annotations

import pandas as pd
import torch

from counterpoise.data import biased_mnist


def test_ink_covers_the_background_as_its_grey_level_says() -> None:
    """Paper · (255 − ink) / 255 + ink, rounded: no ink leaves the colour, full ink is white."""
    digits = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(1, 3, 1, 3)
    rows = pd.DataFrame({"colour": ["brown"]})  # 135, 90, 0
    rendered = biased_mnist.render(digits, rows)
    assert rendered[0, :, 0].T.tolist() == [[135, 90, 0], [159, 123, 51], [255, 255, 255]]
    assert rendered.dtype == torch.uint8
