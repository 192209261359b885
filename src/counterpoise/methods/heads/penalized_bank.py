"""A bank of penalised heads: every initial head under every penalty of a grid, trained as one computation.

A grid point is a way to train, not a model: choosing one by its validation bias is the business of `selection`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterpoise.bounds import NotNegative, Positive, Values, require_increasing
from counterpoise.errors import InputError, shown
from counterpoise.methods.cells import fold_numbers
from counterpoise.methods.heads.penalties import Constraint, penalized, strengths_of
from counterpoise.methods.heads.problem import HeadProblem
from counterpoise.methods.repair import Result
from counterpoise.nn import BinaryHeads, Examples, Factors, HeadBank, Optimizer, fit, generators, predict_logits
from counterpoise.nn.linalg import COLUMN_BLOCK
from counterpoise.nn.random import generator
from counterpoise.nn.settings import Training

MARGINS_AT_ONCE = 2**20
"""Margins (rows of a batch times heads) of a bank: 4 MB of float32. Measured: docs/performance.md."""

HELD_OUT = "held_out"
"""The rows of the fold that a bank is not trained on."""


@dataclass(frozen=True)
class PenalizedBank:
    """The grid of penalties that every initial head is trained with, and how.

    Attributes:
        temperature: of the soft rates; see `penalties.penalized`.
        thresholds: on the logit z₁ − z₀, that each trained head is tried with; they cost no training.
        class_weights: `balanced` gives every class the same weight in the cross-entropy.
        folds: into how many the training rows are divided, so that each way to train is also judged by training rows,
            those of one fold at a time, which it was then not trained on; costs as many further trainings. 0: by
            validation rows alone.

    Raises:
        InputError: values that do not increase, or no 0 among those that the others are compared with; one fold.
    """

    constraints: Values[Constraint]
    strengths: Values[NotNegative]
    training: Training
    weight_decays: Values[NotNegative] = (0.0,)
    temperature: Positive = 1.0
    thresholds: Values[float] = (0.0,)
    class_weights: Literal["balanced"] | None = None
    folds: Annotated[int, Ge(0)] = 0

    def __post_init__(self) -> None:
        for name in ("strengths", "weight_decays", "thresholds"):
            require_increasing(name, getattr(self, name))
        for name in ("strengths", "thresholds"):
            if 0 not in (values := getattr(self, name)):
                raise InputError(f"{name} are {shown(list(values))}, expected 0 among them, to compare the others with")
        if self.folds == 1:
            raise InputError("folds is 1, expected 0 or at least 2, since one fold is all rows")


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


def penalty_grid(
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
class TrainedBank:
    """What training a bank gives: dense heads, the positive class' scores where asked for, and who diverged.

    weight [R, V, d, 2] and bias [R, V, 2]: `x @ weight + bias`, whatever the rank of the factors that were trained.
    """

    weight: Float[Tensor, "R V d 2"]
    bias: Float[Tensor, "R V 2"]
    scores: Mapping[str, Float[Tensor, "R V m"]]
    diverged: Bool[Tensor, "R V"]


def run(problem: HeadProblem, settings: PenalizedBank, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Train every initial head under every penalty on each replicate's training rows.

    A replicate's heads are one bank on one thread; replicates and folds run side by side (`problem.spread`). That is
    faster than one bank of all replicates on all threads: with all rows in every batch, what is passed on from one
    operation to the next stays in a core's cache.

    Returns:
        The ways to train by name: the head multiplied out, `head.W` and `head.b`; the scores of the validation rows,
        and with folds of each training row by heads that were trained without its fold, `scores.<part>` [R, m]; as
        facts the settings, and who `diverged`: of those everything is NaN, and the prediction −1.

    Raises:
        InputError: a class or group is missing where it is needed.
    """
    problem.require_cells("or their rates cannot be compared")
    points = sorted(
        penalty_grid(list(problem.initial), settings.constraints, settings.strengths, settings.weight_decays),
        key=lambda point: point.name,
    )
    replicates, groups, folds = range(len(problem.seeds)), len(problem.groups), _folds(problem, settings.folds)
    tasks = [(r, None) for r in replicates] + [(r, fold) for r in replicates for fold in range(settings.folds)]
    trained: list[TrainedBank] = problem.spread(
        train_replicate,
        tasks,
        shared=(points, problem.initial, problem.examples, problem.parts, folds, settings, groups, problem.seeds),
        on_done=problem.follow("frontier", len(tasks)),
    )
    of_all = _joined(trained[: len(replicates)], dim=0)
    scores = {f"scores.{part}": score for part, score in of_all.scores.items()}
    if folds is not None:
        scores["scores.train"] = _held_out(tasks, trained, folds)
    test = scores.pop("scores.test")
    tensors = {"head.W": of_all.weight, "head.b": of_all.bias} | scores
    return [
        Result(
            point.name,
            test[:, v].unsqueeze(-1),
            (test[:, v] > 0.5).to(torch.int8).masked_fill(of_all.diverged[:, v, None], -1),
            tensors={name: tensor[:, v] for name, tensor in tensors.items()},
            facts={
                **problem.variants[point.head],
                "constraint": point.constraint,
                "strength": point.strength if point.constraint else None,
                "weight_decay": point.weight_decay,
                "diverged": of_all.diverged[:, v],
            },
        )
        for v, point in enumerate(points)
    ]


