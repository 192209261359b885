"""The frontier's heads: every initial head under every penalty of a grid, trained as one bank.

A grid point is a way to train, not a model: choosing one by its validation bias is the business of `selection`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.methods.penalties import Constraint, penalized
from counterpoise.nn import BinaryHeads, Examples, Factors, HeadBank, Optimizer, fit, predict_logits


@dataclass(frozen=True)
class GridPoint:
    """An initial head, and the penalty and weight decay that it is trained with; no constraint means no penalty."""

    head: str
    constraint: Constraint | None
    strength: float
    weight_decay: float = 0.0

    @property
    def name(self) -> str:
        """A name that says the settings: `win_r2_a0.5_eo_0.1`, `tl_dp_0.05_wd0.01`."""
        penalty = "" if self.constraint is None else f"_{self.constraint}_{self.strength:g}"
        return f"{self.head}{penalty}{f'_wd{self.weight_decay:g}' if self.weight_decay else ''}"


def frontier_grid(
    heads: Sequence[str], constraints: Sequence[Constraint], strengths: Sequence[float], weight_decays: Sequence[float]
) -> list[GridPoint]:
    """Return every head under every penalty; a strength of 0, whatever the constraint, is one point."""
    penalties: list[tuple[Constraint | None, float]] = [(None, 0.0)] if 0 in strengths else []
    penalties += [(constraint, strength) for constraint in constraints for strength in strengths if strength > 0]
    return [
        GridPoint(head, constraint, strength, weight_decay)
        for head, weight_decay, (constraint, strength) in product(heads, weight_decays, penalties)
    ]


@dataclass(frozen=True)
class TrainedGrid:
    """What training a grid gives: dense heads, the positive class' scores where asked for, and who diverged.

    weight [R, V, d, 2] and bias [R, V, 2]: `x @ weight + bias`, whatever the rank of the factors that were trained.
    """

    weight: Float[Tensor, "R V d 2"]
    bias: Float[Tensor, "R V 2"]
    scores: Mapping[str, Float[Tensor, "R V m"]]
    diverged: Tensor


def train_grid(
    heads: Mapping[str, Factors],
    points: Sequence[GridPoint],
    examples: Examples,
    rows: Int[Tensor, "R n"],
    evaluate: Mapping[str, Int[Tensor, "R m"]],
    *,
    groups: int,
    optimizer: Optimizer,
    epochs: int,
    temperature: float,
    batch_size: int | None = None,
    generators: Sequence[torch.Generator] = (),
    class_weights: Float[Tensor, "k"] | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> TrainedGrid:
    """Train a head for each grid point on `rows`, and score the rows of `evaluate`.

    Args:
        heads: initial heads of two classes by name; dense [R, d, 2] or factored.
        points: the grid; axis V of the result.
        batch_size: None takes all rows in each step, which is what soft rates of small groups need: over 128 rows of
            Adult, women with a high income are three.
        temperature: see `penalties.penalized`.

    A head that diverges has NaN for weights and scores: it can never be chosen by accident.
    """
    bank = BinaryHeads({point.name: heads[point.head] for point in points})
    ordered = [{point.name: point for point in points}[name] for name in bank.names]
    strengths: dict[Constraint, float | Tensor] = {
        constraint: torch.tensor([point.strength if point.constraint == constraint else 0.0 for point in ordered])
        for constraint in ("dp", "eo")
    }
    history = fit(
        bank,
        examples,
        rows,
        loss=penalized(strengths, groups=groups, temperature=temperature, class_weights=class_weights),
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        generators=generators,
        weight_decay=torch.tensor([point.weight_decay for point in ordered]).expand(bank.replicates, -1),
        on_epoch=on_epoch,
    )
    place = [bank.names.index(point.name) for point in points]
    scores = {}
    for part, members in evaluate.items():
        margins = predict_logits(bank, examples, members)[:, place, :, 0]
        scores[part] = margins.sigmoid()
    weight, bias = dense(bank, [point.name for point in points])
    lost = history.diverged[:, place]
    for tensor in (weight, bias, *scores.values()):
        tensor[lost] = torch.nan
    return TrainedGrid(weight, bias, scores, lost)


def dense(bank: HeadBank, names: Sequence[str]) -> tuple[Float[Tensor, "R V d k"], Float[Tensor, "R V k"]]:
    """Return heads of a bank multiplied out."""
    heads = bank.heads()
    weights = [
        head.first if head.second is None else head.first @ head.second for head in (heads[name] for name in names)
    ]
    return torch.stack(weights, dim=1), torch.stack([heads[name].bias for name in names], dim=1)
