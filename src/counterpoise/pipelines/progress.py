"""The progress display of training, the same in every stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from counterpoise.reporting.console import TrainingProgress


@contextmanager
def training_progress(description: str, epochs: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of `epochs` steps; yield the function to call after each epoch. Silent where nobody watches."""
    with TrainingProgress() as progress:
        advance = progress.task(description, epochs)
        yield lambda epoch: advance(1)
