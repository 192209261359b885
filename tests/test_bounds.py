"""Bounds of settings: of every kind, optional or not, with a sentence that names block, key, value and expectation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import pytest
from annotated_types import Ge

from counterpoise.bounds import Bounded, Count, Inside, NotNegative, Positive, Share, Values
from counterpoise.catalogue import methods_of
from counterpoise.errors import InputError
from counterpoise.methods.repair import settings_class


@dataclass(frozen=True)
class Example(Bounded):
    block: ClassVar[str] = "example"
    count: Count = 1
    positive: Positive = 1.0
    amount: NotNegative = 0.0
    share: Share = 0.5
    inside: Inside = 0.5
    optional: Inside | None = None
    from_two: Annotated[int, Ge(2)] = 2
    free: float = 0.0
    grid: Values[Positive] = (1.0,)
    name: str = ""


@dataclass(frozen=True)
class Extended(Example):
    block: ClassVar[str] = "extended"
    further: Count = 1


@pytest.mark.parametrize(
    "values",
    [
        {"count": 1},
        {"positive": 1e-300},
        {"amount": 0.0},
        {"share": 0.0},
        {"share": 1.0},
        {"share": 1},
        {"inside": 1e-9},
        {"inside": 1 - 1e-9},
        {"optional": None},
        {"optional": 0.1},
        {"free": -1e300},
        {"grid": (0.1, 2.0)},
    ],
)
def test_numbers_at_and_within_their_bounds_are_taken(values: dict[str, Any]) -> None:
    for kind in (Example, Extended):
        (name,) = values
        assert getattr(kind(**values), name) == values[name]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"count": 0}, "count is 0, expected 1 or more"),
        ({"from_two": 1}, "from_two is 1, expected 2 or more"),
        ({"positive": 0.0}, "positive is 0.0, expected a number above 0"),
        ({"amount": -0.1}, "amount is -0.1, expected 0 or more"),
        ({"share": 1.5}, "share is 1.5, expected a number between 0 and 1"),
        ({"share": -0.5}, "share is -0.5, expected a number between 0 and 1"),
        ({"inside": 0.0}, "inside is 0.0, expected a number between 0 and 1"),
        ({"inside": 1.0}, "inside is 1.0, expected a number between 0 and 1"),
        ({"optional": 2.0}, "optional is 2.0, expected a number between 0 and 1"),
        ({"positive": float("nan")}, "positive is nan, expected a number above 0"),
    ],
)
def test_others_are_refused_in_one_sentence_that_names_the_block(values: dict[str, Any], sentence: str) -> None:
    for kind in (Example, Extended):
        with pytest.raises(InputError) as caught:
            kind(**values)
        assert str(caught.value) == f"{kind.block}: {sentence}"


def test_what_a_subclass_adds_is_checked_too() -> None:
    with pytest.raises(InputError, match="extended: further is 0, expected 1 or more"):
        Extended(further=0)


def test_settings_of_every_method_stand_in_a_block_and_are_within_their_bounds_by_default() -> None:
    kinds = {kind for row in methods_of("weights", "gates").values() if (kind := settings_class(row)) is not None}
    blocks = [kind.block for kind in kinds]
    assert len(set(blocks)) == len(blocks), "two classes would be read from one block"
    assert all(issubclass(kind, Bounded) and kind() == kind() for kind in kinds)
