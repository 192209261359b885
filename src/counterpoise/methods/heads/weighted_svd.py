"""Factor a head so that the important input features are recovered best (WIN, Eq. 3 and 4)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def weighted_svd(
    weight: Float[Tensor, "*batch d k"], importance: Float[Tensor, "*batch d"] | None, rank: int
) -> tuple[Float[Tensor, "*batch d r"], Float[Tensor, "*batch r k"]]:
    """Return A, B that minimise ‖diag(I) (W − A B)‖ over all factors of the given rank (Eckart and Young).

    With U S Vᵀ = svd(diag(I) W): A = diag(I)⁻¹ U_r S_r and B = V_rᵀ. `importance=None` is I = 1, the plain truncated
    SVD of the baseline f+SVD. A is computed as W V_r, which is the same by definition of the SVD, needs no division,
    and shows what importance can do: it chooses the r directions of the output space that are kept, and nothing else.
    The factorisation runs in float64; signs are fixed (the largest entry of each row of B is positive), so that equal
    inputs give equal factors on any LAPACK.

    Raises:
        ValueError: if the rank is not in 1 … min(d, k).
    """
    if not 1 <= rank <= min(weight.shape[-2:]):
        raise ValueError(f"rank {rank} is outside 1 … min(d, k) = {min(weight.shape[-2:])}")
    exact = weight.double()
    scaled = exact if importance is None else importance.double().unsqueeze(-1) * exact
    directions = torch.linalg.svd(scaled, full_matrices=False).Vh[..., :rank, :]
    peak = directions.abs().argmax(dim=-1, keepdim=True)
    directions = directions * directions.gather(-1, peak).sign()
    return (exact @ directions.mT).to(weight.dtype), directions.to(weight.dtype)
