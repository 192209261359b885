"""The one error that a user can cause, the one way to end on purpose, and helpers for sentences.

Every room may import this; it imports none.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

LONGEST_SENTENCE = 800
"""Characters of a sentence."""

LONGEST = 80
"""Characters that a value of the user's may take in a sentence."""

CANDIDATES = 40
"""Names that a sentence lists; of more, it gives their number."""

_COMPARED = 1000  # names among which the closest one is looked for
_ELLIPSIS = "…"

_short = reprlib.Repr()
_short.maxstring = _short.maxother = LONGEST
_short.maxlist = _short.maxtuple = _short.maxset = _short.maxfrozenset = _short.maxdict = 20
_short.fillvalue = _ELLIPSIS


class InputError(ValueError):
    """The user's input cannot be used.

    The message is one sentence that names the file, column or key, what was found, and what was expected. The command
    line prints it without a traceback. Whatever was read from a file, the message is on one line and not much longer
    than a terminal's window.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence, LONGEST_SENTENCE))


class Ending(Exception):  # noqa: N818 - not an error
    """A run ends here on purpose: with one sentence, and this status of its process."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(one_line(sentence, LONGEST_SENTENCE))
        self.status = status


def shown(value: object) -> str:
    """Return a value as a sentence shows it: `repr`, on one line, at most `LONGEST` characters, whatever the value.

    Long collections are not written out in full before they are shortened; numpy's scalars are shown as Python's.
    """
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()  # type: ignore[attr-defined]
    try:
        text = _short.repr(value)
    except ValueError:  # Python writes no whole number of thousands of digits
        text = f"a value that is too long to show, of type {type(value).__name__}"
    return one_line(text, LONGEST)


def one_line(text: str, longest: int = 300) -> str:
    """Return a text without line breaks or characters that cannot be printed, its middle left out if it is too long."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return shorten(" ".join(printable.split()), longest)


def shorten(text: str, longest: int = LONGEST) -> str:
    """Return a text with its middle left out where it is longer than so many characters."""
    if len(text) <= longest:
        return text
    tail = longest // 3
    return text[: longest - tail - len(_ELLIPSIS)] + _ELLIPSIS + text[-tail:]


def reason(error: BaseException) -> str:
    """Return what an exception of a library says, in a few words: the start of its first line, or its kind."""
    first, *_ = [*str(error).strip().splitlines(), ""]
    return shorten(first.rstrip("."), 2 * LONGEST) or type(error).__name__


def suggest(name: object, candidates: Iterable[object]) -> str:
    """Return `" (did you mean 'x'?)"` for the closest of the candidates, or the list of all if none is close."""
    options = [str(option) for option in candidates]
    compared = [shorten(option) for option in islice(options, _COMPARED)]
    close = get_close_matches(shorten(str(name)), compared, n=1, cutoff=0.5)
    if close:
        return f" (did you mean {shown(close[0])}?)"
    if not options:
        return " (there are none)"
    further = f" and {len(options) - CANDIDATES} more" if len(options) > CANDIDATES else ""
    return f" (known: {', '.join(one_line(option, LONGEST) for option in options[:CANDIDATES])}{further})"
