"""The base of gradient-boosted trees: frozen trees, and the directions in which their leaf values may move.

A repair of the leaf values v under any loss of the margins, held near the trees' own values v⁰ by leaf mass, ends where
Cᵀ(v − v⁰) = −Xᵀr/μ: each leaf moves by the mean of a residual r over its rows, and r is a function of a row's class,
group and score. So values move in the span of leaf means of such functions: of indicators of class, group and the
score's quantile. That is `directions`: some 30 columns in the place of thousands of leaves, orthonormal in the leaf
masses, so that the pull is a plain L2 penalty. It reaches what thousands of free values reach (docs/frontier.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int, Int32
from torch import Tensor

from counterpoise.bounds import Count, Positive, Values
from counterpoise.methods.answers import ROWS_AT_ONCE
from counterpoise.nn.trees import (
    Boosting,
    ClassTrees,
    Trees,
    as_bytes,
    as_text,
    grow,
    grow_classes,
    leaf_sums,
    leaf_totals,
)

NEGLIGIBLE = 1e-6
"""Directions whose size is below this share of the largest one's are rounding."""


@dataclass(frozen=True)
class BoostedBase:
    """How the trees are grown.

    Attributes:
        grid: settings of which each replicate takes those with the lowest log loss on its validation rows, and as many
            rounds as are best there.
        patience: rounds without an improvement after which no more are tried.
        quantiles: of the score, that directions tell apart.
        pulls: μ, strengths of the pull towards the trees' own values.
        group_rounds: most rounds of the trees that tell the groups apart (`rules.joint`).
    """

    grid: Values[Boosting] = (Boosting(),)
    patience: Count = 30
    quantiles: Count = 8
    pulls: Values[Positive] = (10.0, 30.0)
    group_rounds: Count = 200


@dataclass(frozen=True, eq=False)
class Boosted:
    """Trees, and orthonormal directions [L, q] of their leaf values."""

    trees: Trees
    directions: Float[Tensor, "L q"]

    def view(self, x: Float[Tensor, "n D"]) -> tuple[Float[Tensor, "n q"], Float[Tensor, "n"]]:
        """Return the features that a head sees, and the margin that it adds to."""
        both = torch.cat([self.directions, self.values.float().unsqueeze(1)], dim=1)
        sums = torch.cat([leaf_sums(self.trees.leaf_of(rows), both) for rows in x.split(ROWS_AT_ONCE)])
        return sums[:, :-1].contiguous(), sums[:, -1].contiguous()

    @cached_property
    def values(self) -> Float[Tensor, "L"]:
        return self.trees.values

    def with_head(self, head: Float[Tensor, "p"], threshold: float = 0.0) -> Trees:
        """Return the trees with the leaf values of a head; their margin is above 0 where the head's is above it."""
        values = self.values + self.directions.double() @ head[:-1].double()
        return self.trees.with_values(values, float(head[-1]) - threshold)

    def tensors(self) -> dict[str, Tensor]:
        """Return what the base consists of."""
        return {"trees": as_bytes(self.trees.text), "directions": self.directions}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> Boosted:
        """Return the base of `tensors`."""
        return cls(Trees(as_text(tensors["trees"])), tensors["directions"])


@dataclass(frozen=True, eq=False)
class BoostedClasses:
    """Trees of more than two classes, whose leaf values do not move: rules take their probabilities."""

    trees: ClassTrees

    def view(self, x: Float[Tensor, "n D"]) -> tuple[Float[Tensor, "n q"], Float[Tensor, "n k"]]:
        """Return the features that a head sees, which are none, and the log odds that it adds to."""
        return x.new_zeros(len(x), 0), self.trees.log_odds(x).float()

    def tensors(self) -> dict[str, Tensor]:
        """Return what the base consists of."""
        return {"trees": as_bytes(self.trees.text)}


def from_tensors(tensors: dict[str, Tensor]) -> Boosted | BoostedClasses:
    """Return the base of `tensors`."""
    if "directions" in tensors:
        return Boosted.from_tensors(tensors)
    return BoostedClasses(ClassTrees(as_text(tensors["trees"])))


def choose(
    settings: BoostedBase,
    x: Float[Tensor, "n D"],
    y: Int[Tensor, "n"],
    watched: tuple[Tensor, Tensor],
    seed: int,
    *,
    classes: int = 2,
) -> Boosting:
    """Return the settings, with their number of rounds, that do best on the watched rows (features, classes)."""
    losses: list[tuple[float, Boosting]] = []
    for one in settings.grid:
        if classes == 2:
            trees, loss = grow(x, y, one, seed=seed, watched=watched, patience=settings.patience)
            rounds = len(trees.sizes)
        else:
            of_classes, loss = grow_classes(
                x, y, one, classes=classes, seed=seed, watched=watched, patience=settings.patience
            )
            rounds = of_classes.rounds
        losses.append((loss, replace(one, rounds=rounds)))
    return min(losses, key=lambda pair: pair[0])[1]


def fit(
    settings: BoostedBase,
    boosting: Boosting,
    x: Float[Tensor, "n D"],
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    *,
    groups: int,
    seed: int,
    classes: int = 2,
) -> Boosted | BoostedClasses:
    """Grow trees on rows, and of two classes find the directions of their leaves in the same rows."""
    if classes > 2:
        return BoostedClasses(grow_classes(x, y, boosting, classes=classes, seed=seed)[0])
    trees, _ = grow(x, y, boosting, seed=seed)
    return on(trees, settings, x, y, s, groups=groups)


def on(
    trees: Trees,
    settings: BoostedBase,
    x: Float[Tensor, "n D"],
    y: Int[Tensor, "n"],
    s: Int[Tensor, "n"],
    *,
    groups: int,
) -> Boosted:
    """Find the directions of the leaves of trees in rows."""
    leaf = trees.leaf_of(x)
    margins = leaf_sums(leaf, trees.values.float().unsqueeze(1)).squeeze(1)
    cells = _cells(y, s, margins, groups=groups, quantiles=settings.quantiles)
    return Boosted(trees, directions(leaf, cells, trees.leaves))


def directions(leaf: Int32[Tensor, "n T"], cells: Int[Tensor, "n"], leaves: int) -> Float[Tensor, "L q"]:
    """Return orthonormal directions that span the leaf means of the cells' indicators.

    Orthonormal in the leaf masses c_l, the shares of the rows in leaf l: Σ_l c_l D_li D_lj = 1 if i = j, else 0.
    """
    indicator = torch.nn.functional.one_hot(cells).float()
    totals = leaf_totals(leaf, indicator, leaves).double()
    rows = totals.sum(dim=1)
    means = totals / rows.clamp(min=1).unsqueeze(1)
    mass = rows / len(leaf)
    sizes, vectors = torch.linalg.eigh(means.T @ (mass.unsqueeze(1) * means))
    is_used = sizes > NEGLIGIBLE * sizes.max()
    return (means @ (vectors[:, is_used] / sizes[is_used].sqrt())).float()


def _cells(
    y: Int[Tensor, "n"], s: Int[Tensor, "n"], margins: Float[Tensor, "n"], *, groups: int, quantiles: int
) -> Int[Tensor, "n"]:
    """Number the rows' cells: class, group and quantile of the margin."""
    order: Sequence[float] = [(number + 1) / quantiles for number in range(quantiles - 1)]
    edges = torch.quantile(margins[:: max(1, len(margins) // 2**20)].double(), torch.tensor(order, dtype=torch.float64))
    return (y * groups + s) * quantiles + torch.bucketize(margins.double(), edges)
