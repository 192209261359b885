"""What the trainings of a frontier return, and how they become one result for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.methods.answers import Answers, answers_in_order, collected, padded, result_of
from counterpoise.methods.repair import Result

HELD_OUT = "held_out"
"""The fold that a task is not trained on."""

EVALUATED = ("validation", "test")

CROSS_FITTED = "train"
"""The part whose rows are scored by models that were made without them."""

HEAD, RULE = "head", "rule"
"""Tensors of a result: which kind of model it is."""


@runtime_checkable
class Named(Protocol):
    """A model of a frontier, by its name and its settings."""

    @property
    def name(self) -> str:
        """A name that says the settings."""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings under the column names of `metrics.parquet`."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What one training of one base gives: heads [H, q + 1] (of more than two classes [1, q + 1, k]), and by part what
    they answer [H, m], and p(y, s | x) [m, k·G]."""

    heads: Float[Tensor, "H p *k"]
    answers: dict[str, Answers]
    joint: Mapping[str, Float[Tensor, "m cells"]]


@dataclass(frozen=True, eq=False)
class Ruled:
    """What one base's rules give: matrices [L, k·G + k, k] chosen by all rows, and what they answer [L, m] by part."""

    rules: Float[Tensor, "L rows k"]
    answers: dict[str, Answers]


def results_of(
    grids: Sequence[tuple[Sequence[Named], Sequence[Named]]],
    outcomes: Mapping[tuple[int, int, int | None], Trained],
    rules: Mapping[tuple[int, int], Ruled],
    fold: Int[Tensor, "R n"],
    folds: int,
) -> list[Result]:
    """Return the result of every model, in the order of their names.

    What models say is taken out of what the tasks have returned, part by part, and results are views of it: of the
    largest tensors of a run one copy is in memory.

    Args:
        grids: the heads and the rules of each base.
        outcomes: by replicate, base and fold that was left out. rules: by replicate and base. Their answers are gone
            afterwards.
        fold: of each training row. folds: how many there are; 0 for none.
    """
    models = [model for grid in grids for bank in grid for model in bank]
    order = sorted(range(len(models)), key=lambda v: models[v].name)
    places = torch.tensor(order).argsort().tolist()
    replicates = range(len(fold))

    def taken(part: str, r: int, base: int) -> list[Answers]:
        if part == CROSS_FITTED:
            each = [outcomes[r, base, number].answers.pop(HELD_OUT) for number in range(folds)]
            return [answers_in_order(each, fold[r]), rules[r, base].answers.pop(part)]
        return [outcomes[r, base, None].answers.pop(part), rules[r, base].answers.pop(part)]

    said = {
        part: collected(
            ([a for base in range(len(grids)) for a in taken(part, r, base)] for r in replicates), len(fold), places
        )
        for part in (*EVALUATED, *([CROSS_FITTED] if folds else []))
    }
    tensors: list[dict[str, Tensor]] = []
    for base, (heads, levels) in enumerate(grids):
        trained = [outcomes[r, base, None].heads for r in replicates]
        tensors += [{HEAD: padded([bank[v] for bank in trained])} for v in range(len(heads))]
        matrices = torch.stack([rules[r, base].rules for r in replicates], dim=1)
        tensors += [{RULE: matrices[v]} for v in range(len(levels))]
    return [
        result_of(
            models[v].name,
            models[v].settings,
            {part: answers.of_model(place) for part, answers in said.items()},
            tensors[v],
        )
        for place, v in enumerate(order)
    ]
