"""From a table with its own words to `samples`: features (or the image's path), class y and group s.

Everything that could make a later number meaningless is refused here, before any training: a value that nobody named, a
group that is empty or has one class only, a feature that is missing, infinite or constant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64
from pandas.api import types

from counterpoise.data.boundary import LIMITS, Limits
from counterpoise.data.features import Dates, features_of, require_complete
from counterpoise.data.splitting.together import unit_codes
from counterpoise.data.values import MISSING, Value, distinct, listed, mismatch, name_of, type_hint
from counterpoise.errors import InputError, shown, suggest

#: A group is one value of the sensitive column, or several taken together ("Black", "Other", …).
Group = Value | Sequence[Value]

#: The group of all values that no other group names.
REST = "*"

STRANGERS = 20
"""Values that are in no group which a sentence names; of more, it gives their number."""

#: The column that makes a table one of images; and the columns of `samples` that are not features: `UNIT` is there
#: where rows belong together, and numbers what they belong to.
IMAGE, CLASS, GROUP, UNIT = "image", "y", "s", "together"
#: The column of a table of images that says, where its source does, which part it is of: "train" or "test".
OFFICIAL_PART = "official_part"


def encode(
    table: pd.DataFrame,
    *,
    source: str,
    label: str,
    sensitive: str,
    groups: Sequence[Group],
    positive: Value | None = None,
    classes: Sequence[Value] | None = None,
    class_names: Sequence[str] = (),
    drop: Sequence[str] = (),
    keep_sensitive: bool = False,
    bands: Sequence[float | int] = (),
    categories: Collection[str] = (),
    dates: Dates = "refuse",
    rare: int = 0,
    limits: Limits = LIMITS,
    images: bool = False,
    keep: Sequence[str] = (),
    further: Mapping[str, Sequence[Group]] | None = None,
    together: str | None = None,
    described: list[dict[str, Any]] | None = None,
) -> pd.DataFrame:
    """Encode a complete table as `samples`, one row per row.

    Numbers stay as they are (standardising needs a split, so it happens later); every other column becomes one column
    per category, named `column=category`, categories sorted. Of a table of images only the column `image`, what `keep`
    names, y and s remain. A number whose column is called `image`, `y`, `s` or `official_part` becomes the feature
    `<name>_feature`.

    Args:
        table: one row per sample, no missing values.
        source: what to call the table in a sentence: a file or a data set.
        label: the column to predict.
        sensitive: the column whose groups are compared.
        groups: its values; s is the position in this list. `REST` takes all values that the others do not name.
        positive: the label that is y = 1. Unless `classes` are given, exactly one other label may occur.
        classes: all labels. Without `positive`, y is the position in this list; with it, y is still 0 or 1. A text
            names a number or a truth value that is written so: class "0" is the label 0.
        class_names: what classes 0 and 1 are called, with `positive`: the other label cannot be the name of class 1.
        drop: columns that are not features.
        keep_sensitive: whether the sensitive column is also a feature (as in the altering paper's Adult).
        bands: of a sensitive column of numbers, where each group but the first begins; `groups` are then names.
        categories: columns that are categories though their values look like numbers or dates.
        dates: what becomes of columns of dates: `refuse`, or `days` since 1970-01-01.
        rare: categories of fewer rows than this are one category.
        limits: bounds the number of features, and their memory.
        images: whether the table is one of images.
        keep: columns of a table of images that stay beside the paths.
        further: sensitive columns of a table of images beside `sensitive`, with their groups: they stay, coded as s is.
        together: a column whose values say which rows belong together; it is no feature.
        described: gets what each column of features became, if it is given (`features.features_of`).

    Returns:
        float32 features in the table's order (or `image` and `keep`, str; `further`, int64), then int64 `y` and `s`,
        and `together` where it is given; index 0 to N−1.

    Raises:
        InputError: see the module's docstring; the sentence names the column, what was found and what was expected.
    """
    if table.empty:
        raise InputError(f"{source}: the table has no rows, expected at least one for each group and class")
    if label == sensitive:
        raise InputError(
            f"{source}: {label!r} is both the label and the sensitive column, expected two different columns"
        )
    further = further or {}
    drop = drop if together is None or together in drop else (*drop, together)
    named = [label, sensitive, *drop, *keep, *further, *categories, *([IMAGE] if images else [])]
    _require_columns(table, named, source)

    y = _classes(table[label], source, positive, classes)
    _require_names(table[label], source, positive, class_names)
    s = _groups(table[sensitive], source, groups, bands)
    _require_populated(y, s, source, label, sensitive, groups)

    if images:
        features: dict[str, object] = {name: _texts(table[name], source) for name in (IMAGE, *keep)}
        features |= {name: _groups(table[name], source, values) for name, values in further.items()}
    else:
        left_out = {label, *drop} if keep_sensitive else {label, sensitive, *drop}
        features = dict(
            features_of(
                table.drop(columns=list(left_out)),
                source,
                reserved=(IMAGE, CLASS, GROUP, OFFICIAL_PART, *([UNIT] if together else [])),
                categories=categories,
                dates=dates,
                rare=rare,
                limits=limits,
                described=described,
            )
        )
    units = {} if together is None else {UNIT: unit_codes(table[together])}
    return pd.DataFrame({**features, CLASS: y, GROUP: s, **units})


def feature_names(samples: pd.DataFrame) -> list[str]:
    """Return the names of the features of `samples` of a table, in their order."""
    return [str(name) for name in samples if name not in {CLASS, GROUP, UNIT}]


def class_codes(column: pd.Series, positive: Value | None, classes: Sequence[Value]) -> Int64[np.ndarray, "N"]:
    """Return each label's class as `encode` numbers it, −1 where it is missing or none of the classes."""
    if positive is not None:
        return np.where(column.isna(), -1, (column == positive).to_numpy(dtype=bool, na_value=False).astype(np.int64))
    codes = _positions([[name] for name in _as_written(column, classes)])
    return column.map(codes).fillna(-1).to_numpy(dtype=np.int64)


def group_codes(
    column: pd.Series, groups: Sequence[Group], bands: Sequence[float | int] = ()
) -> Int64[np.ndarray, "N"]:
    """Return each value's group as `encode` numbers it, −1 where it is missing or in none."""
    if bands:
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.isnan(numbers), -1, np.digitize(numbers, bands))
    codes = _positions(_all_members(groups, distinct(column.dropna())))
    return column.map(codes).fillna(-1).to_numpy(dtype=np.int64)


