"""Log what a server did not take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from counterpoise.errors import InputError


def log_unlogged(unlogged: Sequence[Callable[[], list[str]]]) -> list[str]:
    """Log all that is missing, of each kind; return one sentence for each thing that was logged.

    Args:
        unlogged: functions that log what is missing of one kind: an error of one does not keep the others from it.

    Raises:
        InputError: some of it is still not logged.
    """
    sentences: list[str] = []
    errors: list[str] = []
    for log in unlogged:
        try:
            sentences += log()
        except InputError as error:
            errors.append(str(error))
    if errors:
        raise InputError("; ".join([*sentences, *errors]))
    return sentences
