"""What `support/type_checks.py` decorates: wrong types and axes that disagree end in jaxtyping's error."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import beartype
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Bool, Float, Int, Int64, Num, Shaped, TypeCheckError
from jaxtyping._storage import get_shape_memo, pop_shape_memo, push_shape_memo
from torch import Tensor
from type_checks import _described, _fits, checked

from counterpoise.errors import one_line
from counterpoise.fairness import confusion_counts

if TYPE_CHECKING:
    from somewhere import Missing  # type: ignore[import-not-found]

check: Callable[[Any], Any] = checked(typechecker=beartype.beartype)


@check
def halved(number: int, whole: bool = False) -> int:
    return number // 2 if whole else number / 2  # type: ignore[return-value]


@check
def summed(left: Float[Tensor, "N d"], right: Float[Tensor, "N d"]) -> Float[Tensor, "N"]:
    return (left + right).sum(dim=1)


@check
def first(values: Float[Tensor, "N"], count: int) -> Float[Tensor, "N"]:
    return summed(values[:count, None], values[:count, None])


@check
def counted(numbers: list[int], missing: Missing = None) -> Iterator[int]:
    yield from numbers


@check
@dataclass
class Point:
    x: int
    values: Float[Tensor, "N"] | None = None


def test_right_types_pass() -> None:
    assert halved(4, whole=True) == 2
    assert summed(torch.ones(2, 3), torch.ones(2, 3)).tolist() == [6, 6]
    assert first(torch.ones(3), count=3).tolist() == [2, 2, 2]
    assert list(counted([1, 2])) == [1, 2]
    assert Point(1, torch.ones(2)).x == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: halved("4"),
        lambda: halved(4),  # returns a float
        lambda: summed(torch.ones(2, 3), torch.ones(2, 4)),
        lambda: summed(torch.ones(2, 3), torch.ones(2, 3).int()),
        lambda: first(torch.ones(3), 2),  # returns another number of rows than it was given
        lambda: counted("12"),
        lambda: Point("1"),  # type: ignore[arg-type]
        lambda: Point(1, torch.ones(2, 2)),
    ],
)
def test_wrong_types_are_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(TypeCheckError):
        call()


def test_an_axis_stands_for_one_length_in_one_call_alone() -> None:
    with pytest.raises(TypeCheckError):
        first(torch.ones(3), 2)
    for rows in (2, 4):
        assert summed(torch.ones(rows, 3), torch.ones(rows, 3)).shape == (rows,)


HINTS = [
    *(Float[Tensor, "n k"], Float[Tensor, "n n"], Int[Tensor, "n"], Int64[Tensor, "n"], Bool[Tensor, "n 2"]),
    *(Shaped[Tensor, "_ n"], Num[Tensor, ""], Float[Tensor, "*batch n"], Float[Tensor, "#n k"]),
]
SHAPES = [(), (0,), (2,), (2, 3), (3, 3), (1, 2), (0, 2), (2, 2, 2)]
TYPES = [torch.float32, torch.int64, torch.int32, torch.bool]
VALUES = [torch.zeros(shape, dtype=dtype) for shape in SHAPES for dtype in TYPES]


@given(st.lists(st.tuples(st.sampled_from(HINTS), st.sampled_from([*VALUES, 3, None])), max_size=4))
def test_values_fit_where_jaxtyping_says_so(arguments: list[tuple[Any, Any]]) -> None:
    """And the axes stand for the same lengths afterwards."""
    answers = []
    for check in (_fits, _described):
        push_shape_memo({})
        answers.append(([check(hint, value) for hint, value in arguments], get_shape_memo()[0]))
        pop_shape_memo()
    assert answers[0] == answers[1]


def test_functions_of_the_package_are_checked() -> None:
    with pytest.raises(TypeCheckError):
        one_line(3)  # type: ignore[arg-type]
    with pytest.raises(TypeCheckError):
        confusion_counts(torch.ones(3).int(), torch.ones(4).int(), torch.ones(3).int(), groups=2, classes=2)


def test_a_function_keeps_its_name_and_its_parameters() -> None:
    assert halved.__name__ == "halved"
    assert list(inspect.signature(halved).parameters) == ["number", "whole"]