def _folds(problem: HeadProblem, folds: int) -> Int[Tensor, "R n"] | None:
    """Assign each replicate's training rows to folds."""
    if not folds:
        return None
    y, s = problem.examples.y, problem.examples.s
    return torch.stack(
        [
            fold_numbers(y[rows], s[rows], folds=folds, generator=generator(seed, "frontier folds"))
            for rows, seed in zip(problem.train, problem.seeds, strict=True)
        ]
    )


def _held_out(
    tasks: Sequence[tuple[int, int | None]], trained: Sequence[TrainedBank], folds: Int[Tensor, "R n"]
) -> Float[Tensor, "R V n"]:
    """Put the scores of the folds that were left out back into the order of the training rows."""
    scores = torch.full((len(folds), trained[0].diverged.shape[1], folds.shape[1]), torch.nan)
    for (r, fold), bank in zip(tasks, trained, strict=True):
        if fold is not None:
            scores[r][:, folds[r] == fold] = bank.scores[HELD_OUT][0]
    return scores


def train_replicate(
    task: tuple[int, int | None],
    points: Sequence[GridPoint],
    heads: Mapping[str, Factors],
    data: Examples,
    members: Mapping[str, Int[Tensor, "R _"]],
    folds: Int[Tensor, "R n"] | None,
    settings: PenalizedBank,
    groups: int,
    seeds: Sequence[int],
) -> TrainedBank:
    """Train the bank of one replicate: a task for `compute`, here so that a worker imports no more than this room.

    Args:
        task: which replicate; `heads`, `data`, `members` (part → rows), `folds` and `seeds` are those of all. And which
            fold of its training rows to leave out, if any: the validation rows are then trained on too, and the fold
            is scored, as the part `held_out`. Every way to train is thereby judged by rows it was not trained on, as
            many as there are.
        folds: to which fold each training row belongs.
    """
    r, held_out = task
    initial = {
        name: Factors(head.first[[r]], head.bias[[r]], None if head.second is None else head.second[[r]])
        for name, head in heads.items()
    }
    single = data.replicate(r)
    parts = {part: rows[r] for part, rows in members.items()}
    if folds is not None and held_out is not None:
        out = folds[r] == held_out
        parts = {"train": torch.cat([parts["train"][~out], parts["validation"]]), HELD_OUT: parts["train"][out]}
    train = parts.pop("train")
    weights = None
    if settings.class_weights == "balanced":
        weights = len(train) / (2 * torch.bincount(single.y[train], minlength=2))
    return train_bank(
        initial,
        points,
        single,
        train.unsqueeze(0),
        {part: rows.unsqueeze(0) for part, rows in parts.items()},
        groups=groups,
        optimizer=settings.training.optimizer,
        epochs=settings.training.epochs,
        temperature=settings.temperature,
        batch_size=settings.training.batch_size,
        generators=generators(seeds[r : r + 1], "frontier batches"),
        class_weights=weights,
    )


