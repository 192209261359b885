"""What a method makes of a problem: `run(problem, settings, earlier) -> list[Result]`, whatever it works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

Value = Tensor | float | int | str | bool | None


@dataclass(frozen=True, eq=False)
class Result:
    """One model of each replicate; a bank returns many.

    Attributes:
        name: of the variant: the method's, with what tells several of its models apart (`win_r2_a0.5`, `netaug_last`).
        score: probabilities on the test rows, of class 1 [R, t, 1] or of every class [R, t, k].
        prediction: decisions there.
        epoch: of the training, counted from 1; None where nothing was trained.
        curves: figures of every epoch, by name.
        tensors: what is left of the model, axis R first: `network.<parameter>` of a network, `masks.<name>.<weight>`
            of what is left out of it, `head.<factor>` of a last layer.
        facts: further figures by name: a value per replicate [R], or a setting that is the same for all.
    """

    name: str
    score: Float[Tensor, "R t k"]
    prediction: Int[Tensor, "R t"]
    epoch: Int[Tensor, "R"] | None = None
    curves: Mapping[str, Float64[Tensor, "R E"]] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Value] = field(default_factory=dict)

    @property
    def epochs(self) -> int | None:
        """How many epochs the training had; None where nothing was trained."""
        return next((values.shape[1] for values in self.curves.values()), None)

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with `name.`, without it."""
        return {key.removeprefix(f"{name}."): own for key, own in self.tensors.items() if key.startswith(f"{name}.")}

    def fact(self, name: str, r: int) -> Any:
        """Return a figure of replicate r as a Python value; None if there is none."""
        value = self.facts.get(name)
        return value[r].item() if isinstance(value, Tensor) else value


def prefixed(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as the part `name` of a result's."""
    return {f"{name}.{key}": tensor for key, tensor in tensors.items()}


def join(replicates: Sequence[Sequence[Result]]) -> list[Result]:
    """Put the results of several replicates, which ran apart, behind one another on the axis R."""
    return [
        Result(**{part.name: _joined([getattr(one, part.name) for one in same]) for part in fields(Result)})
        for same in zip(*replicates, strict=True)
    ]


def _joined(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values))
    if isinstance(first, Mapping):
        return {name: _joined([value[name] for value in values]) for name in first}
    return first
