"""The progress display of training, the same in every stage: bars on a terminal, elsewhere a line now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from counterpoise.reporting.console import TrainingProgress


@contextmanager
def throughput_progress(description: str, images: int) -> Iterator[Callable[[Any], None]]:
    """Show how many of `images` images are done, at which rate; yield the function that reports progress."""
    with TrainingProgress() as progress:
        advance: Callable[..., None] | None = None
        done = 0

        def report(reached: Any) -> None:  # features.extraction.Progress; importing it here would import torchvision
            nonlocal advance, done
            if advance is None:  # what there is before anything has a speed was cached
                done = 0 if reached.images_per_second else reached.done
                advance = progress.task(description, images, unit="images", completed=done)
            advance(reached.done - done, rate=f"{reached.images_per_second:,.0f} images/s")
            done = reached.done

        yield report


@contextmanager
def training_progress(description: str, steps: int, *, unit: str = "epochs") -> Iterator[Callable[[int], None]]:
    """Show how many of `steps` epochs, seeds … are done; yield the function to call after each, with its number."""
    with TrainingProgress() as progress:
        advance = progress.task(description, steps, unit=unit)
        yield lambda step: advance(1)


@contextmanager
def trainings_progress(*, unit: str = "epochs") -> Iterator[Callable[[str, int, int], None]]:
    """Show each training from its first step on; yield the function that takes its name, a step, and how many.

    Args:
        unit: what a step is, in the plural.
    """
    with TrainingProgress() as progress:
        trainings: dict[str, tuple[Callable[[int], None], int]] = {}

        def follow(name: str, step: int, steps: int) -> None:
            advance, reached = trainings.get(name, (None, 0))
            if advance is None or step <= reached:  # another one of this name; one that was killed begins in the middle
                advance = progress.task(name, steps, unit=unit, completed=step - 1)
            advance(1)
            trainings[name] = advance, step

        yield follow
