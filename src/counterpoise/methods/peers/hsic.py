"""Logistic regression whose score is penalised for its dependence on the group (HSIC; Pérez-Suay et al. 2017)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from counterpoise.methods.heads.penalties import Constraint
from counterpoise.methods.peers.estimators import LinearModel
from counterpoise.methods.peers.settings import Peer
from counterpoise.methods.peers.setup import Decide, Setup, decide_by

ITERATIONS = 200


def fit(peer: Peer, setup: Setup) -> Decide:
    """Minimise `penalised_loss` by L-BFGS on all rows, from the plain logistic regression on."""
    from scipy.optimize import minimize

    constraint, strength = peer.bound
    x = torch.from_numpy(setup.train.x).double()
    y, s = torch.from_numpy(setup.train.y), torch.from_numpy(setup.train.s)
    decay = 1 / (setup.estimator.complexity["C"] * len(y))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        head = torch.from_numpy(parameters).requires_grad_()
        value = penalised_loss(
            *(x @ head[:-1] + head[-1], y, s), constraint=constraint, strength=strength, groups=setup.groups
        )
        value = value + decay / 2 * head[:-1].square().sum()
        (gradient,) = torch.autograd.grad(value, head)
        return value.item(), gradient.numpy()

    plain = setup.plain
    assert isinstance(plain, LinearModel)
    start = np.append(plain.weight[:, 1], plain.bias[1])
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    return decide_by(LinearModel.binary(best[:-1], float(best[-1])))


def penalised_loss(
    logits: Float[Tensor, "n"],
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    *,
    constraint: Constraint,
    strength: float,
    groups: int,
) -> Float[Tensor, ""]:
    """Return the cross-entropy + strength · HSIC(p, s) / HSIC(s, s), of the probability p of class 1.

    For equalised odds (eo) the second term is that of the rows of each true class, summed. With two groups the ratio is
    Δ² / 2, where Δ is the difference of the groups' mean probabilities.
    """
    value = binary_cross_entropy_with_logits(logits, y.to(logits.dtype))
    members = one_hot(s, groups).to(logits.dtype)
    probability = logits.sigmoid().unsqueeze(1)
    for rows in [torch.ones_like(y, dtype=torch.bool)] if constraint == "dp" else [y == 0, y == 1]:
        spread = hsic(members[rows], members[rows])
        if spread > 0:  # rows of one group alone depend on nothing
            value = value + strength * hsic(probability[rows], members[rows]) / spread
    return value


def hsic(a: Float[Tensor, "n p"], b: Float[Tensor, "n q"]) -> Float[Tensor, ""]:
    """Return the Hilbert-Schmidt independence criterion with linear kernels: Σ of the squared covariances.

    It is tr(K H L H) / n² (Gretton et al. 2005) with K = a aᵀ and L = b bᵀ; perfect independence: 0.
    """
    return ((a - a.mean(dim=0)).mT @ (b - b.mean(dim=0)) / len(a)).square().sum()
