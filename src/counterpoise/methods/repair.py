"""The interface of all methods: `run(problem, settings, earlier) -> list[Result]`.

`run` runs the methods of an experiment one after the other, by their rows in the catalogue.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any, get_type_hints

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from counterpoise.catalogue import Family, Method, in_order

if TYPE_CHECKING:
    from counterpoise.methods.problem import Problem

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
        tensors: what is left of the model, axis R first: `network.<parameter>` of a network, `masks.<weight>` of what
            a method has discovered to be worth keeping, `head.<factor>` of a new last layer.
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
        return under(name, self.tensors)

    def fact(self, name: str, r: int) -> Any:
        """Return a figure of replicate r as a Python value; None if there is none."""
        value = self.facts.get(name)
        return value[r].item() if isinstance(value, Tensor) else value


def function_of(method: Method) -> Callable[..., list[Result]]:
    """Return the function that a row of the catalogue names."""
    module, _, name = method.run.partition(":")
    function: Callable[..., list[Result]] = getattr(import_module(f"counterpoise.methods.{module}"), name)
    return function


@cache
def settings_class(method: Method) -> type[Any] | None:
    """Return the dataclass of a method's settings, as its function declares it; None if it has none."""
    settings: type[Any] = get_type_hints(inspect.unwrap(function_of(method)))["settings"]
    return None if settings is type(None) else settings


def run(problem: Problem, settings: Mapping[str, Any], families: Sequence[Family]) -> list[Result]:
    """Run methods of some families one after the other on the same problem, each after those whose results it uses.

    Args:
        settings: of each method, by name.
    """
    results: dict[str, list[Result]] = {}
    shared: dict[str, Any] = {}  # of these methods: the problem may be a variation of another
    for method in in_order(settings, *families):
        earlier = {name: results[name] for name in method.after}
        named = replace(problem, method=method.name, shared=shared)
        results[method.name] = function_of(method)(named, settings[method.name], earlier)
    return list(chain.from_iterable(results.values()))


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix.`, without it: those of `prefixed`."""
    return {
        name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")
    }


def prefixed(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as the part `name` of a result's."""
    return {f"{name}.{key}": tensor for key, tensor in tensors.items()}


def join(replicates: Sequence[Sequence[Result]]) -> list[Result]:
    """Join the results of several replicates, which ran separately, along the axis R."""
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