def train_bank(
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
) -> TrainedBank:
    """Train a head for each grid point on `rows`, and score the rows of `evaluate`.

    Args:
        heads: initial heads of two classes by name; dense [R, d, 2] or factored.
        points: the grid; axis V of the result.
        batch_size: None takes all rows in each step, which is what soft rates of small groups need: over 128 rows of
            Adult, women with a high income are three.
        temperature: see `penalties.penalized`.

    A head that diverges has NaN for weights and scores: it can never be chosen by accident.
    """
    by_name = {point.name: point for point in points}

    def together(members: Sequence[GridPoint]) -> TrainedBank:
        bank = BinaryHeads({point.name: heads[point.head] for point in members})
        ordered = [by_name[name] for name in bank.names]
        history = fit(
            bank,
            examples,
            rows,
            loss=penalized(
                strengths_of([(point.constraint, point.strength) for point in ordered]),
                groups=groups,
                temperature=temperature,
                class_weights=class_weights,
            ),
            optimizer=optimizer,
            epochs=epochs,
            batch_size=batch_size,
            generators=[torch.Generator().set_state(generator.get_state()) for generator in generators],
            weight_decay=torch.tensor([point.weight_decay for point in ordered]).expand(bank.replicates, -1),
        )
        names = [point.name for point in members]
        place = [bank.names.index(name) for name in names]
        scores = {}
        for part, evaluated in evaluate.items():
            margins = predict_logits(bank, examples, evaluated)[:, place, :, 0]
            # In double precision: the last bit of a float's sigmoid depends on where in memory the float stands.
            scores[part] = margins.double().sigmoid().to(margins.dtype)
        weight, bias = dense(bank, names)
        # The last step has no loss after it that could tell.
        lost = history.diverged[:, place] | ~(weight.isfinite().all(dim=(-2, -1)) & bias.isfinite().all(dim=-1))
        for tensor in (weight, bias, *scores.values()):
            tensor[lost] = torch.nan
        return TrainedBank(weight, bias, scores, lost)

    # A few heads at a time: what is passed from one operation to the next then stays in the cache. No head's bits
    # depend on which others are trained with it.
    batch = min(batch_size or rows.shape[1], rows.shape[1])
    size = max(COLUMN_BLOCK, MARGINS_AT_ONCE // (len(rows) * batch) // COLUMN_BLOCK * COLUMN_BLOCK)
    return _joined([together(points[start : start + size]) for start in range(0, len(points), size)], dim=1)


def _joined(trained: Sequence[TrainedBank], dim: int) -> TrainedBank:
    """Put banks side by side: of other replicates (axis 0), or of other variants (axis 1)."""

    def cat(tensors: Iterable[Tensor]) -> Tensor:
        return torch.cat(list(tensors), dim=dim)

    return TrainedBank(
        cat(bank.weight for bank in trained),
        cat(bank.bias for bank in trained),
        {part: cat(bank.scores[part] for bank in trained) for part in trained[0].scores},
        cat(bank.diverged for bank in trained),
    )


def dense(bank: HeadBank, names: Sequence[str]) -> tuple[Float[Tensor, "R V d k"], Float[Tensor, "R V k"]]:
    """Return heads of a bank multiplied out."""
    heads = bank.heads()
    weights = [
        head.first if head.second is None else head.first @ head.second for head in (heads[name] for name in names)
    ]
    return torch.stack(weights, dim=1), torch.stack([heads[name].bias for name in names], dim=1)
