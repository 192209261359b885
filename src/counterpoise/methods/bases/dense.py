"""The base of ready features, or of a table's own columns: standardised, with nothing to add to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from counterpoise.bounds import Positive, Values
from counterpoise.methods.heads.newton import Plain, Rows, plain, row_weights

FIRST_PULL = 10.0
"""The strongest pull that is tried."""

LAST_PULL = 1e-8
"""The weakest: no pull at all, in float32."""

STEP = 3.0
"""From one pull to the next."""

PATIENCE = 2
"""How many weaker pulls may do worse before no more are tried."""


@dataclass(frozen=True)
class DenseBase:
    """How heads on dense features are held back.

    Attributes:
        pulls: strengths μ of the L2 penalty of standardised coefficients, as multiples of the one with the lowest log
            loss on the replicate's validation rows, which is looked for in steps of three until weaker ones do worse.
    """

    pulls: Values[Positive] = (1.0,)


@dataclass(frozen=True, eq=False)
class Dense:
    """Mean and scale of the features' own training rows [q]."""

    mean: Float[Tensor, "q"]
    scale: Float[Tensor, "q"]

    def view(self, x: Float[Tensor, "n q"]) -> tuple[Float[Tensor, "n q"], Float[Tensor, "n"]]:
        """Return the features that a head sees, and the margin that it adds to: 0."""
        return (x - self.mean) / self.scale, x.new_zeros(len(x))

    def standardised(self, head: Float[Tensor, "p"]) -> Float[Tensor, "p"]:
        """Return the head on standardised features that says what one says of the features as they come."""
        exact = head.double()
        intercept = exact[-1] + exact[:-1] @ self.mean.double()
        return torch.cat([exact[:-1] * self.scale.double(), intercept.view(1)]).to(head.dtype)

    def unstandardised(self, head: Float[Tensor, "p"]) -> Float[Tensor, "p"]:
        """Return the head on features as they come that says what one says of standardised ones."""
        exact = head.double()
        weight = exact[:-1] / self.scale.double()
        return torch.cat([weight, (exact[-1] - weight @ self.mean.double()).view(1)]).to(head.dtype)

    def tensors(self) -> dict[str, Tensor]:
        """Return what the base consists of."""
        return {"mean": self.mean, "scale": self.scale}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> Dense:
        """Return the base of `tensors`."""
        return cls(tensors["mean"], tensors["scale"])


def fit(x: Float[Tensor, "n q"]) -> Dense:
    """Take the statistics of rows; a column that is constant there is centred, not scaled."""
    scale = x.std(dim=0, correction=0)
    return Dense(x.mean(dim=0), torch.where(scale > 0, scale, torch.ones_like(scale)))


def choose_pull(rows: Rows, watched: Rows) -> tuple[float, Plain, float]:
    """Return the pull whose unpenalised head has the lowest log loss on the watched rows, that head, and the loss.

    From strong to weak, each start at the last one's head, until weaker ones do worse or nothing is left to weaken: an
    end of the range is never what is chosen for want of a wider one.
    """
    best: tuple[float, Plain, float] | None = None
    pull, start, worse = FIRST_PULL, None, 0
    while pull >= LAST_PULL and worse < PATIENCE:
        head = plain(rows, pull, start=start)
        loss = log_loss(head.head, watched)
        if best is None or loss < best[2]:
            best, worse = (pull, head, loss), 0
        else:
            worse += 1
        start, pull = head.head, pull / STEP
    assert best is not None
    return best


def log_loss(head: Float[Tensor, "p"], rows: Rows) -> float:
    """Return the mean cross-entropy of a head."""
    margins = rows.offset + rows.x @ head[:-1] + head[-1]
    return float(functional.binary_cross_entropy_with_logits(margins.double(), rows.y.double()))


def rows_of(
    view: tuple[Float[Tensor, "n q"], Float[Tensor, "n"]],
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    *,
    balanced: bool = False,
) -> Rows:
    """Return what heads are fitted to."""
    return Rows(*view, y, s, row_weights(y, balanced=balanced))
