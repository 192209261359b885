"""The one error a user can cause, and the help that comes with it. Every room may import this; it imports none."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one sentence that names the file, column or key, what was found, and what was expected. The command
    line prints it without a traceback.
    """


def suggest(name: object, known: Iterable[object]) -> str:
    """Return `" (did you mean 'x'?)"` for the closest of `known`, or the list of what is known if none is close."""
    options = [str(option) for option in known]
    close = get_close_matches(str(name), options, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else f" (known: {', '.join(options)})"
