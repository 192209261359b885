"""How a sentence shows what a user wrote: short, on one line, whatever it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.errors import (
    CANDIDATES,
    LONGEST,
    LONGEST_SENTENCE,
    InputError,
    one_line,
    reason,
    shorten,
    shown,
    suggest,
)

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary())
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_any_value_is_short_and_on_one_line(value: Any) -> None:
    text = shown(value)
    assert 0 < len(text) <= LONGEST
    assert text.isprintable()


@given(SCALARS | st.lists(st.integers()))
def test_a_short_value_is_its_repr(value: Any) -> None:
    if len(repr(value)) <= LONGEST and not (isinstance(value, list) and len(value) > 20):
        assert shown(value) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(10**5000, id="a number that Python does not write"),
        pytest.param([10**5000], id="a list of them"),
        pytest.param("x" * 10**6, id="text"),
        pytest.param(range(10**9), id="range"),
        pytest.param([[["x" * 500] * 100] * 100] * 100, id="nested lists"),
        pytest.param(np.zeros((100, 100)), id="array"),
        pytest.param(pd.DataFrame({"a": range(100)}), id="table"),
        pytest.param("\ud800\x00\u202e\u2028", id="unprintable"),
    ],
)
def test_a_long_value_is_shortened(value: Any) -> None:
    assert len(shown(value)) <= LONGEST
    assert shown(value).isprintable()


def test_both_ends_of_a_long_text_remain() -> None:
    text = one_line("begin " + "x" * 1000 + " end", 30)
    assert len(text) == 30
    assert text.startswith("begin")
    assert text.endswith("end")


@given(st.text())
def test_a_text_on_one_line_keeps_its_words(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    if text.isprintable():
        assert line.split() == text.split() or len(line) == 300


def test_a_suggestion_is_short_even_of_many_names() -> None:
    names = [f"n{number}" for number in range(1000)]
    assert suggest("zzz", names).endswith(f"n{CANDIDATES - 1} and {1000 - CANDIDATES} more)")
    assert suggest("zzz", []) == " (there are none)"
    assert len(suggest("z" * 10**6, names)) < 1000


@pytest.mark.parametrize("letter", ["\n", "\r", "\t", "\x0b", "\u2028", "\x1b", "\x00", "\udcff"])
def test_a_message_is_one_printable_line(letter: str) -> None:
    message = str(InputError(f"t.csv: found a{letter}b"))
    assert message.isprintable()
    assert message.startswith("t.csv: found a")


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    message = str(InputError("t.csv: found " + "x" * 10_000 + ", expected a number"))
    assert len(message) <= LONGEST_SENTENCE
    assert message.startswith("t.csv: found x")
    assert message.endswith(", expected a number")


@pytest.mark.parametrize("value", ["x" * 10_000, ["x"] * 10_000, 10**4000, {"a": "b" * 10_000}])
def test_values_are_shortened(value: object) -> None:
    assert len(shown(value)) <= LONGEST


@pytest.mark.parametrize("value", [0.5, 3, True, "NL"])
def test_numpys_scalars_are_shown_as_pythons(value: object) -> None:
    assert shown(np.array([value])[0]) == repr(value)


def test_short_values_are_shown_as_they_are() -> None:
    assert shown("yes") == "'yes'"
    assert shown(1) == "1"
    assert shorten("x" * LONGEST) == "x" * LONGEST


@pytest.mark.parametrize(("error", "words"), [(ValueError("one.\ntwo"), "one"), (KeyError(), "KeyError")])
def test_the_reason_of_a_library_is_its_first_line(error: Exception, words: str) -> None:
    assert reason(error) == words


def test_suggestions_are_few_and_short() -> None:
    names = [f"column {number}" for number in range(5000)]
    assert suggest("zzz", names).count("column") == CANDIDATES
    assert len(suggest("x" * 10_000, ["x" * 10_001, "y"])) < 200
