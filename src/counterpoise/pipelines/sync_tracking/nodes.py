"""Log what a server did not take."""

from __future__ import annotations

from collections.abc import Callable


def log_unlogged(unlogged: Callable[[], list[str]]) -> list[str]:
    """Log all records; return one sentence for each.

    Raises:
        InputError: some of them are still not logged.
    """
    return unlogged()
