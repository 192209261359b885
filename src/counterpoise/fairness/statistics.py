"""Intervals, paired tests and verdicts over replicates.

**What the intervals mean.** Replicates split the *same* data again and train again. An interval over replicates
therefore says how much a result depends on the split and the initialisation; it does not say how much it would vary
over new populations, and it is narrower than an interval that did. The replicates' test parts also overlap, so their
values are correlated, and a plain t-interval is too narrow even for re-splitting. `correction`, the ratio n_test /
n_train of a split, widens the variance as proposed by Nadeau and Bengio (Machine Learning 52, 2003, Section 3): the
variance of the mean of n values is s² (1/n + n_test / n_train) instead of s² / n. The default is the plain interval,
which is what published tables use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float64, Integer, Shaped
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from counterpoise.errors import InputError

Claimed = Literal["lower", "higher", "equal"]
Verdict = Literal["supported", "contradicted", "not distinguishable"]

LEVEL = 0.95
"""Default confidence level of intervals and verdicts."""

ROUNDING = 1e-12
"""Differences whose range is below this share of the values they are taken from are one number."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean, standard deviation (n − 1 in the denominator), confidence interval, and the number of values that were
    there.

    Every field has the batch shape of what was summarized; scalars for a single series.
    """

    mean: NDArray[np.float64] | np.float64
    std: NDArray[np.float64] | np.float64
    ci_low: NDArray[np.float64] | np.float64
    ci_high: NDArray[np.float64] | np.float64
    n: NDArray[np.int64] | np.int64


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean of a − b over n pairs, its confidence interval, and the two-sided p-value of 'no difference'."""

    difference: float
    ci_low: float
    ci_high: float
    p: float
    n: int


def summarize(
    values: Float[np.ndarray, "*batch R"], *, level: float = LEVEL, correction: float | None = None
) -> Summary:
    """Summarize replicates by mean, standard deviation and Student's t-interval.

    Args:
        values: replicates on the last axis; NaN ones are left out and not counted in n.
        level: of the confidence interval.
        correction: n_test / n_train of a split, for Nadeau and Bengio's variance (see the module's docstring).

    Returns:
        std and interval are NaN for n = 1; the mean too for n = 0.

    Raises:
        InputError: if `level` is not between 0 and 1, `correction` is negative, or a value is infinite.
    """
    _check(level, correction, values)
    values = values.astype(np.float64)
    there = ~np.isnan(values)
    n = there.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):  # n = 0 and n = 1 are to give NaN
        mean = np.where(there, values, 0.0).sum(-1) / n
        deviations = np.where(there, values - np.expand_dims(mean, -1), 0.0)
        std = np.sqrt((deviations**2).sum(-1) / np.where(n > 1, n - 1, np.nan))
        margin = stdtrit(n - 1.0, (1 + level) / 2) * _standard_error(std, n, correction)
    return Summary(mean, std, mean - margin, mean + margin, n)


def paired_difference(
    a: Float[np.ndarray, "R"], b: Float[np.ndarray, "R"], *, level: float = LEVEL, correction: float | None = None
) -> PairedDifference:
    """Compare two methods on the same replicates by the two-sided paired t-test.

    Args:
        a: one value per replicate; pairs with a NaN are left out.
        b: the values to subtract.
        level: of the confidence interval of the difference.
        correction: n_test / n_train of a split, for Nadeau and Bengio's corrected resampled t-test.

    Returns:
        Where all differences are the same number but for rounding, as two or three replicates of a coarse metric may
        have by chance, there is no spread to judge it by: p and interval are NaN, unless the number is 0, which is no
        difference (p = 1). Fewer than two pairs: p and interval are NaN.

    Raises:
        InputError: as `summarize`, and if the two series differ in length.
    """
    if a.shape != b.shape:
        raise InputError(f"Paired series have {len(a)} and {len(b)} replicates, expected as many in both.")
    _check(level, correction, a, b)
    differences = (a - b).astype(np.float64)
    differences = differences[~np.isnan(differences)]
    n = len(differences)
    if n > 1 and np.ptp(differences) <= ROUNDING * np.nanmax(np.abs([a, b])):
        constant = float(differences.mean())
        if abs(constant) <= ROUNDING * np.nanmax(np.abs([a, b])):
            return PairedDifference(0.0, 0.0, 0.0, 1.0, n)
        return PairedDifference(constant, np.nan, np.nan, np.nan, n)
    summary = summarize(differences, level=level, correction=correction)
    p = np.nan
    if n > 1:
        p = 2 * stdtr(n - 1, -abs(summary.mean / _standard_error(summary.std, n, correction)))
    return PairedDifference(float(summary.mean), float(summary.ci_low), float(summary.ci_high), float(p), n)


