"""The base of ready features, or of a table's own columns: standardised, with nothing to add to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from counterpoise.bounds import Positive, Values
from counterpoise.methods.heads.newton import Rows, plain_head, row_weights
from counterpoise.methods.heads.softmax import softmax_head

Head = Float[Tensor, "p *k"]
"""Coefficients of features and, last, the intercept: of two classes' margin [p], of more classes' log odds [p, k]."""

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


def choose_pull(rows: Rows, watched: Rows, *, classes: int = 2) -> tuple[float, Head, float]:
    """Return the pull whose unpenalised head has the lowest log loss on the watched rows, that head, and the loss.

    From strong to weak, each of two classes from the last one's head on, until weaker ones do worse or nothing is left
    to weaken: an end of the range is never what is chosen for want of a wider one.
    """
    best: tuple[float, Head, float] | None = None
    pull, start, worse = FIRST_PULL, None, 0
    while pull >= LAST_PULL and worse < PATIENCE:
        head = fit_head(rows, pull, classes=classes, start=start)
        loss = log_loss(head, watched)
        if best is None or loss < best[2]:
            best, worse = (pull, head, loss), 0
        else:
            worse += 1
        start, pull = head, pull / STEP
    assert best is not None
    return best


def fit_head(rows: Rows, pull: float, *, classes: int = 2, start: Head | None = None) -> Head:
    """Fit the unpenalised head: the margin's of two classes, the log odds' of more.

    Args:
        start: where a head of two classes sets out from.
    """
    if classes == 2:
        return plain_head(rows, pull, start=start)
    return softmax_head(rows.x, rows.y, pull, classes).float()


def margins(head: Head, features: Float[Tensor, "n q"], offset: Float[Tensor, "n ..."]) -> Float[Tensor, "n *k"]:
    """Return what a head adds up to: of two classes the margins z₁ − z₀ [n], of more their log odds [n, k]."""
    return (offset if offset.ndim == head.ndim else offset.unsqueeze(1)) + features @ head[:-1] + head[-1]


def cross_entropy(margins: Float[Tensor, "n *k"], y: Int[Tensor, "n"]) -> float:
    """Return the mean of −log p(true class) of what `margins` returns."""
    if margins.ndim == 1:
        return float(functional.binary_cross_entropy_with_logits(margins.double(), y.double()))
    return float(functional.cross_entropy(margins.double(), y))


def log_loss(head: Head, rows: Rows) -> float:
    """Return the mean cross-entropy of a head."""
    return cross_entropy(margins(head, rows.x, rows.offset), rows.y)


def rows_of(
    view: tuple[Float[Tensor, "n q"], Float[Tensor, "n *k"]],
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    *,
    balanced: bool = False,
) -> Rows:
    """Return what heads are fitted to; those of more than two classes add to nothing."""
    features, offset = view
    margin = offset if offset.ndim == 1 else offset.new_zeros(len(y))
    return Rows(features, margin, y, s, row_weights(y, balanced=balanced))
