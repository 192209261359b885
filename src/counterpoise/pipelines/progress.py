"""The progress display of training, the same in every stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from counterpoise.reporting.console import TrainingProgress


@contextmanager
def throughput_progress(description: str, images: int) -> Iterator[Callable[..., None]]:
    """Show a bar of `images` images with their rate and the time left; yield the function that reports progress."""
    with TrainingProgress() as progress:
        advance = progress.task(description, images)
        done = 0

        def report(finished: int, per_second: float, seconds_left: float) -> None:
            nonlocal done
            advance(finished - done, per_second=per_second)
            done = finished

        yield report


@contextmanager
def training_progress(description: str, epochs: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of `epochs` steps; yield the function to call after each epoch. Silent where nobody watches."""
    with TrainingProgress() as progress:
        advance = progress.task(description, epochs)
        yield lambda epoch: advance(1)
