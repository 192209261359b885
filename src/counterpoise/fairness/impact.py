"""Selection rates, scoring rates and impact ratios of the categories of sensitive attributes, and of their crossings.

The definitions are those of the rules on automated employment decision tools (6 RCNY § 5-300 and § 5-301, which carry
out New York City's Local Law 144 of 2021) and of the Uniform Guidelines on Employee Selection Procedures (29 CFR
1607.4 D). What is computed here is arithmetic; whether a rule applies to a system, and what follows, is for a lawyer.

*Selection rate*: of the people of a category, the share that is selected. *Scoring rate*: the share whose score is
above the median score of the sample. *Impact ratio*: the rate of a category divided by the highest rate of any.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float64, Int64

from counterpoise.errors import InputError
from counterpoise.fairness.statistics import LEVEL, wilson

UNKNOWN = "unknown"
"""The category of people of whom an attribute is not known: counted, but in no ratio (6 RCNY § 5-301 (b), (c))."""

SMALL = 0.02
"""Categories of a smaller share of the sample may be excluded from the ratios (6 RCNY § 5-301 (d))."""

CROSSED = " × "
"""Between the names of crossed attributes, and of their categories."""

COLUMNS = (
    *("attribute", "category", "people", "share", "small"),
    *("selected", "selection_rate", "rate_low", "rate_high"),
    *("impact_ratio", "ratio_low", "ratio_high", "below_four_fifths", "fisher_p", "z", "z_p"),
    "impact_ratio_without_small",
    *("above_median", "scoring_rate", "scoring_rate_low", "scoring_rate_high"),
    *("scoring_impact_ratio", "scoring_ratio_low", "scoring_ratio_high"),
)


def impact(
    selected: Bool[np.ndarray, "N"],
    sensitive: pd.DataFrame,
    score: Float[np.ndarray, "N"] | None = None,
    *,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Return the rates and ratios of every category of every attribute and of their crossings, as `COLUMNS`.

    Args:
        sensitive: a column for each attribute, its categories as values; a missing value is `UNKNOWN`.
        score: of each person; None leaves what is made of it null.

    Returns:
        One row per category. Crossings are of every two attributes, and of all where there are more than two; of a
        crossing a person is unknown who is so in one of its attributes. Intervals of rates are Wilson's; those of
        ratios are Katz's (`katz`), null for the category of the highest rate itself and where a rate is 0. That the
        category with the highest rate was found in the same sample is not in these intervals, nor in the tests of
        each category against it: Fisher's exact test and the two-proportion z test, both two-sided and uncorrected.
        `impact_ratio_without_small` leaves categories below `SMALL` out, also as the highest. The ratios of an unknown
        category, or where nobody is selected, are null.

    Raises:
        InputError: the arguments have different lengths, nobody is in the sample, there is no attribute, or a score is
            not a number.
    """
    if len(selected) != len(sensitive) or (score is not None and len(score) != len(selected)):
        raise InputError(
            f"impact: {len(selected):,} decisions have {len(sensitive):,} rows of attributes, expected one each"
        )
    if not len(selected) or not sensitive.shape[1]:
        raise InputError("impact: found no person or no sensitive attribute, expected one at least")
    if score is not None and np.isnan(score).any():
        raise InputError(f"impact: {int(np.isnan(score).sum()):,} scores are not numbers, expected a number for each")
    above = None if score is None else score > np.median(score)
    frames = [
        _of_attribute(name, codes, categories, selected, above, level)
        for name, codes, categories in _attributes(sensitive)
    ]
    return pd.concat(frames, ignore_index=True)[list(COLUMNS)]


