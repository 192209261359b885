"""The frontier's heads: every initial head under every penalty of a grid, trained as one bank.

A grid point is a way to train, not a model: choosing one by its validation bias is the business of `selection`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.methods.heads.penalties import Constraint, penalized
from counterpoise.nn import BinaryHeads, Examples, Factors, HeadBank, Loss, Optimizer, fit, generators, predict_logits
from counterpoise.nn.linalg import COLUMN_BLOCK

MARGINS_AT_ONCE = 2**20
"""Margins (rows of a batch times heads) of a bank: 4 MB of float32. Measured: docs/performance.md."""


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
    """Return every head under every penalty; a strength of 0, whatever the constraint, is one point.

    Raises:
        InputError: two points have the same name.
    """
    penalties: list[tuple[Constraint | None, float]] = [(None, 0.0)] if 0 in strengths else []
    penalties += [(constraint, strength) for constraint in constraints for strength in strengths if strength > 0]
    points = [
        GridPoint(head, constraint, strength, weight_decay)
        for head, weight_decay, (constraint, strength) in product(heads, weight_decays, penalties)
    ]
    name, times = Counter(point.name for point in points).most_common(1)[0]
    if times > 1:
        raise InputError(f"frontier: the grid has {name} {times} times, expected settings of which six digits differ")
    return points


@dataclass(frozen=True)
class TrainedGrid:
    """What training a grid gives: dense heads, the positive class' scores where asked for, and who diverged.

    weight [R, V, d, 2] and bias [R, V, 2]: `x @ weight + bias`, whatever the rank of the factors that were trained.
    """

    weight: Float[Tensor, "R V d 2"]
    bias: Float[Tensor, "R V 2"]
    scores: Mapping[str, Float[Tensor, "R V m"]]
    diverged: Bool[Tensor, "R V"]


@dataclass(frozen=True)
class GridTraining:
    """How a replicate's grid is trained; see `train_grid`. `balanced`: every class weighs the same."""

    optimizer: Optimizer
    epochs: int
    temperature: float
    groups: int
    batch_size: int | None = None
    balanced: bool = False


def train_replicate(
    task: tuple[int, int | None],
    points: Sequence[GridPoint],
    heads: Mapping[str, Factors],
    data: Examples,
    members: Mapping[str, Int[Tensor, "R _"]],
    folds: Int[Tensor, "R n"] | None,
    training: GridTraining,
    seeds: Sequence[int],
) -> TrainedGrid:
    """Train the grid of one replicate: a task for `compute`, here so that a worker imports no more than this room.

    Args:
        task: which replicate; `heads`, `data`, `members` (part → rows), `folds` and `seeds` are those of all. And which
            fold of its training rows to leave out, if any: the validation rows are then trained on too, and the fold
            is scored, as the part `held_out`. Every way to train is thereby judged by rows it was not trained on, as
            many as there are.
        folds: to which fold each training row belongs.
    """
    r, held_out = task
    own = {
        name: Factors(head.first[[r]], head.bias[[r]], None if head.second is None else head.second[[r]])
        for name, head in heads.items()
    }
    single = data.replicate(r)
    parts = {part: rows[r] for part, rows in members.items()}
    if folds is not None and held_out is not None:
        out = folds[r] == held_out
        parts = {
            "train": torch.cat([parts["train"][~out], parts["validation"]]),
            "held_out": parts["train"][out],
        }
    train = parts.pop("train")
    weights = None
    if training.balanced:
        weights = len(train) / (2 * torch.bincount(single.y[train], minlength=2))
    return train_grid(
        own,
        points,
        single,
        train.unsqueeze(0),
        {part: rows.unsqueeze(0) for part, rows in parts.items()},
        groups=training.groups,
        optimizer=training.optimizer,
        epochs=training.epochs,
        temperature=training.temperature,
        batch_size=training.batch_size,
        generators=generators(seeds[r : r + 1], "frontier batches"),
        class_weights=weights,
    )


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
    # A few heads at a time: what is passed from one operation to the next then stays in the cache. No head's bits
    # depend on which others are trained with it.
    batch = min(batch_size or rows.shape[1], rows.shape[1])
    some = max(COLUMN_BLOCK, MARGINS_AT_ONCE // (len(rows) * batch) // COLUMN_BLOCK * COLUMN_BLOCK)
    trained = [
        _train_some(
            heads,
            points[start : start + some],
            examples,
            rows,
            evaluate,
            loss=partial(penalized, groups=groups, temperature=temperature, class_weights=class_weights),
            optimizer=optimizer,
            epochs=epochs,
            batch_size=batch_size,
            generators=[torch.Generator().set_state(generator.get_state()) for generator in generators],
        )
        for start in range(0, len(points), some)
    ]
    return TrainedGrid(
        torch.cat([own.weight for own in trained], dim=1),
        torch.cat([own.bias for own in trained], dim=1),
        {part: torch.cat([own.scores[part] for own in trained], dim=1) for part in evaluate},
        torch.cat([own.diverged for own in trained], dim=1),
    )


def _train_some(
    heads: Mapping[str, Factors],
    points: Sequence[GridPoint],
    examples: Examples,
    rows: Int[Tensor, "R n"],
    evaluate: Mapping[str, Int[Tensor, "R m"]],
    *,
    loss: Callable[[dict[Constraint, float | Tensor]], Loss],
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None,
    generators: Sequence[torch.Generator],
) -> TrainedGrid:
    """Train a part of the grid as one bank; see `train_grid`."""
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
        loss=loss(strengths),
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        generators=generators,
        weight_decay=torch.tensor([point.weight_decay for point in ordered]).expand(bank.replicates, -1),
    )
    place = [bank.names.index(point.name) for point in points]
    scores = {}
    for part, members in evaluate.items():
        margins = predict_logits(bank, examples, members)[:, place, :, 0]
        # In double precision: the last bit of a float's sigmoid depends on where in memory the float stands.
        scores[part] = margins.double().sigmoid().to(margins.dtype)
    weight, bias = dense(bank, [point.name for point in points])
    # The last step has no loss after it that could tell.
    lost = history.diverged[:, place] | ~(weight.isfinite().all(dim=(-2, -1)) & bias.isfinite().all(dim=-1))
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
