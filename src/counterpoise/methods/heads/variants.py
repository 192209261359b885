"""Variants: a method with its settings, and the head it starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from jaxtyping import Float
from torch import Tensor

from counterpoise.bounds import Count, Share, Values
from counterpoise.catalogue import require_names, run_by
from counterpoise.errors import InputError
from counterpoise.methods.heads.neutralize import Neutralizer, neutralize
from counterpoise.methods.heads.weighted_svd import weighted_svd
from counterpoise.nn import Factors

FINE_TUNED = run_by("heads.finetuning:run")
"""Methods that differ in the head they start from."""


@dataclass(frozen=True)
class Variants:
    """The grid of ways to fine-tune: every method at every rank, WIN at every α and with every neutralizer.

    Raises:
        InputError: an unknown method, or one twice.
    """

    methods: Values[str]
    ranks: Values[Count]
    alphas: Values[Share] = (0.5,)
    neutralizers: Values[Neutralizer] = ("mean",)

    def __post_init__(self) -> None:
        require_names(self.methods, FINE_TUNED)

    def grid(self) -> list[Variant]:
        """Return the variants: TL once, f+SVD at every rank, WIN at every rank, α and neutralizer.

        α belongs to the mean; the other neutralizers have none.
        """
        variants: list[Variant] = []
        for method in self.methods:
            if method == "tl":
                variants.append(Variant(method))
            elif method == "svd":
                variants += [Variant(method, rank) for rank in self.ranks]
            else:
                for rank, neutralizer in product(self.ranks, self.neutralizers):
                    alphas = self.alphas if neutralizer == "mean" else (None,)
                    variants += [Variant(method, rank, alpha, neutralizer) for alpha in alphas]
        return variants

    def require_ranks(self, *, inputs: int, classes: int) -> None:
        """Raise InputError unless every rank fits a head of `inputs` features and `classes` classes."""
        for rank in self.ranks:
            if rank > min(inputs, classes):
                raise InputError(
                    f"conf: variants has rank {rank}, expected 1 … {min(inputs, classes)}, the smaller of the head's "
                    "numbers of features and classes"
                )


@dataclass(frozen=True)
class Variant:
    """A way to fine-tune a head.

    method: `tl` (plain transfer learning: W and b), `svd` (f+SVD: the factors of the plain SVD), `win` (the factors of
    the SVD weighted by neutralized importance). WIN, Section 4.1.
    """

    method: str
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

    @property
    def settings(self) -> dict[str, Any]:
        """The settings under the column names of `metrics.parquet`."""
        return {"method": self.method, "alpha": self.alpha, "rank": self.rank, "constraint": None, "strength": None}

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
