"""Soft gaps between groups: means of probabilities, not of decisions, which can be differentiated; over a batch.

The mean of a group is summed up in two ways, on purpose: for the many models of a bank by a product (`soft_rates`),
for one network of each replicate element by element (`soft_bias`). The last bits of the two differ in nearly every
batch, so that neither can take the other's place without changing what was trained with it.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from counterpoise.nn.linalg import in_full_blocks

Bias = Literal["spd", "eod", "aod", "mean_bias"]
"""Signed differences of two groups, two classes (the altering paper, Eq. 4 to 6); or CIFAR-10S's bias, many classes."""


def soft_rates(
    probability: Float[Tensor, "R V B"], cell: Int[Tensor, "R B"], *, cells: int
) -> tuple[Float[Tensor, "R V cells"], Bool[Tensor, "R 1 cells"]]:
    """Return the mean probability in each cell, and which cells the batch has any row of."""
    member = functional.one_hot(cell, cells).to(probability.dtype)  # R, B, cells
    rows = member.sum(dim=1, keepdim=True)
    return torch.bmm(probability, member) / rows.clamp(min=1), rows > 0


def largest_gap(rates: Float[Tensor, "*batch G"], present: Bool[Tensor, "*#batch G"]) -> Float[Tensor, "*batch"]:
    """Return the largest gap between any two groups that are present, 0 if fewer than two are."""
    high = rates.masked_fill(~present, 0.0).amax(dim=-1)  # rates are probabilities: 0 and 1 never win against one
    low = rates.masked_fill(~present, 1.0).amin(dim=-1)
    return torch.where(present.sum(dim=-1) > 1, high - low, 0.0)


def soft_bias(
    bias: Bias, logits: Float[Tensor, "R B k"], y: Int[Tensor, "R B"], s: Int[Tensor, "R B"]
) -> Float[Tensor, "R"]:
    """Return the bias of each replicate's batch with probabilities in the place of decisions.

    SPD: mean p̂ of group 0 minus that of group 1; EOD: the same among y = 1; AOD: half the sum of the same among y = 1
    and among y = 0. A term of which a group has no row in the batch is left out: it is 0, not a gap to an imagined 0.
    `mean_bias`: mean over the classes of |share of group 1 among what is predicted as the class − ½|.
    """
    if bias == "mean_bias":
        p = logits.softmax(dim=-1)
        mass = torch.stack([(p * (s == group).unsqueeze(-1)).sum(dim=1) for group in (0, 1)])  # 2, R, k
        total = mass.sum(dim=0)
        share = mass[1] / total.clamp(min=torch.finfo(p.dtype).tiny)
        return (share - 0.5).abs().where(total > 0, 0).mean(dim=-1)
    p = in_full_blocks(torch.sigmoid, logits.squeeze(-1))
    if bias == "spd":
        return _gap(p, s, torch.ones_like(s, dtype=torch.bool))
    gap = _gap(p, s, y == 1)
    return gap if bias == "eod" else 0.5 * (gap + _gap(p, s, y == 0))


def _gap(p: Float[Tensor, "R B"], s: Int[Tensor, "R B"], among: Bool[Tensor, "R B"]) -> Float[Tensor, "R"]:
    members = torch.stack([among & (s == group) for group in (0, 1)]).to(p.dtype)  # 2, R, B
    sizes = members.sum(dim=-1)
    means = (members * p).sum(dim=-1) / sizes.clamp(min=1)
    return (means[0] - means[1]).where((sizes > 0).all(dim=0), 0)
