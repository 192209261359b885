"""The multipliers under which a rule is the most accurate of those within a level: solutions of the dual problem."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoise.methods.heads.penalties import Constraint
from counterpoise.methods.rules.linear import Shares, accuracy_of, decided, rates_of, scored_by
from counterpoise.nn.optimizers import Optimizer

SHARPNESS = 200.0
"""The dual's maximum over classes is a log-sum-exp of scores times this."""

DUAL_STEPS = 120
DUAL_ROWS = 8192
DUAL_RATE = 0.1
"""How the dual is solved; what is left of its error is made up for by the multipliers that are tried around it."""


def dual(
    probability: Float[Tensor, "n cells"],
    shares: Shares,
    constraint: Constraint,
    levels: Sequence[float],
    weights: Float[Tensor, "w k"],
) -> Float[Tensor, "w L J G"]:
    """Return the multipliers of each weighting and each level: minimisers of the convex dual.

    E max_c score_c + ε · Σ max_j ½ Σ_g |λ_jg|: what is paid for gaps of rates that may add up to ε where they are
    bounded together. Adam on a smoothed maximum, all levels at once.
    """
    classes, groups = shares.cells.shape
    rates = rates_of(constraint, classes)
    mass = rates.shares(shares)
    bounded = mass if shares.compared is None else mass[:, list(shares.compared)]
    scale = 1 / (1 / bounded).mean(dim=-1, keepdim=True)  # bias scores are as large as cells are rare
    across = _representative(probability, shares).T.contiguous()
    tolerance = torch.tensor(levels, dtype=torch.float32) * rates.allowance
    accuracy = accuracy_of(weights.unsqueeze(1).expand(-1, len(levels), -1))
    unit = torch.zeros(*accuracy.shape[:2], len(mass), groups, requires_grad=True)
    optimizer = Optimizer(lr=DUAL_RATE, schedule="cosine")
    move = optimizer.build([unit], DUAL_STEPS)
    for _ in range(DUAL_STEPS):
        centred = shares.centred(unit * scale)
        matrix = scored_by(accuracy, centred / mass, rates)
        with torch.no_grad():
            highest = _highest(matrix, across)
        size = centred.abs().sum(dim=-1).unflatten(-1, (-1, rates.together)).amax(dim=-1)
        ((highest * matrix.mT).sum(dim=(-2, -1)) + tolerance * 0.5 * size.sum(dim=-1)).sum().backward()
        move()
    return (unit * scale).detach()


def _highest(matrix: Float[Tensor, "w L cells k"], across: Float[Tensor, "cells n"]) -> Float[Tensor, "w L k cells"]:
    """Return what of each cell has its highest score in each class: the gradient of the smoothed maximum."""
    rows = across.shape[1]
    if matrix.shape[-1] > 2:
        return (SHARPNESS * (matrix.mT @ across)).softmax(dim=-2) @ across.T / rows
    second = (SHARPNESS * (matrix[..., 1] - matrix[..., 0]) @ across).sigmoid_() @ across.T / rows
    return torch.stack([across.mean(dim=1) - second, second], dim=-2)


def _representative(probability: Float[Tensor, "n cells"], shares: Shares) -> Float[Tensor, "m cells"]:
    """Return `DUAL_ROWS` rows at most, evenly along the first class' probability, whose means are the cells' shares."""
    if len(probability) > DUAL_ROWS:
        first = probability[:, : shares.cells.shape[1]].sum(dim=1)
        probability = probability[first.argsort()[:: -(-len(probability) // DUAL_ROWS)]]
    mean = probability.mean(dim=0)
    return probability * torch.where(mean > 0, shares.cells.flatten() / mean, 1.0)


def expected_gaps(
    probability: Float[Tensor, "n cells"],
    rules: Float[Tensor, "*batch rows k"],
    shares: Shares,
    constraint: Constraint,
) -> Float[Tensor, "*batch"]:
    """Return the gaps that a rule has if the probabilities are right, as `dual` bounds them."""
    classes, groups = shares.cells.shape
    rates = rates_of(constraint, classes)
    rows = _representative(probability, shares)
    decision = decided(rows, rules.flatten(0, -3))  # V, n
    others = [((decision == c).float() @ rows / len(rows)).view(-1, classes, groups) for c in range(1, classes)]
    cells = torch.stack([rows.mean(dim=0).view(classes, groups) - sum(others), *others], dim=-1)  # V, k, G, k
    rate = torch.einsum("jtc,vtgc->vjg", rates.counted, cells) / rates.shares(shares)
    of_compared = rate if shares.compared is None else rate[..., list(shares.compared)]
    gap = of_compared.amax(dim=-1) - of_compared.amin(dim=-1)
    together = gap.unflatten(-1, (-1, rates.together)).sum(dim=-1).amax(dim=-1)
    return (together / rates.allowance).view(rules.shape[:-2])
