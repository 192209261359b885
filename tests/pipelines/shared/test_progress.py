"""What the stages show while they train: each training once, from where it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from counterpoise.pipelines.shared import progress


@dataclass
class Reached:
    """As `features.extraction.Progress`."""

    done: int
    images_per_second: float


class Recorder:
    """Stands for `TrainingProgress`: what was announced, and how far each came."""

    def __init__(self) -> None:
        self.tasks: list[list[Any]] = []

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None: ...

    def task(self, name: str, total: int, *, unit: str, completed: int = 0) -> Any:
        entry = [name, total, unit, completed]
        self.tasks.append(entry)

        def advance(steps: int, **fields: Any) -> None:
            entry[3] += steps

        return advance


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(progress, "TrainingProgress", lambda: recorder)
    return recorder


def test_a_training_is_one_task_and_one_that_was_killed_begins_in_the_middle(recorder: Recorder) -> None:
    with progress.trainings_progress(unit="trainings") as follow:
        for step in (1, 2, 3):
            follow("frontier", step, 3)
        follow("peers", 8, 10)
        follow("frontier", 1, 5)
    assert recorder.tasks == [
        ["frontier", 3, "trainings", 3],
        ["peers", 10, "trainings", 8],
        ["frontier", 5, "trainings", 1],
    ]


def test_steps_are_counted_in_their_unit(recorder: Recorder) -> None:
    with progress.training_progress("replicates", 4, unit="seeds") as advance:
        advance(1)
        advance(2)
    assert recorder.tasks == [["replicates", 4, "seeds", 2]]


@pytest.mark.parametrize("cached", [0, 60])
def test_images_of_the_cache_are_done_before_the_first(recorder: Recorder, cached: int) -> None:
    with progress.throughput_progress("features", 100) as report:
        report(Reached(cached, 0.0))
        assert recorder.tasks == [["features", 100, "images", cached]]
        report(Reached(80, 12.0))
        report(Reached(100, 12.0))
    assert recorder.tasks == [["features", 100, "images", 100]]


def test_without_a_cache_the_first_images_count(recorder: Recorder) -> None:
    with progress.throughput_progress("images", 100) as report:
        report(Reached(40, 12.0))
    assert recorder.tasks == [["images", 100, "images", 40]]