def wilson(
    events: Float[np.ndarray, "*batch"], trials: Float[np.ndarray, "*batch"], *, level: float = LEVEL
) -> tuple[Float64[np.ndarray, "*batch"], Float64[np.ndarray, "*batch"]]:
    """Return both ends of Wilson's score interval for a share of events among trials; they lie within [0, 1].

    All p with |p̂ − p| ≤ z √(p (1 − p) / n): unlike mean ± margin, it has a width at p̂ = 0 and 1. Source: Wilson
    (Journal of the American Statistical Association 22, 1927).

    Args:
        events, trials: counts, whole or means of counts; without trials both ends are NaN.
        level: of the interval.

    Raises:
        InputError: if `level` is not between 0 and 1, or there are more events than trials or fewer than none.
    """
    _check(level, None)
    if ((events < 0) | (events > trials)).any():
        raise InputError("A share has more events than trials, or fewer than none, expected between 0 and all of them.")
    n = np.where(trials > 0, trials, np.nan).astype(np.float64)
    share, z = events / n, ndtri((1 + level) / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    margin = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At 0 and 1 one end is the share itself, which rounding would miss.
    low = np.where(events == 0, 0 * n, np.maximum(centre - margin, 0))
    high = np.where(events == trials, 0 * n + 1, np.minimum(centre + margin, 1))
    return low, high


def design_effect(events: Shaped[np.ndarray, "n"], unit: Integer[np.ndarray, "n"]) -> float:
    """Return how many times the variance of a share is that of as many independent rows, where rows come in units.

    The variance is that of a ratio of sums over units, drawn with replacement (Korn and Graubard, Survey Methodology
    24, 1998, who divide the rows by this number before they take an interval). 1: independent; m: units of m equal
    rows. NaN for one unit, or for a share of 0 or 1.

    Args:
        events: whether it is so, for each row (or 0 and 1).
        unit: number, from 0, of what the row belongs to.
    """
    number, units = len(events), len(np.unique(unit))
    share = events.mean() if number else np.nan
    if units < 2 or share in (0, 1):
        return float("nan")
    residuals = np.bincount(unit, weights=events - share)
    clustered = units / (units - 1) * (residuals**2).sum() / number**2
    return float(clustered / (share * (1 - share) / number))


def holm(p: Float[np.ndarray, "m"]) -> Float64[np.ndarray, "m"]:
    """Adjust p-values of m tests so that the chance of any false rejection stays below the level (Holm 1979).

    The i-th smallest of m is multiplied by m − i + 1, made monotone, and capped at 1. A NaN stays NaN and is not
    counted in m.

    Raises:
        InputError: if a value is not between 0 and 1.
    """
    tested = ~np.isnan(p)
    values = p[tested].astype(np.float64)
    if ((values < 0) | (values > 1)).any():
        raise InputError(f"p-values lie between {values.min():g} and {values.max():g}, expected 0 to 1.")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1.0)
    result = np.full(p.shape, np.nan)
    result[tested] = adjusted
    return result


def verdict(difference: float, p_holm: float, claimed: Claimed, *, level: float = LEVEL) -> Verdict:
    """Judge the claim that left − right is "lower" or "higher" than zero, or "equal" to it.

    "supported" only if the difference is significant in the claimed direction, "contradicted" if it is significant in
    the other. "equal" can be contradicted but never supported: not finding a difference is no proof that there is none.
    NaN: "not distinguishable".

    Args:
        difference: left − right.
        p_holm: its p-value, adjusted for the number of claims (`holm`).
        claimed: direction of the claim.
        level: 1 − the significance level.

    Raises:
        InputError: if `level` is not between 0 and 1.
    """
    _check(level, None)
    significant = p_holm <= 1 - level and difference != 0
    if not significant or np.isnan(difference):
        return "not distinguishable"
    direction: Claimed = "lower" if difference < 0 else "higher"
    return "supported" if direction == claimed else "contradicted"


def verdicts(
    differences: Sequence[PairedDifference], claimed: Sequence[Claimed], *, level: float = LEVEL
) -> list[tuple[float, Verdict]]:
    """Return for each difference its p-value, adjusted for all of them (`holm`), and the verdict on what is claimed."""
    adjusted = holm(np.array([difference.p for difference in differences], dtype=np.float64))
    return [
        (float(p_holm), verdict(difference.difference, float(p_holm), direction, level=level))
        for difference, direction, p_holm in zip(differences, claimed, adjusted, strict=True)
    ]


def _standard_error(std: Any, n: Any, correction: float | None) -> Any:
    """Standard error of a mean of n values, scalars or arrays; `correction` as in Nadeau and Bengio."""
    return std * np.sqrt(1 / n + (correction or 0.0))


def _check(level: float, correction: float | None, *values: NDArray[np.floating]) -> None:
    if not 0 < level < 1:
        raise InputError(f"level is {level:g}, expected a number between 0 and 1, such as {LEVEL}.")
    if correction is not None and not correction >= 0:
        raise InputError(f"correction is {correction:g}, expected n_test / n_train, which is not negative.")
    if any(np.isinf(series).any() for series in values):
        raise InputError("A series of replicates holds an infinite value, expected numbers or NaN.")
