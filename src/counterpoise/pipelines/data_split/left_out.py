"""Rows that miss a value are not used: count them by group and class, and warn if that changes the data."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from counterpoise.config.parameters import Dataset, Split
from counterpoise.data import IMAGES, SPLITS, UNUSED
from counterpoise.data.crossing import cross
from counterpoise.data.encode import CLASS, GROUP, UNIT, class_codes, group_codes
from counterpoise.errors import InputError
from counterpoise.fairness import Compared, design_effect
from counterpoise.fairness.compared import FEWEST

MOST_SHIFT = 0.05
"""How far the share of a group among the rows may change by leaving out before a run warns."""
MOST_LEFT_OUT = 0.5
"""The share of all rows that may be left out before a run warns."""
OF_ALL_PARTS = ("treated_sentence", "scored_sentence", "small_sentence", "unused_sentence")
"""Sentences that parts on the same rows have in common."""
WIDER = 1.05
"""Uncertainty, as a multiple of that of independent rows, below which it is not said."""
MOST_NAMED = 10
"""Groups that a sentence names."""
_SHOWN = 5  # columns that a sentence names


def with_groups(table: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Return a table that has the sensitive column, which may have to be joined of others."""
    return cross(table, dataset.crossed, dataset.crossed_bands) if dataset.crossed else table


def sensitive_columns(dataset: Dataset) -> tuple[str, ...]:
    """Return the columns of the source that groups are of."""
    return dataset.crossed or (dataset.sensitive,)


def count_left_out(incomplete: Sequence[pd.DataFrame], dataset: Dataset) -> dict[str, Any]:
    """Return how many rows were left out: in all, by the columns that miss a value, by group and class.

    Args:
        incomplete: the rows, columns as the source names them.

    Returns:
        `rows`; `columns`, name → rows in which it is missing; `cells`, a list of `group, label, rows`, where a group or
        label that is missing, or none of the data set's, is null; `gaps`, a list of `group, column, rows`, the rows of
        a group that miss a value of a column.
    """
    rows = pd.concat(incomplete, ignore_index=True) if incomplete else pd.DataFrame()
    rows = rows.drop(columns=[name for name in dataset.not_features if name in rows])
    if rows.empty or not {dataset.label, *sensitive_columns(dataset)} <= set(rows):
        return {"rows": len(rows), "columns": _missing(rows), "cells": [], "gaps": []}
    missing, is_missing = _missing(rows), rows.isna()
    rows = with_groups(rows, dataset)
    codes = pd.DataFrame(
        {
            "group": group_codes(rows[dataset.sensitive], dataset.groups, dataset.bands),
            "label": class_codes(rows[dataset.label], dataset.positive, dataset.classes),
        }
    )
    counts = codes.value_counts(sort=False).sort_index()
    cells = [
        {"group": None if group < 0 else group, "label": None if label < 0 else label, "rows": int(count)}
        for (group, label), count in zip(counts.index.tolist(), counts, strict=True)
    ]
    return {"rows": len(rows), "columns": missing, "cells": cells, "gaps": _gaps(is_missing, codes["group"])}


def _gaps(is_missing: pd.DataFrame, group: pd.Series) -> list[dict[str, Any]]:
    counts = is_missing.groupby(group.to_numpy()).sum()
    return [
        {"group": None if code < 0 else int(code), "column": str(name), "rows": int(count)}
        for name in counts
        for code, count in zip(counts.index.tolist(), counts[name], strict=True)
        if count
    ]


def describe_left_out(left_out: dict[str, Any], samples: pd.DataFrame, dataset: Dataset) -> dict[str, Any]:
    """Return the counts beside those of the rows that are used, group by group and class by class.

    Returns:
        `rows`; `of`, all rows of the source; `columns`; `cells`, a list of `group, label, rows, of`; the same as a
        `sentence`, which is empty if no row was left out; and what was `treated` otherwise, with a sentence of its own.
    """
    sizes = samples[[GROUP, CLASS]].value_counts(sort=False)
    used = {(int(s), int(y)): int(rows) for (s, y), rows in zip(sizes.index.tolist(), sizes, strict=True)}
    out = {(cell["group"], cell["label"]): cell["rows"] for cell in left_out["cells"]}
    named = sorted(set(used) | {key for key in out if None not in key})
    cells = [
        {"group": key[0], "label": key[1], "rows": out.get(key, 0), "of": out.get(key, 0) + used.get(key, 0)}
        for key in (*named, *(key for key in out if None in key))
    ]
    described = {
        "rows": left_out["rows"],
        "of": left_out["rows"] + len(samples),
        "columns": left_out["columns"],
        "cells": cells,
        "treated": left_out.get("treated", {}),
        "scored_only": left_out.get("scored_only", {}),
    }
    return described | {
        "sentence": _sentence(described, dataset),
        "treated_sentence": _treated(described["treated"]),
        "scored_sentence": _scored(described["scored_only"], dataset),
    }


