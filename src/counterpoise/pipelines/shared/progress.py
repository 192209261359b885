"""The progress display of training, the same in every stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from counterpoise.reporting.console import TrainingProgress


@contextmanager
def throughput_progress(description: str, images: int) -> Iterator[Callable[[Any], None]]:
    """Show a bar of `images` images with their rate and the time left; yield the function that reports progress."""
    with TrainingProgress() as progress:
        advance = progress.task(description, images)
        done = 0

        def report(progress: Any) -> None:  # methods.extraction.Progress; importing it here would import torchvision
            nonlocal done
            advance(progress.done - done, rate=f"{progress.images_per_second:,.0f} images/s")
            done = progress.done

        yield report


@contextmanager
def training_progress(description: str, epochs: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of `epochs` steps; yield the function to call after each epoch. Silent without a terminal."""
    with TrainingProgress() as progress:
        advance = progress.task(description, epochs)
        yield lambda epoch: advance(1)


@contextmanager
def trainings_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each training as it begins; yield the function that takes its name, an epoch, and how many."""
    with TrainingProgress() as progress:
        bars: dict[str, Callable[[int], None]] = {}

        def follow(name: str, epoch: int, epochs: int) -> None:
            if name not in bars:
                bars[name] = progress.task(name, epochs)
                bars[name](epoch - 1)
            bars[name](1)

        yield follow
