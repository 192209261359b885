"""How many rows each group and class has, what share of them, and which values they miss."""

from __future__ import annotations

import numpy as np
import pandas as pd

from counterpoise.errors import InputError

UNKNOWN = "unknown"
"""The group of rows whose group is missing."""

LEVEL = 0.95
"""Level of the intervals."""


def cells(group: pd.Series, label: pd.Series) -> pd.DataFrame:
    """Return `group, label, rows, share`: the rows of each group and class, also of cells without a row.

    share: of all rows. Groups and labels stand in the order of their categories, if the series are categorical.

    Raises:
        InputError: the two series have different lengths.
    """
    groups, labels = _named(group), _named(label)
    _require_as_long(groups, labels)
    counts = pd.crosstab(groups, labels, dropna=False)
    counts = counts.reindex(index=groups.cat.categories, columns=labels.cat.categories, fill_value=0)
    return pd.DataFrame(
        {
            "group": np.repeat(counts.index.to_numpy(dtype=object), counts.shape[1]),
            "label": np.tile(counts.columns.to_numpy(dtype=object), counts.shape[0]),
            "rows": counts.to_numpy(dtype=np.int64).ravel(),
            "share": counts.to_numpy(dtype=np.float64).ravel() / max(len(groups), 1),
        }
    )


def group_shares(group: pd.Series, *, level: float = LEVEL) -> pd.DataFrame:
    """Return `group, rows, share, ci_low, ci_high`: the share of each group among all rows, with Wilson's interval."""
    groups = _named(group)
    rows = groups.value_counts(sort=False).reindex(groups.cat.categories, fill_value=0).to_numpy(dtype=np.int64)
    frame = pd.DataFrame({"group": groups.cat.categories.to_numpy(dtype=object), "rows": rows})
    return frame.join(_rates(rows, np.full(len(rows), len(groups)), level, "share"))


def label_rates(label: pd.Series, group: pd.Series, *, level: float = LEVEL) -> pd.DataFrame:
    """Return `group, label, rows, of, rate, ci_low, ci_high`: the base rate of each class in each group.

    rows: of the group that have the label; of: of the group that have any. Intervals are Wilson's; a group without rows
    has NaN.

    Raises:
        InputError: the two series have different lengths.
    """
    has_label = label.notna().to_numpy()
    _require_as_long(group, label)
    frame = cells(group[has_label], label[has_label]).drop(columns="share")
    frame["of"] = frame.groupby("group", sort=False)["rows"].transform("sum")
    return frame.join(_rates(frame["rows"].to_numpy(), frame["of"].to_numpy(), level, "rate"))


def missing(table: pd.DataFrame, group: pd.Series) -> pd.DataFrame:
    """Return `group, column, missing, rows, share`: how many rows of each group miss a value, column by column.

    Columns without a missing value are left out.

    Raises:
        InputError: the group has another number of rows than the table.
    """
    _require_as_long(group, table)
    groups = _named(group)
    gaps = table.isna()
    gaps = gaps.loc[:, gaps.any()]
    counts = gaps.groupby(groups.to_numpy(), observed=False).sum() if gaps.shape[1] else gaps[:0]
    sizes = groups.value_counts(sort=False)
    records = [
        (name, column, int(counts[column].get(name, 0)), int(sizes[name]))
        for column in gaps.columns
        for name in groups.cat.categories
    ]
    frame = pd.DataFrame(records, columns=["group", "column", "missing", "rows"])
    return frame.assign(share=frame["missing"] / frame["rows"].where(frame["rows"] > 0))


def _rates(events: np.ndarray, trials: np.ndarray, level: float, name: str) -> pd.DataFrame:
    from counterpoise.fairness.statistics import wilson

    low, high = wilson(events.astype(np.float64), trials.astype(np.float64), level=level)
    rate = np.divide(events, trials, out=np.full(len(events), np.nan), where=trials > 0)
    return pd.DataFrame({name: rate, "ci_low": low, "ci_high": high})


def _named(column: pd.Series) -> pd.Series:
    """Return the series as categories, a missing one as `UNKNOWN`, which is only there where it is needed."""
    named = column.reset_index(drop=True).astype("category")
    if named.isna().any() and UNKNOWN not in named.cat.categories:
        named = named.cat.add_categories([UNKNOWN])
    return named.fillna(UNKNOWN) if named.isna().any() else named


def _require_as_long(one: pd.Series, other: pd.Series | pd.DataFrame) -> None:
    if len(one) != len(other):
        raise InputError(f"audit: the groups or labels have {len(one):,} and {len(other):,} rows, expected as many")
