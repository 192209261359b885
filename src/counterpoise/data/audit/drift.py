"""Whether the rows of one file, part or period are distributed like those of another, column by column."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Float64
from pandas.api import types

from counterpoise.errors import InputError, shown, suggest

BINS = 10
"""Bins of a number for the stability index: tenths of the reference."""

MOST_CATEGORIES = 100
"""Categories beyond the most frequent ones of both tables together are compared as one."""

EMPTY = 0.5
"""Rows that an empty bin counts as in the stability index, whose logarithm has no value at 0."""


def drift(reference: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Compare the columns that two tables share, one by one.

    Numbers are compared by the two-sample Kolmogorov-Smirnov test (asymptotic, so that ties make it conservative),
    anything else by Pearson's χ² test of homogeneity; a missing value is a category of its own, and is left out of the
    comparison of numbers. The population stability index Σ (q − p) ln(q / p) is taken over tenths of the reference's
    numbers, or over categories, missing values among them.

    Args:
        reference: the rows that the others are held against, such as those that a model was trained on.
        new: rows with the same columns; ones that only one table has are left out.

    Returns:
        `column, kind, statistic, p, p_holm, psi`: kind is `number` or `category`, statistic D or χ²; p_holm is p after
        Holm's correction for the number of columns. A column that is constant in both tables has statistic 0 and p 1;
        one without values in one of them NaN.

    Raises:
        InputError: a table has no rows, no column is shared, or a column is numbers in one table and not in the other.
    """
    names = [name for name in reference.columns if name in new.columns]
    if not names:
        raise InputError(
            f"drift: the tables share no column{suggest(None, map(str, reference.columns))}, expected one at least"
        )
    for what, table in (("the reference", reference), ("the new table", new)):
        if table.empty:
            raise InputError(f"drift: {what} has no rows, expected one at least")
    from counterpoise.fairness.statistics import holm

    frame = pd.DataFrame([_compared(str(name), reference[name], new[name]) for name in names])
    frame["p_holm"] = holm(frame["p"].to_numpy(dtype=np.float64))
    return frame[["column", "kind", "statistic", "p", "p_holm", "psi"]]


def _compared(name: str, reference: pd.Series, new: pd.Series) -> dict[str, object]:
    kinds = [types.is_numeric_dtype(column) and not types.is_bool_dtype(column) for column in (reference, new)]
    present = [bool(column.notna().any()) for column in (reference, new)]
    if kinds[0] != kinds[1] and all(present):
        which = ("numbers", "other values") if kinds[0] else ("other values", "numbers")
        raise InputError(
            f"drift: column {shown(name)} holds {which[0]} in the reference and {which[1]} in the new table, expected "
            "the same kind in both"
        )
    if all(kinds):
        before, after = (column.to_numpy(dtype=np.float64, na_value=np.nan) for column in (reference, new))
        statistic, p = _kolmogorov_smirnov(before[~np.isnan(before)], after[~np.isnan(after)])
        psi = _psi(*_tenths(before, after))
        return {"column": name, "kind": "number", "statistic": statistic, "p": p, "psi": psi}
    counts = _counted(reference, new)
    statistic, p = _chi_squared(*counts)
    return {"column": name, "kind": "category", "statistic": statistic, "p": p, "psi": _psi(*counts)}


def _kolmogorov_smirnov(before: Float[np.ndarray, "n"], after: Float[np.ndarray, "m"]) -> tuple[float, float]:
    """Return D, the largest distance of the two distribution functions, and its asymptotic p-value."""
    from scipy.special import kolmogorov

    if not len(before) or not len(after):
        return np.nan, np.nan
    before, after = np.sort(before), np.sort(after)
    at = np.concatenate([before, after])
    below = [np.searchsorted(side, at, side="right") / len(side) for side in (before, after)]
    distance = float(np.abs(below[0] - below[1]).max())
    return distance, float(kolmogorov(distance * np.sqrt(len(before) * len(after) / (len(before) + len(after)))))


def _chi_squared(before: Float64[np.ndarray, "K"], after: Float64[np.ndarray, "K"]) -> tuple[float, float]:
    """Return Pearson's χ² of the 2 × K table, and its p-value with K − 1 degrees of freedom."""
    from scipy.special import chdtrc

    table = np.stack([before, after])
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return statistic, float(chdtrc(table.shape[1] - 1, statistic)) if table.shape[1] > 1 else 1.0


def _tenths(
    before: Float64[np.ndarray, "n"], after: Float64[np.ndarray, "m"]
) -> tuple[Float64[np.ndarray, "K"], Float64[np.ndarray, "K"]]:
    """Count both in tenths of the first; missing values are counted last, where there are any."""
    values = before[~np.isnan(before)]
    if not len(values):
        values = after[~np.isnan(after)]
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])) if len(values) else np.zeros(0)

    def counts(column: Float64[np.ndarray, "_"]) -> Float64[np.ndarray, "K"]:
        places = np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, side="left"))
        return np.bincount(places, minlength=len(edges) + 2).astype(np.float64)

    return _occupied(counts(before), counts(after))


def _counted(before: pd.Series, after: pd.Series) -> tuple[Float64[np.ndarray, "K"], Float64[np.ndarray, "K"]]:
    """Count both by value, rare values together; missing values are a value."""
    both = pd.concat([before.astype(object), after.astype(object)], ignore_index=True)
    codes, values = pd.factorize(both.map(str, na_action="ignore"), use_na_sentinel=False)
    sizes = np.bincount(codes, minlength=len(values))
    place = np.minimum(np.argsort(np.argsort(-sizes, kind="stable"), kind="stable"), MOST_CATEGORIES)[codes]
    size = int(place.max()) + 1
    counts = [np.bincount(side, minlength=size).astype(np.float64) for side in np.split(place, [len(before)])]
    return _occupied(counts[0], counts[1])


def _occupied(
    before: Float64[np.ndarray, "n"], after: Float64[np.ndarray, "n"]
) -> tuple[Float64[np.ndarray, "K"], Float64[np.ndarray, "K"]]:
    there = before + after > 0
    return before[there], after[there]


def _psi(before: Float64[np.ndarray, "K"], after: Float64[np.ndarray, "K"]) -> float:
    p, q = (np.where(counts > 0, counts, EMPTY) / counts.sum() for counts in (before, after))
    return float(((q - p) * np.log(q / p)).sum())
