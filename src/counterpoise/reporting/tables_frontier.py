"""What was chosen on the frontier and what it is worth, as text."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from counterpoise.errors import InputError
from counterpoise.fairness import LEVEL, summarize
from counterpoise.reporting._frames import require_columns, rows_of
from counterpoise.reporting.context import Table
from counterpoise.reporting.wording import (
    difference,
    frontier_title,
    gap_symbol,
    interval,
    interval_title,
    method_order,
    method_title,
    metric_label,
    metric_symbol,
    number,
    p_value,
    shortfall_symbol,
)

SELECTION_KEYS: Final = (
    "seed",
    "family",
    "variant",
    "tolerance",
    "criterion",
    "meets",
    "test_err",
    "test_bias",
    "needs_group",
)
IMPORTANCE_KEYS: Final = ("left", "right", "rank", "metric", "difference", "ci_low", "ci_high", "p_holm", "verdict")
DIFFERENCE_KEYS: Final = ("bias", "left", "right", "difference", "ci_low", "ci_high", "p", "p_holm")


def selection_table(selection: pd.DataFrame, *, level: float = LEVEL) -> Table:
    """What each family chose on validation under the tolerance, measured on test.

    Args:
        selection: one row per seed and family, with at least `SELECTION_KEYS`: `family` is a method of the contract,
            `variant` what it chose, null for nothing, `meets` whether that is within the tolerance on validation,
            `test_err` (in %) and `test_bias` (how far the metric `criterion` is from its ideal) what it measures on the
            test split, `needs_group` whether a prediction needs the sensitive attribute.

    Raises:
        InputError: a missing column, or more than one criterion or tolerance.
    """
    require_columns(selection, SELECTION_KEYS, "selection")
    limits = selection[["criterion", "tolerance"]].drop_duplicates()
    if len(limits) > 1:
        raise InputError(f"selection: {len(limits)} pairs of criterion and tolerance, expected one for a table.")
    criterion, tolerance = next(limits.itertuples(index=False, name=None), ("bias", np.nan))
    families = [(family, selection[selection["family"] == family]) for family in method_order(selection["family"])]
    rows = [
        (
            method_title(family),
            _chosen_most(choices),
            _mean(choices["test_err"], level, "err"),
            _mean(choices["test_bias"].abs(), level),
            f"{int(choices['meets'].sum())} of {len(choices)}",
            "{} of {}".format(*held(choices, tolerance)),
            _answer(choices["needs_group"]),
        )
        for family, choices in families
    ]
    return Table(
        title=f"Chosen on validation under {shortfall_symbol(criterion)} ≤ {tolerance:g}, measured on test",
        note="For each seed, the variant with the lowest error on validation among those within the tolerance there; "
        "if there is none, the nearest one. Error and bias are measured on test: mean over the seeds, "
        f"{interval_title(level)} in brackets. A tolerance that holds on validation may fail on test, so the seeds in "
        "which it holds are counted. The last column says whether a prediction needs the group.",
        columns=(
            "Family",
            "Chosen most often",
            metric_label("err"),
            shortfall_symbol(criterion),
            "Holds on validation",
            "Holds on test",
            "Needs the group",
        ),
        rows=rows,
    )


def hypervolume_table(differences: pd.DataFrame, *, level: float = LEVEL) -> Table:
    """Does one method's frontier cover more than another's? Differences of hypervolume, paired by seed.

    Args:
        differences: one row per comparison, with `DIFFERENCE_KEYS`: `bias` is the metric beside the error, `left` and
            `right` are methods, `difference` is left − right.

    Raises:
        InputError: a missing column.
    """
    require_columns(differences, DIFFERENCE_KEYS, "hypervolume differences")
    rows = [
        (
            f"{frontier_title(row.left)} − {frontier_title(row.right)}",
            f"error, {gap_symbol(row.bias)}",
            number(row.difference, signed=True),
            interval(row.ci_low, row.ci_high, signed=True),
            p_value(row.p),
            p_value(row.p_holm),
        )
        for row in rows_of(differences)
    ]
    return Table(
        title="Hypervolume of the frontiers, compared",
        note="The area that a frontier covers below the reference point: above zero, the first method's frontier is "
        "the better one. Paired by seed; the p-values are corrected for the number of comparisons (Holm).",
        columns=("Comparison", "Over", "Difference", interval_title(level), "p", "p (Holm)"),
        rows=rows,
    )


def importance_table(effect: pd.DataFrame, *, level: float = LEVEL) -> Table:
    """Does importance help? WIN's heads against the others' at equal rank and penalty, on test, paired by seed.

    Args:
        effect: one row per comparison, with `IMPORTANCE_KEYS`: `difference` is left − right, averaged over all
            penalties; `rank` is that of `left`.

    Raises:
        InputError: a missing column.
    """
    require_columns(effect, IMPORTANCE_KEYS, "importance effect")
    rows = [
        (
            f"{frontier_title(row.left)} − {frontier_title(row.right)}",
            str(row.rank),
            metric_symbol(row.metric),
            difference(row, row.metric),
            p_value(row.p_holm),
            row.verdict,
        )
        for row in rows_of(effect)
    ]
    return Table(
        title="Does importance help under a penalty?",
        note="Heads of equal rank under the same penalty, without a threshold: the difference on the test split, "
        f"averaged over all penalties, paired by seed, with its {interval_title(level)}. The claim tested is that "
        "the first of each pair is lower; p after Holm's correction for all rows.",
        columns=("Comparison", "Rank", "Metric", "Difference", "p", "Verdict"),
        rows=rows,
    )


def held(selection: pd.DataFrame, tolerance: float) -> tuple[int, int]:
    """In how many seeds of a family the tolerance holds on test, of those whose bias could be measured there."""
    biases = selection["test_bias"].dropna()
    return int((biases.abs() <= tolerance).sum()), len(biases)


def _chosen_most(choices: pd.DataFrame) -> str:
    counts = choices["variant"].value_counts()
    if counts.empty:
        return f"none (0 of {len(choices)})"
    return f"{counts.index[0]} ({counts.iloc[0]} of {len(choices)})"


def _mean(values: pd.Series, level: float, metric: str = "") -> str:
    statistics = summarize(values.to_numpy("float64"), level=level)
    mean, low, high = (float(value) for value in (statistics.mean, statistics.ci_low, statistics.ci_high))
    return f"{number(mean, metric)} ({interval(low, high, metric)})"


def _answer(needed: Any) -> str:
    return "yes" if bool(needed.any()) else "no"
