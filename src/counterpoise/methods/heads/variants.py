"""Variants: a method with its settings, and the head it starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from counterpoise.methods.heads.neutralize import Neutralizer, neutralize
from counterpoise.methods.heads.weighted_svd import weighted_svd
from counterpoise.nn import Factors

Method = Literal["tl", "svd", "win"]


@dataclass(frozen=True)
class Variant:
    """A way to fine-tune a head.

    method: `tl` (plain transfer learning: W and b), `svd` (f+SVD: the factors of the plain SVD), `win` (the factors of
    the SVD weighted by neutralized importance). WIN, Section 4.1.
    """

    method: Method
    rank: int | None = None
    alpha: float | None = None
    neutralizer: Neutralizer = "mean"

    @property
    def name(self) -> str:
        """A name that says the settings: `tl`, `svd_r1`, `win_r2_a0.5`, `win_r2_harmonic`."""
        parts: list[str] = [self.method]
        if self.rank is not None:
            parts.append(f"r{self.rank}")
        if self.method == "win":
            parts.append(f"a{self.alpha:g}" if self.neutralizer == "mean" else self.neutralizer)
        return "_".join(parts)

    def factors(
        self, weight: Float[Tensor, "R d k"], bias: Float[Tensor, "R k"], importance: Float[Tensor, "R G d"]
    ) -> Factors:
        """Return the head that this variant starts from (WIN, Algorithm 1)."""
        if self.method == "tl":
            return Factors(first=weight, bias=bias)
        assert self.rank is not None
        weights = None
        if self.method == "win":
            alpha = 0.5 if self.alpha is None else self.alpha
            weights = neutralize(importance, alpha=alpha, neutralizer=self.neutralizer)
        first, second = weighted_svd(weight, weights, self.rank)
        return Factors(first=first, second=second, bias=bias)


def head_bank(
    variants: Sequence[Variant],
    weight: Float[Tensor, "R d k"],
    bias: Float[Tensor, "R k"],
    importance: Float[Tensor, "R G d"],
) -> dict[str, Factors]:
    """Return every variant's initial head by name."""
    return {variant.name: variant.factors(weight, bias, importance) for variant in variants}
