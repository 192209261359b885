"""The problem of every method on frozen features: the same rows, the same seeds, the same initial heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.compute import replicate
from counterpoise.fairness import Compared
from counterpoise.methods.cells import require_cells
from counterpoise.methods.repair import Result, Value
from counterpoise.nn import Bank, Examples, Factors, StackedMLP, predict_logits

if TYPE_CHECKING:
    from counterpoise.methods.bases.ground import Ground, Pretrained

PRETRAINED = "pretrained"
"""The name of the head before fine-tuning."""


@dataclass(frozen=True, eq=False, kw_only=True)
class HeadProblem:
    """Heads of several classes on frozen features, or the small networks that have them as last layers.

    Attributes:
        title: of the data set, in sentences.
        examples: features of all rows [N, d], or of each replicate [R, N, d]; for networks their input.
        columns: of the table that the features were made from, encoded; None for images.
        train, validation, test: rows to fit on, to choose on, and to report; nothing is fitted to the last.
        seeds: one per replicate. groups, classes: their names. compared: the groups that gaps are taken of.
        head: the pretrained one, where it is asked for.
        initial: the head that each variant starts from, by name. variants: settings of each of them, which become
            facts of its results.
        bases: of each replicate, trained before; a frontier trains them itself where there are none.
        trained: the model that comes trained, which all replicates stand on; None where bases are trained here.
        networks: makes so many copies of each replicate's pretrained network, where whole networks are trained.
        spread: computes many tasks side by side; see `compute.replicate`.
        progress: called with the name of a training, how much of it is done, and of how much.
    """

    title: str
    examples: Examples
    train: Int[Tensor, "R n"]
    validation: Int[Tensor, "R v"]
    test: Int[Tensor, "R t"]
    seeds: Sequence[int]
    groups: Sequence[str]
    classes: Sequence[str]
    compared: Compared = None
    columns: Float[Tensor, "N D"] | None = None
    head: Factors | None = None
    initial: Mapping[str, Factors] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    bases: Sequence[Sequence[Ground]] = ()
    trained: Pretrained | None = None
    networks: Callable[[int], StackedMLP] | None = None
    spread: Callable[..., list[Any]] = field(default=partial(replicate, backend="serial"))
    progress: Callable[[str, int, int], None] = field(default=lambda name, done, total: None)

    @property
    def parts(self) -> dict[str, Int[Tensor, "R _"]]:
        """The rows of each part, by its name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def follow(self, name: str, total: int) -> Callable[[int], None]:
        """Return what to call with how much of a training is done."""
        return lambda done: self.progress(name, done, total)

    def require_cells(self, why: str) -> None:
        """Raise InputError unless every part of each replicate has rows of every class in every group compared."""
        for part, rows in self.parts.items():
            require_cells(
                self.examples.y[rows],
                self.examples.s[rows],
                compared=self.compared,
                groups=[repr(name) for name in self.groups],
                classes=[repr(name) for name in self.classes],
                where=f"{self.title}: a replicate's {part} part",
                why=why,
            )

    def outcomes(self, bank: Bank) -> tuple[Float[Tensor, "R V t k"], Int[Tensor, "R V t"]]:
        """Return what a bank's models say of the test rows: probabilities, of two classes of class 1 alone; decisions.

        Logits beyond the classes, which a head of another task has, do not count.
        """
        logits = predict_logits(bank, self.examples, self.test, classes=len(self.classes))
        score = logits.softmax(dim=-1)
        return score[..., 1:] if len(self.classes) == 2 else score, logits.argmax(dim=-1)


def tensors_of(head: Factors) -> dict[str, Tensor]:
    """Return a head as `W` [R, d, k], or `A` [R, d, r] and `B` [R, r, k], and `b` [R, k]."""
    if head.second is None:
        return {"W": head.first, "b": head.bias}
    return {"A": head.first, "B": head.second, "b": head.bias}


def factors_of(tensors: Mapping[str, Tensor]) -> Factors:
    """Return the head of `tensors_of`."""
    return Factors(tensors["W"] if "W" in tensors else tensors["A"], tensors["b"], tensors.get("B"))


def settings_of(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """Return the settings of each result, by its name: those facts that are the same for all replicates."""
    return {
        result.name: {name: value for name, value in result.facts.items() if not isinstance(value, torch.Tensor)}
        for result in results
    }
