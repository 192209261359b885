"""How long and on how much something is trained: what every training's settings have in common."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from counterpoise.bounds import Count
from counterpoise.nn.optimizers import Optimizer


@dataclass(frozen=True)
class Training:
    """One training run: of a bank, or of whole networks.

    Attributes:
        batch_size: rows of each replicate per step; None takes all of them at once.
        augment, keep: of whole networks that read images: whether they are cropped and mirrored at random, and whether
            the epoch with the lowest loss on the validation rows is kept or the last one.
    """

    epochs: Count
    batch_size: Count | None
    optimizer: Optimizer = field(default_factory=Optimizer)
    augment: bool = True
    keep: Literal["best", "last"] = "best"

    def lasting(self, epochs: int | None) -> Training:
        """Return the same for so many epochs; None leaves them."""
        return self if epochs is None else replace(self, epochs=epochs)