def _classes(
    column: pd.Series, source: str, positive: Value | None, classes: Sequence[Value] | None
) -> Int64[np.ndarray, "N"]:
    where = f"{source}: the label column {shown(column.name)}"
    require_complete(column, where)
    labels = _labels(column, where)
    if classes is None:
        if positive is None:
            raise InputError(f"{where} has neither 'positive' nor 'classes', expected one of them")
        if positive not in labels:
            raise InputError(
                f"{where} never is {shown(positive)}{_why_not(positive, labels) or suggest(positive, labels)}, "
                "expected it as the positive class"
            )
        if len(labels) != 2:
            raise InputError(
                f"{where} has the {len(labels)} values {listed(labels)}, expected {shown(positive)} and one other "
                "(name all of them in 'classes' if this is meant)"
            )
    else:
        classes = _as_written(column, classes)
        codes = _codes(column, where, [[name] for name in classes], "classes")
        for name, count in zip(classes, np.bincount(codes, minlength=len(classes)), strict=True):
            if count == 0:
                raise InputError(
                    f"{where} never is {shown(name)}{_why_not(name, labels)}, expected every one of 'classes' to occur"
                )
        if positive is None:
            return codes
        if positive not in classes:
            raise InputError(f"positive: {shown(positive)} is not one of 'classes'{mismatch(positive, classes)}")
    return (column == positive).to_numpy(dtype=np.int64)


def _require_names(column: pd.Series, source: str, positive: Value | None, class_names: Sequence[str]) -> None:
    """Raise InputError if the labels of the file are names of classes, in the other order."""
    if positive is None or len(class_names) != 2:
        return
    others = {name_of(label).casefold() for label in distinct(column) if label != positive}
    if class_names[1].casefold() in others or class_names[0].casefold() == name_of(positive).casefold():
        raise InputError(
            f"{source}: 'classes' calls the positive class {shown(class_names[1])}, which is the other label of "
            f"{shown(column.name)}, expected {shown(name_of(positive))} (the labels, or a name for the other class, "
            "then one for the positive class)"
        )


def _as_written(column: pd.Series, classes: Sequence[Value]) -> list[Value]:
    """Return the classes as values of the column, where they are texts and the values are not."""
    values: dict[str, object] = {}
    if not any(isinstance(value, str) for value in distinct(column)):
        values = {name_of(value): value for value in distinct(column.dropna())}
    return [values.get(name, name) if isinstance(name, str) else name for name in classes]  # type: ignore[misc]


def _groups(
    column: pd.Series, source: str, groups: Sequence[Group], bands: Sequence[float | int] = ()
) -> Int64[np.ndarray, "N"]:
    where = f"{source}: the sensitive column {shown(column.name)}"
    require_complete(column, where)
    values = _labels(column, where)
    members = _all_members(groups, values)
    if bands:
        if not types.is_numeric_dtype(column):
            raise InputError(f"{where} holds texts such as {shown(values[0])}, expected numbers for its 'bands'")
        codes = group_codes(column, groups, bands)
    else:
        codes = _codes(column, where, members, "groups")
    for group, count in zip(members, np.bincount(codes, minlength=len(groups)), strict=True):
        if count == 0:
            raise InputError(
                f"{where} never is {listed(group) or 'of another group'}"
                f"{_why_not(group[0], values) if len(group) == 1 else ''}, expected "
                f"every one of 'groups' to occur (found {listed(values)})"
            )
    return codes


