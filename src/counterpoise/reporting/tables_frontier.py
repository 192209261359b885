"""What was chosen on the frontier and what it is worth, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from counterpoise.catalogue import CHOSEN, CONSTANT
from counterpoise.fairness import LEVEL
from counterpoise.reporting._frames import require_columns, rows_of
from counterpoise.reporting.answer_frontier import MODEL_KEYS, base_of, limits_of
from counterpoise.reporting.context import Table
from counterpoise.reporting.tables import bounds_of, interval_within
from counterpoise.reporting.wording import (
    NOT_AVAILABLE,
    capital,
    frontier_title,
    gap_symbol,
    interval,
    interval_title,
    method_order,
    method_phrase,
    method_title,
    number,
    p_value,
    shortfall_symbol,
    with_interval,
)

SELECTION_KEYS: Final = (
    "seed",
    "family",
    "variant",
    "tolerance",
    "criterion",
    "meets",
    "test_bias",
    "needs_group",
)
DIFFERENCE_KEYS: Final = ("bias", "left", "right", "difference", "ci_low", "ci_high", "p", "p_holm")


def comparison_table(chosen: pd.DataFrame, criterion: str, tolerance: float, *, level: float = LEVEL) -> Table:
    """The choice beside the constant predictor, the unrepaired base and what was chosen of each peer.

    Args:
        chosen: `answer_frontier.models`: one row per family and seed, with errors in % and biases, as judged on
            validation and on test.
        criterion, tolerance: what the choice was to keep.

    Raises:
        InputError: a missing column.
    """
    require_columns(chosen, MODEL_KEYS, "models")
    symbol = shortfall_symbol(criterion)
    first = [name for name in (CONSTANT, base_of(chosen), CHOSEN) if name in set(chosen["family"])]
    order = list(dict.fromkeys([*first, *method_order(chosen["family"])]))
    rows = []
    for family in order:
        choices = chosen[chosen["family"] == family]
        needs = " (needs the group)" if bool(choices["needs_group"].any()) else ""
        rows.append(
            (
                f"{method_title(family)}{needs}",
                *(
                    _mean(choices[f"{part}_{name}"].abs(), level, name)
                    for part in ("validation", "test")
                    for name in ("err", "bias")
                ),
                "{} of {}".format(*held(choices, tolerance)),
            )
        )
    return Table(
        title=f"The choice under {symbol} ≤ {tolerance:g}, and what it stands beside",
        note="In each seed, the model of each family with the lowest error among those within the tolerance, as "
        "judged on validation; the nearest one where none is. Constant predictors are fair and useless: what errs no "
        f"less than they do is no repair. Mean over the seeds, {interval_title(level)} in brackets, cut at 0.",
        columns=(
            "Model",
            "Error (%), as judged",
            f"{symbol}, as judged",
            "Error (%), test",
            f"{symbol}, test",
            "Holds on test",
        ),
        rows=rows,
    )


def rates_table(
    rates: Mapping[str, pd.DataFrame],
    families: Sequence[str],
    group_names: Sequence[str],
    class_names: Sequence[str],
    sensitive: str,
    *,
    level: float = LEVEL,
) -> Table:
    """What each group receives before and after: selection rate, TPR and FPR.

    Args:
        rates: part → `tables.rates_of_counts` with the key `variant`.
        families: variants, in order: the unrepaired base and the choice.
        group_names, class_names: of the codes. sensitive: the attribute.
    """
    titles = {"selection_rate": "Selection rate", "true_positive_rate": "TPR", "false_positive_rate": "FPR"}
    cells: dict[tuple[str, str, int, str, int], str] = {}
    marked = False
    for part, frame in rates.items():
        for row in rows_of(frame[frame["variant"].isin(families) & frame["rate"].isin(list(titles))]):
            marked |= bool(row.wilson)
            mark = " †" if row.wilson else ""
            key = (part, row.variant, int(row.group), row.rate, int(row.label))
            cells[key] = f"{number(row.mean)} ({interval(row.ci_low, row.ci_high)}){mark}"
    columns = [
        (part, family) for part in rates for family in families if any(key[:2] == (part, family) for key in cells)
    ]
    keys = sorted({key[2:] for key in cells}, key=lambda key: (key[2], list(titles).index(key[1]), key[0]))
    several = len({label for *_, label in keys}) > 1
    rows = [
        (
            f"{titles[rate]}{f' of {class_names[label]}' if several else ''}, {group_names[group]}",
            *(cells.get((*column, group, rate, label), NOT_AVAILABLE) for column in columns),
        )
        for group, rate, label in keys
    ]
    note = f"Mean over the seeds, {interval_title(level)} in brackets."
    if marked:
        note += (
            " †: the interval over the seeds would leave 0 to 1 or has no width; it is cut there, and is at least "
            "Wilson's interval for the rows of one seed."
        )
    of_class = f" of {class_names[-1]}" if not several and len(class_names) == 2 else ""
    return Table(
        title=f"Rates{of_class} by {sensitive}, before and after",
        note=note,
        columns=("Rate", *(f"{capital(method_phrase(family))}, {part}" for part, family in columns)),
        rows=rows if columns else [],
    )


def apart_table(apart: pd.DataFrame, class_names: Sequence[str], sensitive: str, *, level: float) -> Table:
    """How the exported model scores people of groups that are neither learnt from nor compared.

    Args:
        apart: a row for each group: `group, rows, scored, selection_rate, selection_low, selection_high, labelled,
            error_rate, error_low, error_high`; the selection rate is null of more than two classes.
    """

    def rate(row: Any, name: str) -> str:
        return with_interval(*(getattr(row, f"{name}_{figure}") for figure in ("rate", "low", "high")))

    return Table(
        title=f"Scored, not compared: other values of {sensitive}",
        note="The exported model on all rows of these groups, which are neither learnt from nor compared: too few for "
        f"a gap to say anything, or of no group. Wilson's {interval_title(level)} in brackets. Rows that miss a value "
        "which the model needs are not scored.",
        columns=("Group", "Rows", "Scored", f"Selection rate of {class_names[-1]}", "With a label", "Share of errors"),
        rows=[
            (
                *(str(row.group), f"{int(row.rows):,}", f"{int(row.scored):,}", rate(row, "selection")),
                *(f"{int(row.labelled):,}", rate(row, "error")),
            )
            for row in rows_of(apart)
        ],
    )


def selection_table(selection: pd.DataFrame) -> Table:
    """Which model each family chose, and in how many seeds the tolerance holds.

    Args:
        selection: one row per seed and family, with at least `SELECTION_KEYS`: `family` is a method of the contract,
            `variant` what it chose, null for nothing, `meets` whether that is within the tolerance on validation,
            `test_bias` how far the metric `criterion` is from its ideal on the test split, `needs_group` whether a
            prediction needs the sensitive attribute.

    Raises:
        InputError: a missing column, or more than one criterion or tolerance.
    """
    require_columns(selection, SELECTION_KEYS, "selection")
    criterion, tolerance = limits_of(selection)
    families = [(family, selection[selection["family"] == family]) for family in method_order(selection["family"])]
    rows = [
        (
            method_title(family),
            _chosen_most(choices),
            f"{int(choices['meets'].sum())} of {len(choices)}",
            "{} of {}".format(*held(choices, tolerance)),
            "yes" if bool(choices["needs_group"].any()) else "no",
        )
        for family, choices in families
    ]
    return Table(
        title=f"What each family chose under {shortfall_symbol(criterion)} ≤ {tolerance:g}",
        note="For each seed, the variant with the lowest error on validation among those within the tolerance there; "
        "if there is none, the nearest one. A tolerance that holds on validation may fail on test, so the seeds in "
        "which it holds are counted. The last column says whether a prediction needs the group.",
        columns=("Family", "Chosen most often", "Holds on validation", "Holds on test", "Needs the group"),
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


def held(selection: pd.DataFrame, tolerance: float) -> tuple[int, int]:
    """In how many seeds of a family the tolerance holds on test, of those whose bias could be measured there."""
    biases = selection["test_bias"].dropna()
    return int((biases.abs() <= tolerance).sum()), len(biases)


def _chosen_most(choices: pd.DataFrame) -> str:
    counts = choices["variant"].value_counts()
    if counts.empty:
        return f"none (0 of {len(choices)})"
    return f"{counts.index[0]} ({counts.iloc[0]} of {len(choices)})"


def _mean(values: pd.Series, level: float, name: str) -> str:
    """Mean and interval of errors in % or of sizes of a bias, which are never below 0."""
    metric = "err" if name == "err" else ""
    bounds = bounds_of("err") if name == "err" else (0.0, np.inf)
    mean, _, low, high, count = interval_within(values.to_numpy("float64"), bounds, level=level)
    return f"{number(mean, metric)} ({interval(low, high, metric)})" if count else NOT_AVAILABLE
