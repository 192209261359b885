"""What is known of a model: counts of labelled rows, rates by group, and the e-processes of its bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Integer, Num
from numpy.typing import NDArray

from counterpoise.errors import InputError, suggest
from counterpoise.fairness import CERTIFIABLE, Compared, of_groups, wilson
from counterpoise.fairness.certify import linear_parts
from counterpoise.retraining.sequential import OUTCOMES, PAIRED, bets_on_rates, largest_not_refuted, mean_bounds, mixed

UNLABELLED = -1
"""The class of a row whose label has not arrived."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Counts of labelled rows in batches (weeks), the newest last; a batch without rows has zeros.

    Attributes:
        against_first, against_champion: by group and true class, rows on which the challenger alone is right, both are
            right or both wrong, the other model alone is right (`PAIRED`).
        confusion: of the challenger: group, true class, predicted class.
        waiting: rows whose label has not arrived.
        compared: the groups that biases are taken of.
    """

    against_first: Num[np.ndarray, "*batch B G k 3"]
    against_champion: Num[np.ndarray, "*batch B G k 3"]
    confusion: Num[np.ndarray, "*batch B G k k"]
    waiting: int = 0
    compared: Compared = None


def collect(
    y: Integer[np.ndarray, "n"],
    s: Integer[np.ndarray, "n"],
    *,
    first: Integer[np.ndarray, "n"],
    champion: Integer[np.ndarray, "n"],
    challenger: Integer[np.ndarray, "n"],
    groups: int,
    classes: int,
    batch: Integer[np.ndarray, "n"] | None = None,
) -> Evidence:
    """Count rows.

    Args:
        y: true classes; `UNLABELLED` where the label has not arrived.
        s: groups.
        first, champion, challenger: predicted classes.
        batch: number of the week (from 0) in which a row's label arrived; by default all are one batch.

    Raises:
        InputError: a value is outside its range, or no row is labelled.
    """
    labelled = y != UNLABELLED
    if not labelled.any():
        raise InputError(f"None of the {len(y)} rows has a label yet, expected at least one.")
    batch = np.zeros_like(y) if batch is None else batch
    ranges = {"s": (s, groups), "y": (y, classes), "batch": (batch, int(batch[labelled].max()) + 1)}
    ranges |= {
        name: (model, classes) for name, model in (("first", first), ("champion", champion), ("challenger", challenger))
    }
    for name, (values, limit) in ranges.items():
        low, high = values[labelled].min(), values[labelled].max()
        if low < 0 or high >= limit:
            raise InputError(f"{name} holds {low if low < 0 else high}, expected 0 to {limit - 1}.")

    def table(values: NDArray[np.integer], size: int) -> NDArray[np.int64]:
        shape = (ranges["batch"][1], groups, classes, size)
        cells = np.ravel_multi_index(tuple(array[labelled] for array in (batch, s, y, values)), shape)
        return np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)

    def paired(other: NDArray[np.integer]) -> NDArray[np.int64]:
        return table(1 + (challenger != y).astype(int) - (other != y), PAIRED.size)

    return Evidence(paired(first), paired(champion), table(challenger, classes), int((~labelled).sum()))


@dataclass(frozen=True, eq=False)
class BiasEvidence:
    """The linear functions of rates whose largest value is a bias, in batches of rows.

    Attributes:
        hits, sizes: of the rates' rows.
        weight: of each rate in each function.
    """

    hits: Num[np.ndarray, "*batch B M J"]
    sizes: Num[np.ndarray, "*batch B M J"]
    weight: Float64[np.ndarray, "M J"]

    @classmethod
    def of(cls, confusion: Num[np.ndarray, "*batch B G k k"], metric: str, compared: Compared = None) -> BiasEvidence:
        """Return the evidence about a metric, a name of `fairness.CERTIFIABLE`, of the groups that are compared."""
        counts = of_groups(torch.from_numpy(confusion), compared)
        hits, sizes, weight = (part.numpy() for part in linear_parts(counts, metric))
        return cls(hits, sizes, weight)

    def estimate(self) -> Float64[np.ndarray, "*batch"]:
        """Return the measured bias of all batches together; NaN where a cell has no rows."""
        hits, sizes = self.hits.sum(-3), self.sizes.sum(-3)
        rates = hits / np.where(sizes > 0, sizes, np.nan)
        return np.asarray((self.weight * rates).sum(-1).max(-1))

    def log_e_within(self, tolerance: float | Float64[np.ndarray, "*batch"]) -> Float64[np.ndarray, "*batch"]:
        """Return evidence against "the bias is at least the tolerance in every batch".

        Each batch's bets expect the rates of the batches before it; so the order of batches matters, that of rows does
        not.
        """
        limit = np.asarray(tolerance, dtype=np.float64)[..., None, None]
        factors = bets_on_rates(self.hits, self.sizes, self.weight, limit, self._expected())
        return np.asarray(mixed(factors.sum(-3)).min(-1))

    def _expected(self) -> Float64[np.ndarray, "*batch B M J"]:
        """Return the rates of all earlier batches together, a hit and a miss added; NaN where there are no rows."""
        hits, sizes = (np.cumsum(counts, axis=-3) - counts for counts in (self.hits, self.sizes))
        return np.where(sizes > 0, (hits + 1) / (sizes + 2), np.nan)

    def bets_beyond(self, tolerance: float) -> Float64[np.ndarray, "*batch B M K"]:
        """Return the factors of each batch, function and bet against "the bias is at most the tolerance"."""
        return bets_on_rates(self.hits, self.sizes, -self.weight, -tolerance)

    def log_e_beyond(self, tolerance: float) -> Float64[np.ndarray, "*batch"]:
        """Return evidence against "the bias is at most the tolerance in every batch"."""
        factors = self.bets_beyond(tolerance).sum(-3)
        return mixed(factors.reshape(*factors.shape[:-2], -1))

    def upper_bound(self, significance: float) -> Float64[np.ndarray, "*batch"]:
        """Return the end of a confidence sequence: ever below the bias with probability `significance` at most."""
        largest = float(np.maximum(self.weight, 0).sum(-1).max())
        return largest_not_refuted(self.log_e_within, 0.0, largest, self.hits.shape[:-3], significance)


def require_tolerances(block: str, tolerances: Mapping[str, float]) -> None:
    """Raise InputError unless each is a positive number for a metric that has a test."""
    for metric, tolerance in tolerances.items():
        if metric not in CERTIFIABLE:
            raise InputError(f"{block}: tolerances names {metric!r}{suggest(metric, CERTIFIABLE)}")
        if not tolerance > 0:
            raise InputError(f"{block}: tolerances.{metric} is {tolerance:g}, expected a number above 0")


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