def join_left_out(parts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return one description for parts that have data of their own."""
    sentences = [f"{name}: {part['sentence']}" for name, part in parts.items() if part["sentence"]]
    return {
        "rows": sum(part["rows"] for part in parts.values()),
        "of": sum(part["of"] for part in parts.values()),
        "parts": dict(parts),
        "sentence": " ".join(sentences),
    } | {
        key: " ".join(filter(None, dict.fromkeys(part.get(key, "") for part in parts.values()))) for key in OF_ALL_PARTS
    }


def small_groups(tested: Sequence[int], large: Compared, dataset: Dataset) -> str:
    """Return a sentence that names the groups with fewer rows in the test part than `min_test_rows`; empty without any.

    Args:
        tested: each group's rows there. large: the groups with as many.
    """
    if large is None:
        return ""
    named = f"Groups with fewer than {dataset.min_test_rows} test rows: {_small(tested, large, dataset)}."
    if len(large) < FEWEST:  # an audit, which compares none, or a retraining, which compares all
        return f"{named} Gaps between them and others are mostly chance."
    return (
        f"{named} They are learnt from and their rates are reported, but they are not compared: gaps of so few rows "
        "are mostly chance, so that no gap between groups, and no choice of a model by one, takes them into account."
    )


def require_compared(tested: Sequence[int], large: Compared, dataset: Dataset) -> None:
    """Raise InputError if fewer than two groups are large enough to be compared."""
    if large is None or len(large) >= FEWEST:
        return
    remaining = f" and leave {dataset.group_names[large[0]]!r} alone" if large else ""
    apart = "" if dataset.reader in IMAGES else ", name small ones in scored_only"
    raise InputError(
        f"{dataset.title}: groups with fewer than {dataset.min_test_rows} test rows are not compared; these are "
        f"{_small(tested, large, dataset)}{remaining}, expected two groups to compare: join groups (a list in "
        f"'groups' is one){apart}, or compare all with min_test_rows: 0"
    )


def _small(tested: Sequence[int], large: Sequence[int], dataset: Dataset) -> str:
    small = [group for group in range(len(dataset.group_names)) if group not in large]
    named = [f"{dataset.group_names[group]!r} ({tested[group]:,})" for group in small[:MOST_NAMED]]
    return ", ".join(named) + (f" and {len(small) - MOST_NAMED} more" if len(small) > MOST_NAMED else "")


def unused_rows(codes: UInt8[np.ndarray, "N"], samples: pd.DataFrame, dataset: Dataset) -> str:
    """Return what `split.max_rows` or `split.together` leave unused and how rows count; empty where all are used and
    each stands for itself.

    Args:
        codes: of `SPLITS`, or `UNUSED`, of a replicate; all replicates have equally many.
        samples: of which class, group and what rows belong to are read.
    """
    unused = int((codes == UNUSED).sum())
    if not isinstance(dataset.split, Split) or (unused == 0 and dataset.together is None):
        return ""
    rows = dict(zip(SPLITS, np.bincount(codes, minlength=len(SPLITS)).tolist(), strict=False))
    learnt, most = rows["pretrain"] + rows["train"], dataset.split.max_rows
    reasons = [f"split.max_rows is {most:,}"] if most in {learnt, rows["validation"]} else []
    if dataset.together is not None:
        reasons.append(f"rows of one {dataset.together} are in one part, and parts of all replicates equally large")
    counted = ""
    if dataset.together is not None:
        counted = f" Intervals, tests and noise floors count rows{_alike(samples, dataset.together)}."
    return (
        f"Of {len(codes):,} rows, models learn from {learnt:,} and are chosen on {rows['validation']:,}, drawn by "
        f"class and group in each replicate ({'; '.join(reasons)}; {unused:,} are not used); {rows['test']:,} test "
        f"them.{counted}"
    )


def _alike(samples: pd.DataFrame, together: str) -> str:
    """Say by how much the labels' shares are less certain than as many independent rows would make them."""
    effects = [
        design_effect((rows[CLASS] == label).to_numpy(), rows[UNIT].to_numpy())
        for _, rows in samples.groupby(GROUP)
        for label in samples[CLASS].unique()
    ]
    widest = math.sqrt(max([1.0, *(effect for effect in effects if effect > 1)]))
    if widest < WIDER:
        return f", and labels of rows of one {together} are hardly alike"
    return (
        f": where a {together} has many that are alike, the true uncertainty is larger. That of a group's label rate "
        f"is {widest:.1f} times as large; that of predictions, which are more alike, may be larger still"
    )


def warn_about_left_out(described: dict[str, Any], dataset: Dataset) -> None:
    """Warn if leaving out rows changes a group's share of the rows, or if most rows are left out."""
    rows, total = described["rows"], described["of"]
    shares = [] if not rows else _shares(described, len(dataset.groups))
    shifted = [
        f"the group {name!r} is {before:.0%} of all rows and {after:.0%} of those used"
        for name, (before, after) in zip(dataset.group_names, shares, strict=False)
        if abs(after - before) > MOST_SHIFT
    ]
    if shifted or rows > MOST_LEFT_OUT * total:
        warnings.warn(
            f"{dataset.title}: {described['sentence']} {'; '.join(shifted)}{'. ' if shifted else ''}"
            "The options missing and missing_category of the reader 'table' say what a missing value is",
            UserWarning,
            stacklevel=3,
        )


def _shares(described: dict[str, Any], groups: int) -> list[tuple[float, float]]:
    """Return each group's share of all rows of a group, and of those that are used."""
    cells = [cell for cell in described["cells"] if cell["group"] is not None]
    everybody, used = sum(cell["of"] for cell in cells), sum(cell["of"] - cell["rows"] for cell in cells)
    sums = [[cell for cell in cells if cell["group"] == group] for group in range(groups)]
    return [
        (sum(cell["of"] for cell in counts) / everybody, sum(cell["of"] - cell["rows"] for cell in counts) / used)
        for counts in sums
    ]


def _sentence(described: dict[str, Any], dataset: Dataset) -> str:
    if not described["rows"]:
        return ""
    columns = [f"{name} ({rows:,})" for name, rows in described["columns"].items()]
    more = ", …" if len(columns) > _SHOWN else ""
    cells = [
        f"{dataset.group_names[cell['group']]}, {dataset.classes[cell['label']]}: {cell['rows']:,} of {cell['of']:,}"
        for cell in described["cells"]
        if cell["group"] is not None and cell["label"] is not None
    ]
    return (
        f"{described['rows']:,} of {described['of']:,} rows miss a value and are left out. Missing in: "
        f"{', '.join(columns[:_SHOWN])}{more}. Left out of each group and class: {'; '.join(cells)}."
    )


_TREATED = {
    "excluded": "rows are excluded by the values of",
    "category": "missing values are a category of their own in",
    "median": "missing values are the median, and a feature says so, in",
}


def _treated(treated: Mapping[str, Mapping[str, int]]) -> str:
    sentences = []
    for kind, counts in treated.items():
        columns = [f"{name} ({count:,})" for name, count in counts.items() if count]
        if columns:
            more = f" and {len(columns) - _SHOWN} more" if len(columns) > _SHOWN else ""
            sentences.append(f"{sum(counts.values()):,} {_TREATED[kind]} {', '.join(columns[:_SHOWN])}{more}.")
    return " ".join(sentences)


def _scored(counts: Mapping[str, int], dataset: Dataset) -> str:
    if not counts:
        return ""
    named = ", ".join(f"{name} ({rows:,})" for name, rows in counts.items())
    return f"Rows that are scored, but neither learnt from nor compared, by {dataset.sensitive}: {named}."


def _missing(rows: pd.DataFrame) -> dict[str, int]:
    """Return the columns that miss values, those that miss most first."""
    gaps = rows.isna().sum().sort_values(ascending=False, kind="stable")
    return {str(name): int(count) for name, count in gaps.items() if count}
