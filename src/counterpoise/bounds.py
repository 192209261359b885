"""Bounds of settings, as annotations: `lr: Positive = 1e-3`; `config` checks them, a dataclass alone does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Gt, Le, Lt, MinLen

from counterpoise.errors import InputError, shown

T = TypeVar("T")

Count = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Inside = Annotated[float, Gt(0), Lt(1)]
Grid = MinLen(1)
"""Of a sequence of values to try: `Annotated[tuple[Positive, ...], Grid]`."""


class _ListOfOne:
    """In files under conf/ a single value stands for a list of it: `methods: tl`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core.core_schema import no_info_before_validator_function  # asked for by pydantic alone

        return no_info_before_validator_function(
            lambda value: value if isinstance(value, list | tuple) else [value], handler(source)
        )


Values = Annotated[tuple[T, ...], MinLen(1), _ListOfOne()]
"""`ranks: Values[Count]`: values to try, at least one."""


def require_increasing(name: str, values: Sequence[float]) -> None:
    """Raise InputError unless each number of a setting is larger than the one before."""
    if any(low >= high for low, high in pairwise(values)):
        verb = "are" if name.endswith("s") else "is"
        raise InputError(f"{name} {verb} {shown(list(values))}, expected increasing numbers")