def _labels(column: pd.Series, where: str) -> list[object]:
    """The values of a column of labels or groups, which have to be texts, numbers or truth values."""
    try:
        values = distinct(column)
    except TypeError:  # lists cannot be compared
        values = [column.iloc[0]]
    for value in values:
        if not isinstance(value, str | int | float | bool):
            raise InputError(
                f"{where} holds {type(value).__name__} values such as {shown(value)}, expected texts, whole numbers "
                "or truth values"
            )
    return values


def _why_not(value: Value, values: Sequence[object]) -> str:
    """Say why a value that the parameters name is not among those of a column."""
    if value in MISSING:
        return f" ({shown(value)} is read as a missing value, unless the reader's option missing says otherwise)"
    return type_hint(value, values)


def _members(group: Group) -> list[Value]:
    return [group] if isinstance(group, Value) else list(group)


def _all_members(groups: Sequence[Group], values: Sequence[object]) -> list[list[Value]]:
    """Return the values of each group; `REST` has those of a column that no other group names."""
    named = {value for group in groups if group != REST for value in _members(group)}
    rest = [value for value in values if value not in named]
    return [rest if group == REST else _members(group) for group in groups]  # type: ignore[misc]


def _positions(members: Sequence[Sequence[Value]]) -> dict[Value, int]:
    return {value: position for position, values in enumerate(members) for value in values}


def _codes(column: pd.Series, where: str, members: Sequence[Sequence[Value]], key: str) -> Int64[np.ndarray, "N"]:
    """The position in `members` of the list that holds each value."""
    code = _positions(members)
    if len(members) < 2:
        raise InputError(f"{key}: found {len(members)}, expected at least two")
    if len(code) != sum(map(len, members)):
        raise InputError(
            f"{key}: {listed([v for values in members for v in values])} name a value twice, expected distinct ones"
        )
    values = distinct(column)
    if types.is_numeric_dtype(column) and not {name_of(value) for value in values} & {name_of(name) for name in code}:
        raise InputError(
            f"{where} holds {len(values):,} different numbers, none of {key!r}, expected {listed(list(code))}"
            + (" ('bands' makes groups of numbers)" if key == "groups" else "")
        )
    if strangers := [value for value in values if value not in code]:
        counted = [f"{shown(value)} in {int((column == value).sum()):,} rows" for value in strangers[:STRANGERS]]
        counted[0] += mismatch(strangers[0], code)
        more = f" and {len(strangers) - STRANGERS:,} other values" if len(strangers) > STRANGERS else ""
        raise InputError(f"{where} is {', '.join(counted)}{more}, expected one of {listed(list(code))}")
    return column.map(code).to_numpy(dtype=np.int64)


def _require_populated(
    y: Int64[np.ndarray, "N"],
    s: Int64[np.ndarray, "N"],
    source: str,
    label: str,
    sensitive: str,
    groups: Sequence[Group],
) -> None:
    for code, group in enumerate(groups):
        if len(np.unique(y[s == code])) < 2:
            rows = int((s == code).sum())
            raise InputError(
                f"{source}: the {rows:,} rows whose {sensitive!r} is {listed(_members(group))} have one class of "
                f"{label!r} only, expected at least two in every group"
            )


def _texts(column: pd.Series, source: str) -> pd.Series:
    require_complete(column, f"{source}: column {shown(column.name)}")
    return column.astype("str").reset_index(drop=True)


def _require_columns(table: pd.DataFrame, names: Sequence[str], source: str) -> None:
    for name in names:
        if name not in table:
            raise InputError(f"{source}: the column {shown(name)} is missing or renamed{suggest(name, table.columns)}")
    if not table.columns.is_unique:
        repeated = table.columns[table.columns.duplicated()][0]
        raise InputError(f"{source}: the column {shown(repeated)} occurs more than once, expected distinct names")


UNKNOWN = "(missing)"
"""What the group of rows without one is called."""


def is_apart(column: pd.Series, values: Sequence[Value | None]) -> Bool[np.ndarray, "N"]:
    """Return which rows have one of some values of the sensitive column; None stands for a missing one.

    Raises:
        InputError: no row has one of the values.
    """
    texts = [value for value in values if value is not None]
    present = distinct(column.dropna())
    for value in texts:
        if value not in present:
            raise InputError(
                f"scored_only: column {shown(column.name)} never is {shown(value)}{mismatch(value, present)}"
            )
    among = column.isin(texts)
    return np.asarray(among | column.isna() if None in values else among, dtype=bool)


def names_apart(column: pd.Series) -> pd.Series:
    """Return the names of values, in the words of reports."""
    return column.map(name_of, na_action="ignore").astype(object).fillna(UNKNOWN)
