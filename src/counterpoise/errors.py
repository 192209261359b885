"""The one error a user can cause, and the help that comes with it. Every room may import this; it imports none."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 80
"""Characters that a value of the user's may take in a sentence."""

CANDIDATES = 40
"""Names that a sentence lists; of more, it gives their number."""

_ELLIPSIS = "…"

_short = reprlib.Repr()
_short.maxstring = _short.maxother = LONGEST
_short.maxlist = _short.maxtuple = _short.maxset = _short.maxfrozenset = _short.maxdict = 20
_short.fillvalue = _ELLIPSIS


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one sentence that names the file, column or key, what was found, and what was expected. The command
    line prints it without a traceback.
    """


def shown(value: object) -> str:
    """Return a value as a sentence shows it: `repr`, on one line, at most `LONGEST` characters, whatever the value.

    Long collections are not written out in full before they are shortened.
    """
    try:
        text = _short.repr(value)
    except ValueError:  # Python writes no whole number of thousands of digits
        text = f"a value that is too long to show, of type {type(value).__name__}"
    return one_line(text, LONGEST)


def one_line(text: str, longest: int = 300) -> str:
    """Return a text without line breaks or characters that cannot be printed, its middle left out if it is too long."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(printable.split())
    if len(line) <= longest:
        return line
    tail = longest // 3
    return line[: longest - tail - len(_ELLIPSIS)] + _ELLIPSIS + line[-tail:]


def suggest(name: object, candidates: Iterable[object]) -> str:
    """Return `" (did you mean 'x'?)"` for the closest of the candidates, or the list of all if none is close."""
    options = [str(option) for option in candidates]
    close = get_close_matches(str(name)[:LONGEST], options, n=1, cutoff=0.5)
    if close:
        return f" (did you mean {shown(close[0])}?)"
    if not options:
        return " (there are none)"
    further = f" and {len(options) - CANDIDATES} more" if len(options) > CANDIDATES else ""
    return f" (known: {', '.join(one_line(option, LONGEST) for option in options[:CANDIDATES])}{further})"
