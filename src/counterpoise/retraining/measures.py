"""What a model's counts say of it: errors and selection rates by group with intervals, and its biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Num

from counterpoise.fairness import Compared, wilson
from counterpoise.retraining.evidence import BiasEvidence
from counterpoise.retraining.sequential import OUTCOMES, mean_bounds

LEVEL = 0.95
"""Of the intervals of one week."""


def by_group(confusion: Num[np.ndarray, "G k k"], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return `group, rows`, `error` and `selected`, each with `_low` and `_high`, of all rows and of each group.

    Errors are shares of wrong predictions, `selected` shares that are predicted to be of class 1, both with Wilson's
    interval; None without rows.

    Args:
        confusion: counts by group, true class, predicted class.
    """
    tables = np.concatenate([confusion.sum(0, keepdims=True), confusion]).astype(np.float64)  # [1 + G, k, k]
    rows = tables.sum((1, 2))
    wrong, chosen = rows - tables.trace(axis1=1, axis2=2), tables[:, :, 1].sum(1)
    shares = {"error": wrong, "selected": chosen}
    columns: dict[str, Any] = {"group": ["all", *names], "rows": rows.astype(int).tolist()}
    for name, events in shares.items():
        low, high = wilson(events, rows, level=LEVEL)
        values = events / np.where(rows > 0, rows, np.nan)
        columns |= {name: _plain(values), f"{name}_low": _plain(low), f"{name}_high": _plain(high)}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def biases(
    confusion: Num[np.ndarray, "B G k k"],
    tolerances: Mapping[str, float],
    significance: float,
    compared: Compared = None,
) -> list[dict[str, Any]]:
    """Return `metric, estimate, bound, tolerance` of each metric, `bound` the end of a confidence sequence.

    Args:
        compared: the groups that biases are taken of.
    """
    records = []
    for metric, tolerance in tolerances.items():
        bias = BiasEvidence.of(confusion, metric, compared)
        estimate, bound = float(bias.estimate()), float(bias.upper_bound(significance))
        records.append({"metric": metric, "tolerance": tolerance, **_numbers(estimate=estimate, bound=bound)})
    return records


def error_sequence(confusion: Num[np.ndarray, "B G k k"], significance: float) -> dict[str, float | None]:
    """Return `error, low, high`: both ends of a confidence sequence of the error, each ever wrong with half of that."""
    pooled = confusion.sum((0, 1)).astype(np.float64)
    right, rows = np.trace(pooled), pooled.sum()
    low, high = mean_bounds(np.array([right, rows - right]), OUTCOMES, significance / 2)
    return _numbers(error=(rows - right) / rows if rows else np.nan, low=float(low), high=float(high))


def _numbers(**values: float) -> dict[str, float | None]:
    return dict(zip(values, _plain(np.array(list(values.values()), dtype=np.float64)), strict=True))


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
