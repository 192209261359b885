"""The one error a user can cause, and the help that comes with it. Every room may import this; it imports none."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

_LONGEST_SENTENCE = 800  # characters
_LONGEST_VALUE = 60
_SUGGESTED = 10  # names that a sentence lists
_COMPARED = 1000  # names among which the closest one is looked for


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one sentence that names the file, column or key, what was found, and what was expected. The command
    line prints it without a traceback. Whatever was read from a file, the message is on one line and not much longer
    than a terminal's window.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(shorten(one_line(sentence), _LONGEST_SENTENCE))


def one_line(text: str) -> str:
    """Return `text` with every run of white space as one blank, and other unprintable characters as `�`."""
    return "".join(letter if letter.isprintable() else "�" for letter in " ".join(text.split()))


def shorten(text: str, limit: int = _LONGEST_VALUE) -> str:
    """Return `text` with its middle left out where it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    half = (limit - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def quoted(value: object) -> str:
    """Return `repr(value)`, shortened, as a sentence shows a value that came from outside."""
    return shorten(repr(shorten(value, 2 * _LONGEST_VALUE) if isinstance(value, str) else value))


def reason(error: BaseException) -> str:
    """Return what an exception of a library says, in a few words: the start of its first line, or its kind."""
    first, *_ = [*str(error).strip().splitlines(), ""]
    return shorten(first.rstrip("."), 2 * _LONGEST_VALUE) or type(error).__name__


def suggest(name: object, known: Iterable[object]) -> str:
    """Return `" (did you mean 'x'?)"` for the closest of `known`, or the first of what is known if none is close."""
    options = [shorten(str(option)) for option in islice(known, _COMPARED)]
    close = get_close_matches(shorten(str(name)), options, n=1, cutoff=0.5)
    if close:
        return f" (did you mean {close[0]!r}?)"
    more = ", …" if len(options) > _SUGGESTED else ""
    return f" (known: {', '.join(options[:_SUGGESTED])}{more})"
