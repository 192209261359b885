"""Bounds of settings, as annotations of a dataclass's fields: `lr: Positive = 1e-3`.

A dataclass that is `Bounded` checks them when it is made; `counterpoise.config` reads the same annotations.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MinLen

from counterpoise.errors import InputError, shown

T = TypeVar("T")

Count = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Inside = Annotated[float, Gt(0), Lt(1)]
Bound = Ge | Gt | Le | Lt


class Bounded:
    """Settings that are checked when they are made; subclasses are dataclasses, and name the block they are read from.

    Attributes:
        block: of configuration, where these settings stand; what a subclass adds has a block of its own, which also may
            override what the others say.
    """

    block: ClassVar[str]

    def __post_init__(self) -> None:
        """Raise InputError unless every number is within its bounds."""
        settings: Any = type(self)
        for name, bounds in _bounds(settings).items():
            value = getattr(self, name)
            if isinstance(value, int | float) and not all(_holds(bound, value) for bound in bounds):
                raise InputError(f"{self.block}: {name} is {shown(value)}, expected {_expected(bounds)}")


@cache
def types_of(settings: Any) -> Mapping[str, Any]:
    """Return the types of a dataclass's fields by name; worked out once, since it takes longer than any check."""
    return get_type_hints(settings)


@cache
def _bounds(settings: Any) -> Mapping[str, tuple[Bound, ...]]:
    hints = get_type_hints(settings, include_extras=True)
    return {part.name: tuple(_annotated(hints[part.name])) for part in fields(settings)}


def _annotated(hint: Any) -> Iterator[Bound]:
    """Yield the bounds of a number, alone or in a union; those of a sequence's items are not checked here."""
    if hasattr(hint, "__metadata__"):
        yield from (bound for bound in hint.__metadata__ if isinstance(bound, Ge | Gt | Le | Lt))
    elif type(None) in get_args(hint):
        for option in get_args(hint):
            yield from _annotated(option)


def _limit(bound: Bound) -> float:
    return float(getattr(bound, type(bound).__name__.lower()))


def _holds(bound: Bound, value: int | float) -> bool:
    compare = {Ge: operator.ge, Gt: operator.gt, Le: operator.le, Lt: operator.lt}[type(bound)]
    return bool(compare(value, _limit(bound)))


def _expected(bounds: tuple[Bound, ...]) -> str:
    limits = [f"{_limit(bound):g}" for bound in bounds]
    if len(limits) > 1:
        return f"a number between {limits[0]} and {limits[1]}"
    words = {Ge: "{} or more", Gt: "a number above {}", Le: "{} or less", Lt: "a number below {}"}
    return words[type(bounds[0])].format(limits[0])


class _ListOfOne:
    """In files under conf/ a single value stands for a list of it: `methods: tl`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core.core_schema import no_info_before_validator_function  # asked for by pydantic alone

        return no_info_before_validator_function(
            lambda value: value if isinstance(value, list | tuple) else [value], handler(source)
        )


Values = Annotated[tuple[T, ...], MinLen(1), _ListOfOne()]
"""`ranks: Values[Count]`: values to try, at least one."""


def require_increasing(name: str, values: Sequence[float] | Sequence[int]) -> None:
    """Raise InputError unless each number of a setting is larger than the one before."""
    if any(low >= high for low, high in pairwise(values)):
        verb = "are" if name.endswith("s") else "is"
        raise InputError(f"{name} {verb} {shown(list(values))}, expected increasing numbers")
