"""LEACE: erase from features all that a linear predictor of the group can use (Belrose et al., NeurIPS 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

NO_CORRELATION = 1e-10
"""Whitened cross-covariances below this are rounding: standardised, the smallest that n rows can show is about 1/n."""


@dataclass(frozen=True)
class Eraser:
    """The affine map r(x) = x − (x − mean) · reads · writes; reads · writes is the transpose of W⁺ P W, of rank < G."""

    mean: Float[Tensor, "*batch d"]
    reads: Float[Tensor, "*batch d G"]
    writes: Float[Tensor, "*batch G d"]

    def __call__(self, x: Float[Tensor, "*batch m d"]) -> Float[Tensor, "*batch m d"]:
        """Return r(x) in the precision of x."""
        exact = x.double()
        return (exact - (exact - self.mean.unsqueeze(-2)) @ self.reads @ self.writes).to(x.dtype)


def fit_eraser(x: Float[Tensor, "*batch n d"], s: Int[Tensor, "*batch n"]) -> Eraser:
    """Return r(x) = x − W⁺ P W (x − mean) (Theorem 4.3), in float64, one map for each leading index.

    W = (Σ_XX^½)⁺ whitens the features, and P projects on the column space of W Σ_XS, with S the one-hot groups. On the
    rows it is fitted on, r(x) has no covariance with any group, so that no linear predictor of s beats the constant
    (Theorem 3.1); of all affine maps that achieve this it changes x least, in every norm. Directions in which the
    features do not vary, such as dead units, are left alone. With a single group r(x) = x.
    """
    exact = x.double()
    mean = exact.mean(dim=-2)
    centred = exact - mean.unsqueeze(-2)
    groups = one_hot(s, int(s.max()) + 1).double()
    covariance = centred.mT @ centred / x.shape[-2]
    cross = centred.mT @ groups / x.shape[-2]  # centred features: the groups need not be
    values, vectors = torch.linalg.eigh(covariance)
    # Where the features are linearly dependent, eigenvalues are rounding: as a matrix's numerical rank is defined.
    varies = values > values[..., -1:] * (x.shape[-1] * torch.finfo(exact.dtype).eps)
    root = torch.where(varies, values, 0.0).sqrt().unsqueeze(-2)
    inverse_root = torch.where(varies, values, torch.inf).rsqrt().unsqueeze(-2)
    basis, strength, _ = torch.linalg.svd((vectors * inverse_root) @ (vectors.mT @ cross), full_matrices=False)
    coordinates = vectors.mT @ (basis * (strength > NO_CORRELATION).unsqueeze(-2))
    return Eraser(mean, (vectors * inverse_root) @ coordinates, ((vectors * root) @ coordinates).mT)
