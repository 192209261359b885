"""Drawn digits: a classifier can learn them."""

from __future__ import annotations

import numpy as np

from counterpoise.data.generate.mnist import draw_digit


def test_drawn_digits_can_be_told_apart() -> None:
    """The nearest mean of other drawings names most digits."""
    drawn = np.stack(
        [[draw_digit(digit, np.random.default_rng([digit, n]), 28) for n in range(20)] for digit in range(10)]
    )
    means = drawn[:, :10].mean(axis=1)
    distance = ((drawn[:, 10:, None] - means) ** 2).sum(axis=(-2, -1))
    assert (distance.argmin(axis=-1) == np.arange(10)[:, None]).mean() > 0.8
