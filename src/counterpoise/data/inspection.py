"""What the columns of an unknown table are, and which of them should not be features: for a first configuration.

Nothing here decides for a run: `counterpoise init` writes what it says into a file, with the reasons, for the user to
read and change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool
from pandas.api import types

from counterpoise.data.audit.proxies import area
from counterpoise.data.features import MAX_CATEGORIES, is_too_fine, plain_column
from counterpoise.data.notations import are_dates, foreign_numbers
from counterpoise.data.values import distinct, listed, name_of
from counterpoise.errors import InputError, shown, suggest

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


Kind = Literal["number", "category", "boolean", "date", "identifier", "text", "constant", "empty", "other"]

NEARLY_UNIQUE = 0.95
"""The share of different values among texts, or whole numbers, from which they are identifiers."""
FEW_ROWS = 20
"""Below so many rows, values that are all different say little."""
COPY = 0.999
"""The AUC from which a single column is a copy of the label."""
SAMPLED = 10_000
"""Rows of numbers that are looked at first, evenly spread, and whether they are a copy at all only then."""
SHY = 0.05
"""How far the AUC of the sampled rows has to be below that of a copy for all rows not to be looked at."""
MAX_CLASSES = 20
MAX_GROUPS = 50
"""More classes, or groups, than these are numbers or names that were meant otherwise."""
COMPARED = 50
"""Characters on average beyond which texts are prose."""
MANY = 20
"""More values than these name what rows belong to, where a column is called so; fewer are categories of it."""
NAMES_UNITS = re.compile(
    r"(?:.*[_.\-\s]|)(?:id|uuid|guid)|id[_.\-\s].*"
    r"|.*(?:account|case|child|client|customer|employee|family|household|member|patient|person|player|pupil|respondent"
    r"|school|student|subject|user)[_.\-\s]?(?:id|nr|no|number)",
    re.IGNORECASE,
)
"""How columns are called that name what rows belong to; `caseId` and `idCase` too."""
_MEANING = {
    **dict.fromkeys(("1", "1.0", "true", "t", "yes", "y", "on"), "1"),
    **dict.fromkeys(("0", "0.0", "false", "f", "no", "n", "off"), "0"),
}
"""Words for true and false."""
NAMES_UNITS_IN_CAPITALS = re.compile(r".*[a-z]I[dD]|id[A-Z].*")


@dataclass(frozen=True)
class Column:
    """One column: what it holds, how many of its values differ or miss, and why it should not be a feature.

    most_rows: of a column that names what rows belong to, such as people, how many rows one has at most; else 0.
    mixed: of a category, a sentence if most of its values are numbers and others are not.
    sentinels: of numbers, those that seem to stand for a missing one.
    """

    name: str
    kind: Kind
    different: int
    missing: int
    examples: tuple[object, ...]
    reason: str | None = None
    most_rows: int = 0
    mixed: str | None = None
    sentinels: tuple[Sentinel, ...] = ()


def inspect(
    table: pd.DataFrame, label: str, sensitive: Sequence[str], drop: Sequence[str] = (), codes: Set[str] = frozenset()
) -> list[Column]:
    """Say of each column what it is, and of those that should not be features why.

    Args:
        table: all rows, with gaps; columns as the reader gives them.
        sensitive: one column or several. drop: columns that the user leaves out, for no other reason.
        codes: columns of whole numbers that are categories.

    Raises:
        InputError: the table has no such columns, or label and groups are not ones that can be compared.
    """
    for option, name in (
        ("--label", label),
        *(("--sensitive", name) for name in sensitive),
        *(("--drop", name) for name in drop),
    ):
        if name not in table:
            raise InputError(f"{option}: the table has no column {shown(name)}{suggest(name, table.columns)}")
    for option, names in (("--sensitive", sensitive), ("--drop", drop)):
        if label in names:
            raise InputError(f"{option}: {shown(label)} is the label, expected another column")
    if both := [name for name in drop if name in sensitive]:
        raise InputError(f"--drop: {shown(both[0])} is a sensitive column, which is no feature anyway")
    if spellings := alike(distinct(table[label].dropna())):
        raise InputError(
            f"--label: column {shown(label)} has {listed(spellings[0])}, which seem to be the same, "
            "expected one spelling of each class: mend the file"
        )
    _require_few(table[label], "--label", "classes", MAX_CLASSES)
    for name in sensitive:
        if not types.is_numeric_dtype(table[name]) or _column(table[name], name).kind != "number":
            _require_few(table[name], "--sensitive", "groups", MAX_GROUPS)
    is_labelled = table[label].notna().to_numpy()
    is_usable = is_labelled & table[list(sensitive)].notna().all(axis=1).to_numpy()
    classes = pd.factorize(table[label])[0]
    columns = []
    for name in map(str, table.columns):
        if name in codes and name not in {label, *sensitive}:
            texts = table[name].map(name_of, na_action="ignore").astype("str")
            column = replace(_column(texts, name), mixed="holds whole numbers that begin with 0, as codes do")
        else:
            column = _column(table[name], name)
        if name not in {label, *sensitive} and column.reason is None:
            if name in drop:
                column = replace(column, reason="left out by --drop")
            elif reason := _reason_where_usable(table[name], column.kind, is_usable):
                column = replace(column, reason=reason)
            elif _is_copy(table[name], column.kind, classes, is_labelled):
                column = replace(column, reason=f"a copy of the label: it alone tells {label} (AUC above {COPY})")
            elif column.kind == "number":
                column = replace(column, sentinels=sentinels(table[name]))
        columns.append(column)
    return columns


def alike(values: Sequence[object]) -> list[list[object]]:
    """Return the texts among values that seem to be the same as another one, each with its like.

    They differ in capitals and spaces alone; or, where all texts are words for true and false, in the word.
    """
    spellings: dict[str, list[object]] = {}
    texts = {value: "".join(value.split()).casefold() for value in values if isinstance(value, str)}
    are_truth = all(text in _MEANING for text in texts.values())
    for value, text in texts.items():
        spellings.setdefault(_MEANING[text] if are_truth else text, []).append(value)
    return [sorted(same, key=str) for same in spellings.values() if len(same) > 1]


def _reason_where_usable(column: pd.Series, kind: Kind, is_usable: Bool[np.ndarray, "N"]) -> str | None:
    """Return why values in rows with a label and a group are no feature although those of all rows would be.

    A run learns from such rows alone, and refuses what is the same in all of them, or the same once it is rounded.
    """
    present = column[is_usable].dropna()
    if not is_usable.all() and present.nunique() < 2:
        what = f"{name_of(present.iloc[0])} in every row" if len(present) else "no value in any row"
        return f"{what} that has a label and a group"
    if kind == "number" and is_too_fine(present):
        return "numbers too close together for their size, in single precision (subtract the smallest in the file)"
    return None


def _require_few(column: pd.Series, option: str, what: str, most: int) -> None:
    different = column.nunique()
    subject = f"{option}: column {shown(str(column.name))}"
    if different < 2:
        content = f"is {shown(column.dropna().iloc[0])} in every row" if different else "has no values"
        if different and (missing := int(column.isna().sum())):
            content += f" that has a value ({missing:,} miss it, or have a sign for that such as 'NA')"
        raise InputError(f"{subject} {content}, expected at least two {what}")
    if different > most:
        how = "different in every row" if different == column.notna().sum() else f"has {different:,} different values"
        subject += " is" if how.startswith("different") else ""
        raise InputError(f"{subject} {how}, expected at most {most} {what}")


def _column(column: pd.Series, name: str) -> Column:
    column = column.astype(column.cat.categories.dtype) if isinstance(column.dtype, pd.CategoricalDtype) else column
    present = column.dropna()
    different, missing = (
        int(present.astype(object).map(repr).nunique() if present.dtype == object else present.nunique()),
        int(column.isna().sum()),
    )
    examples = tuple(present.drop_duplicates().head(3).tolist()) if present.dtype != object else tuple(present.head(3))
    if MANY < different < len(present) and _names_units(name, present):
        why = f"names what rows belong to: {different:,} values in {len(present):,} rows"
        most = int(present.value_counts().iloc[0])
        return Column(name, "identifier", different, missing, examples, why, most_rows=most)
    kind, reason = _kind(present, different)
    mixed = None
    if kind in {"category", "identifier", "text"} and isinstance(present.dtype, pd.StringDtype):
        mixed = foreign_numbers({name_of(value): int(rows) for value, rows in present.value_counts().items()})
    if mixed and kind != "category":
        return Column(name, "category", different, missing, examples, mixed)
    return Column(name, kind, different, missing, examples, reason, mixed=mixed)


def _names_units(name: str, present: pd.Series) -> bool:
    """Whether texts or whole numbers are called as what names people, or whatever else has several rows."""
    if not (NAMES_UNITS.fullmatch(name.strip()) or NAMES_UNITS_IN_CAPITALS.fullmatch(name.strip())):
        return False
    is_number = types.is_numeric_dtype(present) and not types.is_bool_dtype(present)
    return bool((present.astype("float64") % 1 == 0).all()) if is_number else isinstance(present.dtype, pd.StringDtype)


def _kind(present: pd.Series, different: int) -> tuple[Kind, str | None]:
    """Return what a column is, from its values that are there, and why it should not be a feature, if it should not."""
    if not len(present):
        return "empty", "no values"
    if different == 1:
        return "constant", f"{name_of(present.iloc[0])} in every row"
    unique = different >= NEARLY_UNIQUE * len(present) and len(present) >= FEW_ROWS
    if types.is_bool_dtype(present):
        return "boolean", None
    if types.is_numeric_dtype(present):
        are_whole = bool((present.astype("float64") % 1 == 0).all())
        if unique and are_whole and (_counts_up(present) or present.is_monotonic_increasing):
            how = "close together" if _counts_up(present) else "from row to row larger"
            return "identifier", f"{different:,} different whole numbers in {len(present):,} rows, {how}"
        return "number", None
    try:
        present = plain_column(present, "it", "leave it out")
    except InputError as error:
        return "other", str(error)
    texts = present.astype("str")
    if types.is_datetime64_any_dtype(present) or are_dates(distinct(texts.head(1000))):
        days = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
        if days.isna().any():
            return "date", "dates or times that are not all written as year-month-day"
        return "date", "dates; 'dates: days' in the place of this makes them numbers"
    if unique:
        words = texts.str.len().mean() > COMPARED
        return (
            ("text", "free text")
            if words
            else ("identifier", f"{different:,} different texts in {len(present):,} rows")
        )
    if different > MAX_CATEGORIES:
        return "text", f"{different:,} different texts, more than {MAX_CATEGORIES:,} categories"
    return "category", None


def _counts_up(numbers: pd.Series) -> bool:
    """Whether different whole numbers lie as close as those that are given out one after the other."""
    return float(numbers.max()) - float(numbers.min()) < 2 * len(numbers)


def _is_copy(column: pd.Series, kind: Kind, codes: np.ndarray, is_labelled: Bool[np.ndarray, "N"]) -> bool:
    """Whether one column tells each class from all others by an AUC above `COPY`, either way round.

    Categories are ordered by how often they have the class, on the same rows, so few rows for each say nothing.
    """
    use = is_labelled & column.notna().to_numpy()
    if kind not in {"number", "boolean", "category"} or use.sum() < FEW_ROWS:
        return False
    values, y = column[use], codes[use]
    if kind == "number" and len(values) > SAMPLED:
        step = -(-len(values) // SAMPLED)
        few = _areas(values[::step], kind, y[::step])
        if few and min(few) < COPY - SHY:
            return False  # of so many rows the area cannot be that far from that of all
    if kind == "category" and values.nunique() > use.sum() / FEW_ROWS:
        return False
    areas = _areas(values, kind, y)
    return bool(areas) and min(areas) > COPY


def _areas(values: pd.Series, kind: Kind, y: np.ndarray) -> list[float]:
    """Return by how large an AUC a column tells each class, of `FEW_ROWS` rows at least, from all others."""
    areas = []
    for code in range(y.max() + 1):
        hit = y == code
        if hit.sum() < FEW_ROWS:
            continue
        if kind == "category":
            names = values.astype("str")
            values_of_class = names.map(pd.Series(hit, index=values.index).groupby(names).mean())
        else:
            values_of_class = values.astype("float64")
        of_class = area(values_of_class.to_numpy(dtype=np.float64), hit.astype(np.float64), np.ones(len(hit)))
        areas.append(max(of_class, 1 - of_class))
    return areas


def counts(column: pd.Series) -> dict[object, int]:
    """Return how many rows have each value, values sorted by their names; missing ones are not counted."""
    numbers = column.value_counts().to_dict()
    return {value: int(numbers[value]) for value in sorted(numbers, key=name_of)}


def rare_in_a_group(labels: pd.Series, groups: pd.Series, *, fewest: int, large: float) -> list[object]:
    """Return, of more than two classes, those of which a group has fewer than `fewest` rows, if two others remain.

    Their rates cannot be compared between the groups.

    Args:
        large: rows of the smallest group that is looked at; smaller ones are taken together instead.
    """
    cells = pd.crosstab(groups, labels)
    cells = cells[cells.sum(axis=1) >= large]
    rare = [label for label in counts(labels) if (cells[label] < fewest).any()]
    return rare if len(cells.columns) - len(rare) >= 2 else []


def require_value(value: str, column: pd.Series, option: str) -> object:
    """Return the value of a column that a text on the command line stands for.

    Raises:
        InputError: no value is written so.
    """
    values = distinct(column.dropna())
    for candidate in values:
        if name_of(candidate) == value:
            return candidate
    kind = "numbers" if types.is_numeric_dtype(column) else "texts"
    raise InputError(
        f"{option}: column {shown(str(column.name))} never is {shown(value)}{suggest(value, map(name_of, values))}, "
        f"expected one of the {kind} {listed(values)}"
    )
