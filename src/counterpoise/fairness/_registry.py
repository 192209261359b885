"""What is known about each metric, declared where the metric is defined."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from counterpoise.fairness.compared import Compared, of_groups


@runtime_checkable
class CountMetric(Protocol):
    """A metric that is a function of confusion counts alone: [*batch, G, k, k] → float64 [*batch].

    Of a metric that compares groups, the gaps are those of the groups `compared`; others count every group.
    """

    def __call__(self, counts: Tensor, *, compared: Compared = None) -> Tensor: ...


Function = TypeVar("Function", bound=Callable[..., object])

Part = Literal["sample", "group", "class", "cell", "predicted class"]

_PARTS: Mapping[Part, tuple[Callable[[Tensor], Tensor], str]] = {
    "sample": (lambda counts: counts.sum((1, 2, 3)).unsqueeze(-1), "every sample"),
    "group": (lambda counts: counts.sum((2, 3)), "group {0}"),
    "class": (lambda counts: counts.sum((1, 3)), "class {0}"),
    "cell": (lambda counts: counts.sum(3), "class {1} in group {0}"),
    "predicted class": (lambda counts: counts.sum((1, 2)), "predictions of class {0}"),
}


_COMPARING = frozenset[Part]({"group", "cell"})
"""Parts that a metric needs which compares groups."""

CALLER_OF_THE_METRIC = 3
"""`stacklevel` that makes a warning point to the code that called the metric."""


class UndefinedMetricWarning(UserWarning):
    """A metric is NaN because a class or a group it needs is absent."""


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """How to print, order and explain a metric.

    Attributes:
        name: the metric's name in every table and file.
        title: what stands on an axis or in a heading.
        unit: "%" or "" (a fraction).
        perfect: the value of perfect fairness or performance; None where it depends on the number of groups.
        lower_is_better: None for a signed metric, where the absolute value is what should be low.
        definition: one line for a glossary.
        bounds: the least and the largest value it can have.
    """

    name: str
    title: str
    unit: str
    perfect: float | None
    lower_is_better: bool | None
    definition: str
    bounds: tuple[float, float] = (0.0, 1.0)


_metrics: dict[str, MetricInfo] = {}
_count_metrics: dict[str, CountMetric] = {}
_comparing: set[str] = set()

METRICS: Mapping[str, MetricInfo] = MappingProxyType(_metrics)
COUNT_METRICS: Mapping[str, CountMetric] = MappingProxyType(_count_metrics)


def describe(
    *,
    title: str,
    perfect: float | None,
    definition: str,
    signed: bool = False,
    unit: str = "",
    bounds: tuple[float, float] | None = None,
) -> Callable[[Function], Function]:
    """Enter the decorated function into `METRICS` under its own name; lower is better unless 1 is perfect.

    Without bounds it lies between 0 and 1, a signed one between −1 and 1.
    """

    def enter(function: Function) -> Function:
        name, lower_is_better = function.__name__, None if signed else perfect != 1
        _metrics[name] = MetricInfo(
            name, title, unit, perfect, lower_is_better, definition, bounds or (-1.0 if signed else 0.0, 1.0)
        )
        return function

    return enter


def count_metric(*needs: Part) -> Callable[[Callable[[Tensor], Tensor]], CountMetric]:
    """Enter the decorated function into `COUNT_METRICS`.

    From now on it warns, once per call, when a part is absent, and a metric that compares groups takes those alone that
    are `compared`.
    """

    def enter(function: Callable[[Tensor], Tensor]) -> CountMetric:
        name = function.__name__

        @functools.wraps(function)
        def warning(counts: Tensor, *, compared: Compared = None) -> Tensor:
            used = compared_counts(name, counts, compared)
            value = function(used)
            if value.isnan().any():
                groups = range(counts.shape[-3]) if used is counts or compared is None else compared
                warn_undefined(name, value, _absent_parts(used, value, needs, groups))
            return value

        if _COMPARING & set(needs):
            _comparing.add(name)
        _count_metrics[name] = warning
        return warning

    return enter


def compared_counts(metric: str, counts: Tensor, compared: Compared) -> Tensor:
    """Return the counts [*batch, G, k, k] that a metric is taken of: of the groups that it compares, or of all rows."""
    return of_groups(counts, compared) if metric in _comparing else counts


def warn_undefined(metric: str, value: Tensor, absent: str) -> None:
    """Warn that `metric` is NaN somewhere in `value` because of what is `absent`."""
    message = (
        f"{metric} is undefined (NaN) in {int(value.isnan().sum())} of {value.numel()} evaluations; absent: {absent}."
    )
    warnings.warn(message, UndefinedMetricWarning, stacklevel=CALLER_OF_THE_METRIC)


def _absent_parts(counts: Tensor, value: Tensor, needs: tuple[Part, ...], groups: Sequence[int]) -> str:
    undefined = counts.reshape(-1, *counts.shape[-3:])[value.isnan().reshape(-1)]
    parts = []
    for part in needs:
        present, phrase = _PARTS[part]
        absent = (present(undefined) == 0).any(0).nonzero().tolist()
        if part in _COMPARING:  # by the groups' own numbers
            absent = [[groups[index[0]], *index[1:]] for index in absent]
        parts += [phrase.format(*index) for index in absent]
    return ", ".join(parts)
