"""The chance of a promotion agrees with decisions on rows that are drawn one by one."""

from __future__ import annotations

from dataclasses import replace

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


def as_good(number: int, gained: float = LOST, batches: int = 1) -> Evidence:
    """A challenger with the champion's error, in each group and class, but for what it is right in alone."""
    cell = number // batches // 4
    lost, won, wrong = round(LOST * cell), round(gained * cell), round((ERROR + LOST - gained) * cell)
    paired = np.tile([won, cell - won - lost, lost], (batches, 2, 2, 1))
    confusion = np.array([[[[cell - wrong, wrong], [wrong, cell - wrong]]] * 2] * batches)
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


def test_the_imagined_model_is_compared_with_the_champion_whatever_the_challenger_gained() -> None:
    """What it is right in alone goes by the champion's errors; biases are far from their limit here."""
    expected = chance(as_good(1200), GATE, level=LEVEL)
    assert 0.2 < expected < 0.8
    assert chance(as_good(1200, gained=0.01), GATE, level=LEVEL) == expected
    assert chance(as_good(1200, batches=3), GATE, level=LEVEL) == pytest.approx(expected, abs=0.1)


def test_each_group_and_class_has_as_many_rows_as_in_the_evidence() -> None:
    """Not as many as are predicted to be of the class; a class without rows is no error."""
    confusion = np.array([[[[4800, 1200], [200, 1800]]] * 2])
    paired = np.stack([200 + 0 * confusion[..., 0], confusion.sum(-1) - 400, 200 + 0 * confusion[..., 0]], axis=-1)
    for few, promoted in ((2000, True), (2001, False)):
        gate = replace(GATE, rows_per_cell=few)
        assert (chance(Evidence(paired, paired, confusion), gate, level=LEVEL, draws=50) > 0.5) == promoted
    confusion[:, 0, 1], paired[:, 0, 1] = 0, 0
    assert chance(Evidence(paired, paired, confusion), GATE, level=LEVEL, draws=50) == 0


@pytest.mark.parametrize(("wrong", "won", "lost", "low", "high"), [(10_000, 0, 10_000, 0, 0.1), (0, 20_000, 0, 0.9, 1)])
def test_the_improvement_is_where_the_champion_errs(wrong: int, won: int, lost: int, low: float, high: float) -> None:
    """Each group has to gain; in the second one the champion is always right although the challenger errs, or errs
    where the challenger is always right. In two batches of 50,000 rows of each group and class."""
    cell = 50_000
    groups = np.array([[20_000, 1000, 1000], [wrong, won, lost]])  # 40% of the first one are wrong
    pairs = np.stack([groups[:, 1], cell - groups[:, 1] - groups[:, 2], groups[:, 2]], axis=-1)[:, None].repeat(2, 1)
    right = cell - groups[:, 0]
    confusion = np.stack([np.stack([right, cell - right], -1), np.stack([cell - right, right], -1)], axis=1)
    seen = Evidence(np.stack([pairs] * 2), np.stack([pairs] * 2), np.stack([confusion] * 2))
    gate = replace(GATE, group_margin=0.0, tolerances={})
    assert low <= chance(seen, gate, level=LEVEL, draws=50) <= high


def test_a_champion_without_errors_cannot_be_improved_on() -> None:
    confusion = np.tile(np.array([[5000, 0], [0, 5000]]), (1, 2, 1, 1))
    paired = np.tile([0, 5000, 0], (1, 2, 2, 1))
    seen = Evidence(paired, paired, confusion)
    assert chance(seen, GATE, level=LEVEL, draws=5) == chance(seen, GATE, level=LEVEL, draws=5, improvement=0.0) == 1
