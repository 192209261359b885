"""From a table with its own words to `samples`: features (or the image's path), class y and group s.

Everything that could make a later number meaningless is refused here, before any training: a value that nobody named, a
group that is empty or has one class only, a feature that is missing, infinite or constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int64

from counterpoise.errors import InputError, suggest

Value = str | int | float | bool
#: A group is one value of the sensitive column, or several taken together ("Black", "Other", …).
Group = Value | Sequence[Value]

#: The column that makes a table one of images; and the columns of `samples` that are not features.
IMAGE, CLASS, GROUP = "image", "y", "s"
#: The column of a table of images that says, where its source does, which part it is of: "train" or "test".
OFFICIAL_PART = "official_part"

#: More categories than this are names or free text, not categories; one-hot columns would only learn them by heart.
MAX_CATEGORIES = 1000
_SHOWN = 5  # values listed in a sentence


def encode(
    table: pd.DataFrame,
    *,
    source: str,
    label: str,
    sensitive: str,
    groups: Sequence[Group],
    positive: Value | None = None,
    classes: Sequence[Value] | None = None,
    drop: Sequence[str] = (),
    keep_sensitive: bool = False,
    keep: Sequence[str] = (),
    further: Mapping[str, Sequence[Group]] | None = None,
) -> pd.DataFrame:
    """Encode a complete table as `samples`, one row per row.

    Numbers stay as they are (standardising needs a split, so it happens later); every other column becomes one column
    per category, named `column=category`, categories sorted. If the table has a column `image`, only that, what `keep`
    names, y and s remain.

    Args:
        table: one row per sample, no missing values.
        source: what to call the table in a sentence: a file or a data set.
        label: the column to predict.
        sensitive: the column whose groups are compared.
        groups: its values; s is the position in this list.
        positive: the label that is y = 1. Unless `classes` are given, exactly one other label may occur.
        classes: all labels. Without `positive`, y is the position in this list; with it, y is still 0 or 1.
        drop: columns that are not features.
        keep_sensitive: whether the sensitive column is also a feature (as in the altering paper's Adult).
        keep: columns of a table of images that stay beside the paths.
        further: sensitive columns of a table of images beside `sensitive`, with their groups: they stay, coded as s is.

    Returns:
        float32 features in the table's order (or `image` and `keep`, str; `further`, int64), then int64 `y` and `s`;
        index 0 to N−1.

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
    _require_columns(table, [label, sensitive, *drop, *keep, *further], source)

    y = _classes(table[label], source, positive, classes)
    s = _groups(table[sensitive], source, groups)
    _require_populated(y, s, source, label, sensitive, groups)

    if IMAGE in table:
        features: dict[str, object] = {name: _texts(table[name], source) for name in (IMAGE, *keep)}
        features |= {name: _groups(table[name], source, values) for name, values in further.items()}
    else:
        left_out = {label, *drop} if keep_sensitive else {label, sensitive, *drop}
        features = dict(_features(table.drop(columns=list(left_out)), source))
    return pd.DataFrame({**features, CLASS: y, GROUP: s})


def _classes(
    column: pd.Series, source: str, positive: Value | None, classes: Sequence[Value] | None
) -> Int64[np.ndarray, "N"]:
    where = f"{source}: the label column {column.name!r}"
    _require_complete(column, where)
    if classes is None:
        if positive is None:
            raise InputError(f"{where} has neither 'positive' nor 'classes', expected one of them")
        found = _distinct(column)
        if positive not in found:
            raise InputError(
                f"{where} never is {positive!r}{suggest(positive, found)}, expected it as the positive class"
            )
        if len(found) != 2:
            raise InputError(
                f"{where} has the {len(found)} values {_listed(found)}, expected {positive!r} and one other "
                "(name all of them in 'classes' if this is meant)"
            )
    else:
        codes = _codes(column, where, [[name] for name in classes], "classes")
        for name, count in zip(classes, np.bincount(codes, minlength=len(classes)), strict=True):
            if count == 0:
                raise InputError(f"{where} never is {name!r}, expected every one of 'classes' to occur")
        if positive is None:
            return codes
        if positive not in classes:
            raise InputError(f"positive: {positive!r} is not one of 'classes'{suggest(positive, classes)}")
    return (column == positive).to_numpy(dtype=np.int64)


def _groups(column: pd.Series, source: str, groups: Sequence[Group]) -> Int64[np.ndarray, "N"]:
    where = f"{source}: the sensitive column {column.name!r}"
    _require_complete(column, where)
    members = [_members(group) for group in groups]
    codes = _codes(column, where, members, "groups")
    for values, count in zip(members, np.bincount(codes, minlength=len(groups)), strict=True):
        if count == 0:
            raise InputError(
                f"{where} never is {_listed(values)}, expected every one of 'groups' to occur "
                f"(found {_listed(_distinct(column))})"
            )
    return codes


def _members(group: Group) -> list[Value]:
    return [group] if isinstance(group, Value) else list(group)


def _codes(column: pd.Series, where: str, members: Sequence[Sequence[Value]], key: str) -> Int64[np.ndarray, "N"]:
    """The position in `members` of the list that holds each value."""
    code = {value: position for position, values in enumerate(members) for value in values}
    if len(members) < 2:
        raise InputError(f"{key}: found {len(members)}, expected at least two")
    if len(code) != sum(map(len, members)):
        raise InputError(
            f"{key}: {_listed([v for values in members for v in values])} name a value twice, expected distinct ones"
        )
    for value in _distinct(column):
        if value not in code:
            raise InputError(
                f"{where} is {value!r} in {int((column == value).sum()):,} rows{suggest(value, code)}, "
                f"expected one of {_listed(list(code))}"
            )
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
                f"{source}: the {rows:,} rows whose {sensitive!r} is {_listed(_members(group))} have one class of "
                f"{label!r} only, expected at least two in every group"
            )


