"""The chance of a promotion agrees with decisions on rows that are drawn one by one."""

from __future__ import annotations

import numpy as np
import pytest

from counterpoise.retraining.evidence import Evidence, collect
from counterpoise.retraining.gate import Gate, verdicts
from counterpoise.retraining.power import chance

GATE = Gate(error_margin=0.01, group_margin=0.03, tolerances={"delta_dp": 0.5}, patience=1)
LEVEL = 0.002
WEEKS = 200
ERROR, LOST, IMPROVEMENT = 0.2, 0.02, 0.02


def rows(number: int, generator: np.random.Generator, gained: float) -> Evidence:
    """Rows on which the challenger alone is right, or alone wrong, with these probabilities."""
    y, s = generator.integers(0, 2, number), generator.integers(0, 2, number)
    place = generator.random(number)
    champion_wrong = place < ERROR
    challenger_wrong = (champion_wrong & (place >= gained)) | (place >= 1 - LOST)
    champion, challenger = (np.where(wrong, 1 - y, y) for wrong in (champion_wrong, challenger_wrong))
    return collect(y, s, first=champion, champion=champion, challenger=challenger, groups=2, classes=2)


def as_good(number: int) -> Evidence:
    """A challenger with exactly the champion's error, in each group and class."""
    cell = number // 4
    lost, wrong = round(LOST * cell), round(ERROR * cell)
    paired = np.tile([lost, cell - 2 * lost, lost], (1, 2, 2, 1))
    confusion = np.array([[[[cell - wrong, wrong], [wrong, cell - wrong]]] * 2])
    return Evidence(paired, paired, confusion)


@pytest.mark.parametrize(("number", "low", "high"), [(400, 0.0, 0.1), (1200, 0.2, 0.8), (20_000, 0.99, 1.0)])
def test_it_is_the_share_of_promotions(number: int, low: float, high: float) -> None:
    generator = np.random.default_rng(0)
    seen = as_good(number)
    expected = chance(seen, GATE, level=LEVEL, improvement=IMPROVEMENT)
    drawn = [rows(number, generator, LOST + IMPROVEMENT) for _ in range(WEEKS)]
    fields = ("against_first", "against_champion", "confusion")
    together = Evidence(*(np.stack([getattr(evidence, name) for evidence in drawn]) for name in fields))
    level, looks = np.full(WEEKS, LEVEL), np.zeros(WEEKS, dtype=np.int64)
    share = verdicts(together, GATE, level=level, looks=looks)[0].mean()
    assert low <= expected <= high
    assert expected == pytest.approx(share, abs=0.12)


def test_biases_are_those_of_the_challenger_and_draws_repeat() -> None:
    seen = as_good(20_000)
    strict = Gate(error_margin=0.01, group_margin=0.03, tolerances={"delta_dp": 0.001}, patience=1)
    assert chance(seen, strict, level=LEVEL) == 0
    assert chance(seen, GATE, level=LEVEL, draws=20) == chance(seen, GATE, level=LEVEL, draws=20)
    assert chance(seen, GATE, level=LEVEL, improvement=0.0, draws=50) <= chance(seen, GATE, level=LEVEL, draws=50)
