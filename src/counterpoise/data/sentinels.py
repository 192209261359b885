"""Numbers that seem to stand for a missing value, such as 999 among ages or −1 among counts of days."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

CUSTOMARY = re.compile("-[1789]|-?(77+|88+|99+)")
"""What people write for a missing number."""
LEAST_ROWS = 10
"""A sentinel occurs again and again."""
LEAST_OTHERS = 3
APART = 3.0
"""A sentinel is so many times farther from all other numbers than they are from each other."""
MANY_OTHERS = 20
LOWEST = 5
MORE_OFTEN = 3
"""Or it alone is negative, beside `MANY_OTHERS` numbers, and so many times as frequent as each of the `LOWEST`."""


@dataclass(frozen=True)
class Sentinel:
    """A number, how many rows have it, and the bounds of the column's numbers that are no sentinels."""

    value: int
    rows: int
    low: float
    high: float


def sentinels(column: pd.Series) -> tuple[Sentinel, ...]:
    """Return the numbers of a column that seem to stand for a missing value, the smallest first.

    False alarms are worse than misses: a number has to be a customary one, frequent, and either far from all others or
    the only negative one where the lowest others are rare.
    """
    numbers = column.dropna().to_numpy(dtype=np.float64)
    values, rows = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
    texts = [str(int(value)) if value.is_integer() else "" for value in values.tolist()]
    is_customary = np.array([bool(CUSTOMARY.fullmatch(text)) for text in texts], dtype=bool)
    if (~is_customary).sum() < LEAST_OTHERS:
        return ()
    others, rows_of_others = values[~is_customary], rows[~is_customary]
    low, high = float(others[0]), float(others[-1])
    found = []
    for value, number in zip(values[is_customary].tolist(), rows[is_customary].tolist(), strict=True):
        is_far = max(low - value, value - high) > APART * (high - low)
        is_odd = (
            value < 0 <= low and len(others) >= MANY_OTHERS and number >= MORE_OFTEN * rows_of_others[:LOWEST].max()
        )
        if number >= LEAST_ROWS and (is_far or is_odd):
            found.append(Sentinel(int(value), int(number), low, high))
    return tuple(found)
