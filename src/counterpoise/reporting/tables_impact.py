"""Tables of the auditor's page: rates and ratios by category, all models side by side, alternatives."""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

from counterpoise.fairness.impact import UNKNOWN, lowest
from counterpoise.reporting._frames import rows_of
from counterpoise.reporting.context import Table
from counterpoise.reporting.wording import (
    NOT_AVAILABLE,
    interval_title,
    is_missing,
    median_and_range,
    method_title,
    number,
    p_value,
    with_interval,
)

_SMALL: Final = " (under 2%)"


def model_name(rows: pd.DataFrame) -> str:
    """The name of the one model whose rows these are."""
    method, variant = str(rows["method"].iloc[0]), str(rows["variant"].iloc[0])
    return method_title(method) if method == variant else f"{method_title(method)} ({variant})"


def rates(impact: pd.DataFrame) -> list[Table]:
    """Selection rates and impact ratios of one model, a table for each attribute."""
    by_attribute = impact.groupby("attribute", sort=False)
    return [_rates(rows, f"{model_name(impact)}: selection by {name}") for name, rows in by_attribute]


def scores(impact: pd.DataFrame) -> list[Table]:
    """Scoring rates of one model, one table of all attributes; none where scores are not known."""
    rows = [
        (
            f"{row.attribute}: {_category(row)}",
            f"{int(row.above_median):,} of {row.people:,}",
            with_interval(row.scoring_rate, row.scoring_rate_low, row.scoring_rate_high),
            with_interval(row.scoring_impact_ratio, row.scoring_ratio_low, row.scoring_ratio_high),
        )
        for row in rows_of(impact)
        if not is_missing(row.scoring_rate)
    ]
    columns = ("Category", "Above the median", "Scoring rate", "Impact ratio")
    return [Table(f"{model_name(impact)}: scores above the median", "", columns, rows)] if rows else []


def categories_at_a_glance(impact: pd.DataFrame, seed: int, level: float) -> Table:
    """Every model's lowest impact ratio of each attribute: in the replicate that is shown, and over all of them."""
    several = impact["attribute"].nunique() > 1
    every = pd.concat([lowest(rows) for _, rows in impact.groupby(["variant", "seed"], sort=False)])
    rows = []
    for variant, model in impact[impact["seed"] == seed].groupby("variant", sort=False):
        for row in rows_of(lowest(model)):
            over_seeds = every[(every["variant"] == variant) & (every["attribute"] == row.attribute)]["impact_ratio"]
            rows.append(
                (
                    f"{model_name(model)}{f', {row.attribute}' if several else ''}",
                    _category(row),
                    with_interval(row.impact_ratio, row.ratio_low, row.ratio_high),
                    "yes" if row.below_four_fifths else "no",
                    p_value(row.fisher_p),
                    median_and_range(over_seeds),
                )
            )
    note = (
        f"The category with the lowest impact ratio, with its {interval_title(level)}, in seed {seed}; the last column "
        "has the median and the range of the lowest ratio over the seeds."
    )
    columns = ("Model", "Category", "Impact ratio", "Below four fifths", "Fisher p", "Over the seeds")
    return Table("Lowest impact ratio of every model", note, columns, rows)


def alternatives(alternatives: pd.DataFrame) -> Table:
    """The chosen model and the alternatives of one replicate."""
    rows = [
        (
            f"{row.variant}{' (chosen)' if row.is_chosen else ''}",
            "yes" if row.needs_group else "no",
            f"{row.validation_err:.2f}",
            number(row.validation_impact_ratio),
            f"{row.test_err:.2f}",
            number(row.test_impact_ratio),
            "" if row.is_chosen else "yes" if row.holds else "no",
        )
        for row in rows_of(alternatives)
    ]
    columns = (
        *("Model", "Needs the group", "Error in %, validation", "Impact ratio, validation"),
        *("Error in %, test", "Impact ratio, test", "Holds on test"),
    )
    return Table("Alternatives", "", columns, rows)


def _rates(impact: pd.DataFrame, title: str) -> Table:
    without = bool(impact["small"].any())
    rows = [
        (
            _category(row),
            f"{row.selected:,} of {row.people:,}",
            with_interval(row.selection_rate, row.rate_low, row.rate_high),
            with_interval(row.impact_ratio, row.ratio_low, row.ratio_high),
            *([number(row.impact_ratio_without_small)] if without else []),
            _flag(row),
            _unbroken(p_value(row.fisher_p)),
            _z(row),
        )
        for row in rows_of(impact)
    ]
    columns = (
        *("Category", "Selected", "Selection rate", "Impact ratio"),
        *(["Without categories under 2%"] if without else []),
        *("Below four fifths", "Fisher p", "z (p)"),
    )
    return Table(title, "", columns, rows)


def _category(row: Any) -> str:
    return f"{row.category}{_SMALL if row.small else ''}"


def _flag(row: Any) -> str:
    if row.category == UNKNOWN:
        return "not in the ratios"
    if pd.isna(row.below_four_fifths):
        return NOT_AVAILABLE
    is_top = row.impact_ratio == 1 and is_missing(row.fisher_p)
    return "most selected" if is_top else "yes" if row.below_four_fifths else "no"


def _z(row: Any) -> str:
    if is_missing(row.z):
        return NOT_AVAILABLE
    return f"{number(row.z, signed=True)} ({_unbroken(p_value(row.z_p))})"


def _unbroken(text: str) -> str:
    return text.replace(" ", "\u00a0")
