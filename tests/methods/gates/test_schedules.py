"""Temperatures fall, end where nothing is left between soft and hard, and are refused if they cannot."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from counterpoise.errors import InputError
from counterpoise.methods.gates.gating import GateSettings
from counterpoise.methods.gates.schedules import Geometric, Schedule, Stalling, StraightThrough
from counterpoise.nn.gates import gate


def temperatures(schedule: Schedule, stalled: list[int] | None = None) -> list[float]:
    """The temperature of every epoch that is trained; by default no epoch ever makes progress."""
    found, since = [schedule.start], 0
    for epoch in range(1, schedule.epochs):
        since += 1
        after = schedule.after(found[-1], since if stalled is None else stalled[epoch - 1])
        since = 0 if after < found[-1] else since
        if schedule.ended(after):
            break
        found.append(after)
    return found


@pytest.mark.parametrize("schedule", [Stalling(), Geometric(), Geometric(factor=0.2, end=0.05, epochs=4)])
def test_temperatures_never_rise_and_end_in_hard_gates(schedule: Schedule) -> None:
    found = temperatures(schedule)
    assert found[0] == 1.0
    assert all(after <= before for before, after in pairwise(found))
    assert found[-1] < found[0]
    assert len(found) <= schedule.epochs
    m = torch.tensor([-0.3, -0.15, 0.0, 0.15])
    assert (gate(m, found[0]) - (m >= 0).float()).abs().max() > 0.8, "at first soft gates say nothing of hard ones"
    torch.testing.assert_close(gate(m, found[-1]), (m >= 0).float(), atol=0.1, rtol=0)


def test_the_defaults_are_those_of_the_measurements() -> None:
    """METHODS.md part 3, 5."""
    cpu = temperatures(GateSettings().temperature)
    assert len(cpu) == 11
    assert cpu[:3] == pytest.approx([1, 0.6, 0.36])
    assert cpu[-1] == pytest.approx(0.6**10)
    assert Geometric(epochs=99).after(0.005, 0) == 0.004
    paper = temperatures(Stalling())
    assert [paper[0], paper[5], paper[6]] == pytest.approx([1, 1, 0.1])  # more than five epochs without progress
    assert len(paper) == 9 * 6 <= 200  # 1, 0.1, … 1e-8: the next is below the end


def test_the_paper_s_falls_only_where_the_information_stalls() -> None:
    schedule = Stalling(patience=2, epochs=6)
    assert temperatures(schedule, stalled=[0] * 6) == [1.0] * 6
    assert temperatures(schedule, stalled=[0, 1, 2, 3, 0]) == pytest.approx([1, 1, 1, 1, 0.1, 0.1])
    assert Geometric(epochs=6).after(0.5, stalled=0) == Geometric(epochs=6).after(0.5, stalled=9)
    assert schedule.ended(0.9e-8)
    assert not schedule.ended(1.1e-8)
    assert not Geometric().ended(0.004)


def test_straight_through_gates_are_hard_from_the_first_step() -> None:
    schedule = StraightThrough(temperature=0.5, epochs=4)
    assert temperatures(schedule) == [0.5] * 4
    assert schedule.hard
    assert not Stalling().hard
    assert not Geometric().hard


@pytest.mark.parametrize("kind", [Stalling, Geometric])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"factor": 1.0}, "the temperature's factor is 1, expected a number between 0 and 1: it never falls"),
        ({"factor": 1.5}, "the temperature's factor is 1.5"),
        ({"factor": 0.0}, "the temperature's factor is 0,"),
        ({"factor": -0.1}, "the temperature's factor is -0.1"),
        ({"first": 0.0}, "the first temperature is 0, expected a number above 0"),
        ({"end": 1.0}, "the last temperature is 1, expected less than the first, 1: it never falls"),
        ({"end": 2.0, "first": 0.5}, "the last temperature is 2, expected less than the first, 0.5"),
    ],
)
def test_a_temperature_that_never_falls_is_refused(kind: type[Any], wrong: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        kind(**wrong)


def test_so_is_a_constant_one_that_is_not_above_zero() -> None:
    with pytest.raises(InputError, match="the temperature is -1, expected a number above 0"):
        StraightThrough(temperature=-1.0)