def _texts(column: pd.Series, source: str) -> pd.Series:
    _require_complete(column, f"{source}: column {column.name!r}")
    return column.astype("str").reset_index(drop=True)


def _features(table: pd.DataFrame, source: str) -> dict[str, Float32[np.ndarray, "N"]]:
    if not len(table.columns):
        raise InputError(
            f"{source}: no feature column is left, expected at least one beside the label, the groups and 'drop'"
        )
    features: dict[str, Float32[np.ndarray, "N"]] = {}
    for name in table.columns:
        for feature, values in _column(table[name], f"{source}: column {name!r}").items():
            if feature in (CLASS, GROUP, OFFICIAL_PART):
                raise InputError(
                    f"{source}: column {feature!r} has a name that is reserved for the class (y), the group (s) or the "
                    "source's division of images (official_part), expected another name"
                )
            if feature in features:
                raise InputError(
                    f"{source}: column {feature!r} occurs twice once categories have columns, expected distinct names"
                )
            features[feature] = values
    return features


def _column(column: pd.Series, where: str) -> dict[str, Float32[np.ndarray, "N"]]:
    """One column of the table as one feature (numbers) or one per category (anything else)."""
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_complex_dtype(column):
        raise InputError(f"{where} holds {column.dtype}, expected numbers or categories")
    if not pd.api.types.is_numeric_dtype(column):
        _require_complete(column, where)
    distinct = _distinct(column)
    if pd.api.types.is_numeric_dtype(column):
        features = {str(column.name): _numbers(column, where)}
    elif len(distinct) > MAX_CATEGORIES:
        raise InputError(
            f"{where} has {len(distinct):,} different values that are not numbers, expected at most {MAX_CATEGORIES:,} "
            "categories (leave it out with 'drop')"
        )
    else:
        features = {
            f"{column.name}={category}": (column == category).to_numpy(dtype=np.float32)
            for category in sorted(distinct, key=str)
        }
    if len(distinct) == 1:
        raise InputError(
            f"{where} is {distinct[0]!r} in every row, expected different values (leave it out with 'drop')"
        )
    return features


def _numbers(column: pd.Series, where: str) -> Float32[np.ndarray, "N"]:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is reported as such
        values = column.to_numpy(dtype=np.float32, na_value=np.nan)
    wrong = ~np.isfinite(values)
    if wrong.any():
        first = int(wrong.argmax())
        raise InputError(
            f"{where} has {int(wrong.sum()):,} values that are missing or infinite, the first ({column.iloc[first]}) "
            f"in row {first}, expected finite numbers"
        )
    return values


def _require_columns(table: pd.DataFrame, names: Sequence[str], source: str) -> None:
    for name in names:
        if name not in table:
            raise InputError(f"{source}: the column {name!r} is missing or renamed{suggest(name, table.columns)}")
    if not table.columns.is_unique:
        repeated = table.columns[table.columns.duplicated()][0]
        raise InputError(f"{source}: the column {repeated!r} occurs more than once, expected distinct names")


def _require_complete(column: pd.Series, where: str) -> None:
    missing = column.isna().to_numpy()
    if missing.any():
        raise InputError(
            f"{where} misses {int(missing.sum()):,} values, the first in row {int(missing.argmax())}, "
            "expected none missing"
        )


def _distinct(column: pd.Series) -> list[object]:
    """The values of `column` as plain Python objects, in order of appearance."""
    return list(column.drop_duplicates().tolist())


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(repr, values[:_SHOWN])) + (", …" if len(values) > _SHOWN else "")
