"""What a sentence may look like, whatever stands in the file it is about."""

import pytest

from counterpoise.errors import InputError, quoted, reason, shorten, suggest


@pytest.mark.parametrize("letter", ["\n", "\r", "\t", "\x0b", "\u2028", "\x1b", "\x00", "\udcff"])
def test_a_message_is_one_printable_line(letter: str) -> None:
    message = str(InputError(f"t.csv: found a{letter}b"))
    assert message.isprintable()
    assert message.startswith("t.csv: found a")


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    message = str(InputError("t.csv: found " + "x" * 10_000 + ", expected a number"))
    assert len(message) <= 800
    assert message.startswith("t.csv: found x")
    assert message.endswith(", expected a number")


@pytest.mark.parametrize("value", ["x" * 10_000, ["x"] * 10_000, 10**4000, {"a": "b" * 10_000}])
def test_values_are_shortened(value: object) -> None:
    assert len(quoted(value)) <= 60


def test_short_values_are_shown_as_they_are() -> None:
    assert quoted("yes") == "'yes'"
    assert quoted(1) == "1"
    assert shorten("x" * 60) == "x" * 60


@pytest.mark.parametrize(("error", "words"), [(ValueError("one.\ntwo"), "one"), (KeyError(), "KeyError")])
def test_the_reason_of_a_library_is_its_first_line(error: Exception, words: str) -> None:
    assert reason(error) == words


def test_suggestions_are_few() -> None:
    names = [f"column {number}" for number in range(5000)]
    assert suggest("zzz", names).count("column") == 10
    assert suggest("zzz", names).endswith(", …)")
    assert len(suggest("x" * 10_000, ["x" * 10_001, "y"])) < 100