def katz(
    events: Float[np.ndarray, "n"],
    people: Float[np.ndarray, "n"],
    other_events: float,
    other_people: float,
    *,
    level: float = LEVEL,
) -> tuple[Float64[np.ndarray, "n"], Float64[np.ndarray, "n"]]:
    """Return the ends of Katz's interval for the ratio of two independent shares, a of m and b of n.

    ln ratio ± z √(1/a − 1/m + 1/b − 1/n).

    Source: Katz, Baptista, Azen and Pike (Biometrics 34, 1978), method C, the delta method on the logarithm. NaN where
    a share is 0.
    """
    from scipy.special import ndtri

    there = (events > 0) & (other_events > 0)
    a, b = np.where(there, events, np.nan), other_events if other_events > 0 else np.nan
    spread = ndtri((1 + level) / 2) * np.sqrt(1 / a - 1 / people + 1 / b - 1 / other_people)
    ratio = (a / people) / (b / other_people)
    return ratio * np.exp(-spread), ratio * np.exp(spread)


def fisher_exact(a: int, m: int, b: int, n: int) -> float:
    """Return the two-sided p-value of Fisher's exact test that a of m and b of n have one share.

    The sum of the probabilities of all tables with the same margins that are no likelier than the one observed (those
    within a relative 1e-7 of it count as equally likely).
    """
    low, high = max(0, a + b - n), min(m, a + b)
    support = np.arange(low, high + 1, dtype=np.float64)
    mode = min(max(((m + 1) * (a + b + 1)) // (m + n + 2), low), high) - low
    # Ratios of neighbours, multiplied outwards from the likeliest table: no factorial is ever formed.
    up = (m - support[:-1]) * (a + b - support[:-1]) / ((support[:-1] + 1) * (n - a - b + support[:-1] + 1))
    weights = np.ones(len(support))
    weights[mode + 1 :] = np.cumprod(up[mode:])
    weights[:mode] = np.cumprod(1 / up[:mode][::-1])[::-1]
    return float(min(1.0, weights[weights <= weights[a - low] * (1 + 1e-7)].sum() / weights.sum()))


def two_proportion_z(a: int, m: int, b: int, n: int) -> tuple[float, float]:
    """Return z = (a/m − b/n) / √(p (1 − p) (1/m + 1/n)) with p = (a + b) / (m + n), and its two-sided p-value.

    Where all or none are selected there is no difference: z is 0 and p is 1.
    """
    pooled = (a + b) / (m + n)
    if pooled in (0.0, 1.0):
        return 0.0, 1.0
    z = (a / m - b / n) / math.sqrt(pooled * (1 - pooled) * (1 / m + 1 / n))
    return z, math.erfc(abs(z) / math.sqrt(2))


def lowest(table: pd.DataFrame, ratio: str = "impact_ratio") -> pd.DataFrame:
    """Return the row of the lowest ratio of each attribute, attributes in their order; none where all are null."""
    there = table[table[ratio].notna()]
    return there.loc[there.groupby("attribute", sort=False)[ratio].idxmin()]


def _attributes(sensitive: pd.DataFrame) -> Iterator[tuple[str, Int64[np.ndarray, "N"], list[str]]]:
    """Yield each attribute and crossing with the code of everybody's category, −1 where it is unknown."""
    single = {}
    for name in sensitive:
        column = sensitive[name].astype("category")
        single[str(name)] = (
            column.cat.codes.to_numpy(dtype=np.int64),
            [str(category) for category in column.cat.categories],
        )
    for name, (codes, categories) in single.items():
        yield name, codes, categories
    names = list(single)
    crossings = [*combinations(names, 2), *([tuple(names)] if len(names) > 2 else [])]
    for crossing in crossings:
        codes, categories = single[crossing[0]]
        for name in crossing[1:]:
            further, more = single[name]
            is_known = (codes >= 0) & (further >= 0)
            codes = np.where(is_known, codes * len(more) + further, -1)
            categories = [f"{one}{CROSSED}{other}" for one in categories for other in more]
        yield CROSSED.join(crossing), codes, categories


def _of_attribute(
    name: str,
    codes: Int64[np.ndarray, "N"],
    categories: list[str],
    selected: Bool[np.ndarray, "N"],
    above: Bool[np.ndarray, "N"] | None,
    level: float,
) -> pd.DataFrame:
    places = np.where(codes < 0, len(categories), codes)
    people = np.bincount(places, minlength=len(categories) + 1)
    chosen = np.bincount(places, weights=selected, minlength=len(categories) + 1).astype(np.int64)
    is_unknown = np.arange(len(people)) == len(categories)
    share = people / len(codes)
    small = (share < SMALL) & ~is_unknown
    frame = pd.DataFrame(
        {"attribute": name, "category": [*categories, UNKNOWN], "people": people, "share": share, "small": small}
    ).assign(selected=chosen)
    frame = frame.join(_rates(chosen, people, is_unknown, level))
    frame = frame.join(_tests(chosen, people, is_unknown))
    frame["impact_ratio_without_small"] = _ratios(chosen, people, is_unknown | small)[0]
    if above is None:
        frame["above_median"] = pd.array([pd.NA] * len(frame), dtype="Int64")
        scoring = _rates(chosen, people, np.ones(len(frame), dtype=bool), level) * np.nan
    else:
        higher = np.bincount(places, weights=above, minlength=len(people)).astype(np.int64)
        frame["above_median"] = pd.array(higher, dtype="Int64")
        scoring = _rates(higher, people, is_unknown, level)
    scoring.columns = pd.Index(
        [
            *("scoring_rate", "scoring_rate_low", "scoring_rate_high"),
            *("scoring_impact_ratio", "scoring_ratio_low", "scoring_ratio_high"),
        ]
    )
    return frame.join(scoring)[people > 0]


def _rates(
    events: Int64[np.ndarray, "n"], people: Int64[np.ndarray, "n"], excluded: Bool[np.ndarray, "n"], level: float
) -> pd.DataFrame:
    """Return the rates with Wilson's intervals, and the ratios with Katz's."""
    low, high = wilson(events.astype(np.float64), people.astype(np.float64), level=level)
    rate = np.divide(events, people, out=np.full(len(events), np.nan), where=people > 0)
    ratio, top = _ratios(events, people, excluded)
    ends = np.full((2, len(events)), np.nan)
    others = ~np.isnan(ratio) & (np.arange(len(events)) != top)
    if others.any():
        a, m = (column[others].astype(np.float64) for column in (events, people))
        ends[:, others] = katz(a, m, float(events[top]), float(people[top]), level=level)
    columns = {"selection_rate": rate, "rate_low": low, "rate_high": high, "impact_ratio": ratio}
    return pd.DataFrame(columns | {"ratio_low": ends[0], "ratio_high": ends[1]})


def _ratios(
    events: Int64[np.ndarray, "n"], people: Int64[np.ndarray, "n"], excluded: Bool[np.ndarray, "n"]
) -> tuple[Float64[np.ndarray, "n"], int]:
    """Return each rate divided by the highest, NaN where it is excluded or nobody has one; and whose that is.

    Ties go to the category of more people: its rate is known best.
    """
    used = (people > 0) & ~excluded
    rate = np.divide(events, people, out=np.full(len(events), np.nan), where=used)
    if not used.any() or not np.nanmax(rate) > 0:
        return np.full(len(events), np.nan), -1
    highest = np.nanmax(rate)
    top = int(np.argmax(np.where(rate == highest, people, -1)))
    return rate / highest, top


def _tests(
    events: Int64[np.ndarray, "n"], people: Int64[np.ndarray, "n"], excluded: Bool[np.ndarray, "n"]
) -> pd.DataFrame:
    """Compare each category with that of the highest rate: four fifths in whole numbers, Fisher's test, z."""
    ratio, top = _ratios(events, people, excluded)
    records: list[dict[str, object]] = []
    for place, value in enumerate(ratio):
        if np.isnan(value):
            records.append({"below_four_fifths": None, "fisher_p": np.nan, "z": np.nan, "z_p": np.nan})
            continue
        a, m, b, n = (int(count) for count in (events[place], people[place], events[top], people[top]))
        is_below = 5 * a * n < 4 * b * m
        if place == top:
            records.append({"below_four_fifths": is_below, "fisher_p": np.nan, "z": np.nan, "z_p": np.nan})
            continue
        z, p = two_proportion_z(a, m, b, n)
        records.append({"below_four_fifths": is_below, "fisher_p": fisher_exact(a, m, b, n), "z": z, "z_p": p})
    return pd.DataFrame(records).astype({"below_four_fifths": "boolean"})
