"""How much of a bias the best reader of features explains, as a differentiable penalty for gates."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot


def readable_share(z: Float[Tensor, "R B d"], b: Int[Tensor, "R B"], values: int) -> Float[Tensor, "R"]:
    """Share of the variance of b's indicators that the best linear reader of z explains, 0 to 1; differentiable in z.

    The normalised Pillai trace tr(Σ_bb⁺ Σ_bz Σ_zz⁻¹ Σ_zb) / (C − 1), in closed form: what a *converged* reader can do
    with these rows, where I is what a given head does. Of independent variables about d / B is explained by chance.
    `Σ_zz` is raised by `RIDGE` of its mean diagonal, so that features that are closed count for nothing.

    Σ_bb is singular, since indicators sum to one; one over the values' frequencies is a generalised inverse of it, and
    the trace is the same for all of them.
    """
    seen = one_hot(b.long(), values).to(z.dtype)
    centred = z - z.mean(dim=1, keepdim=True)
    covariance = centred.mT @ centred
    floor = RIDGE * covariance.diagonal(dim1=1, dim2=2).mean(dim=1) + torch.finfo(z.dtype).tiny
    covariance = covariance + torch.diag_embed(floor.unsqueeze(1).expand(-1, z.shape[-1]))
    crossed = centred.mT @ seen  # d, C
    explained = (crossed * torch.linalg.solve(covariance, crossed)).sum(dim=1)
    return (explained / seen.sum(dim=1).clamp(min=1)).sum(dim=1) / (values - 1)


RIDGE = 1e-3
"""Share of the mean variance of a feature that is added to each feature's own before the covariance is inverted."""
