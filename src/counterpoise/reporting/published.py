"""The papers' own numbers, so that a reproduction is read beside what it reproduces.

The table `published_results.csv` was transcribed from the papers: one row per (paper, table, dataset, model, method,
setting, metric). Some results were printed only as a bound, such as `<0.05`: those have no value, only a `bound`.
Figures without printed numbers (WIN's Figure 4: TL and f+SVD) are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
import pandas as pd

from counterpoise.errors import InputError, suggest
from counterpoise.reporting._frames import rows_of

KEYS: Final = ("paper", "table", "dataset", "model", "method", "setting")
COLUMNS: Final = (*KEYS, "metric", "value", "std", "bound", "note")
SELECTED_COLUMNS: Final = ("variant", "metric", "reported", "reported_std")
_FILE: Final = "published_results.csv"


@dataclass(frozen=True)
class PublishedResult:
    """One number of a paper: `value` ± `std` (NaN where none was printed), or a `bound` such as `<0.05`."""

    value: float
    std: float
    bound: str
    source: str
    note: str


def load() -> pd.DataFrame:
    """All published numbers, columns `COLUMNS`: text, but `value` and `std` are float64, NaN where none was printed."""
    return _read().copy()


def lookup(**keys: str) -> PublishedResult | None:
    """One published number, or None if the papers do not print it.

    Args:
        keys: values of `paper, table, dataset, model, method, setting, metric`; a key left out is not restricted.

    Raises:
        InputError: a key or a value that the table does not know, or keys that leave more than one number.
    """
    rows = _matching(keys, where="published number")
    if len(rows) > 1:
        undecided = [column for column in (*KEYS, "metric") if rows[column].nunique() > 1]
        raise InputError(
            f"published number {keys}: {len(rows)} numbers match, expected one; say which {', '.join(undecided)}."
        )
    if rows.empty:
        return None
    return _result(next(rows_of(rows)))


def select(selectors: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The published numbers that belong to an experiment's variants.

    Args:
        selectors: one mapping per variant: `variant`, then any of `KEYS`, which together must leave one number per
            metric, and, where our metric has another name in the paper, `metrics: {ours: the paper's}`, for instance
            `{variant: win_r2_a0.5, paper: win, table: T3, method: win, setting: ""}`.

    Returns:
        Frame with columns `SELECTED_COLUMNS`, one row per (variant, metric). Bounds have no value and are left out.

    Raises:
        InputError: a selector that matches nothing, or more than one number for a metric.
    """
    rows = [(*key, result.value, result.std) for key, result in printed(selectors).items() if not result.bound]
    frame = pd.DataFrame(rows, columns=list(SELECTED_COLUMNS))
    return frame.astype({"variant": "str", "metric": "str", "reported": "float64", "reported_std": "float64"})


def printed(selectors: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], PublishedResult]:
    """The same as (variant, metric) → what stands in the paper, bounds such as `<0.05` among them.

    Raises:
        InputError: as `select`.
    """
    records: dict[tuple[str, str], PublishedResult] = {}
    for selector in selectors:
        where = f"published selector {dict(selector)}"
        if "variant" not in selector:
            raise InputError(f"{where}: the key 'variant' is missing, expected the variant the numbers belong to.")
        rows = _matching({key: selector[key] for key in selector if key not in ("variant", "metrics")}, where)
        if rows.empty:
            raise InputError(f"{where}: no published number matches, expected at least one.")
        ours = {theirs: name for name, theirs in dict(selector.get("metrics") or {}).items()}
        for row in rows_of(rows):
            key = (str(selector["variant"]), ours.get(row.metric, row.metric))
            if key in records:
                raise InputError(
                    f"{where}: more than one published {row.metric!r} matches, expected one; "
                    f"restrict it by {', '.join(column for column in KEYS if column not in selector)}."
                )
            records[key] = _result(row)
    return records


@cache
def _read() -> pd.DataFrame:
    with (files(__package__) / _FILE).open(encoding="utf-8") as lines:
        table = pd.read_csv(lines, dtype=str, keep_default_na=False)
    is_bound = table["value"].str.startswith(("<", ">"))
    table["bound"] = table["value"].where(is_bound, "")
    table["value"] = pd.to_numeric(table["value"].mask(is_bound))
    table["std"] = pd.to_numeric(table["std"].replace("", None))
    return table[list(COLUMNS)]


def _result(row: Any) -> PublishedResult:
    return PublishedResult(row.value, row.std, row.bound, f"{row.paper}, {row.table}", row.note)


def _matching(keys: Mapping[str, Any], where: str) -> pd.DataFrame:
    """Rows with exactly these values; a key or value that occurs nowhere is a misspelling, not an empty answer."""
    table = _read()
    chosen = np.ones(len(table), dtype=bool)
    for key, value in keys.items():
        if key not in (*KEYS, "metric"):
            raise InputError(f"{where}: unknown key {key!r}{suggest(key, (*KEYS, 'metric'))}.")
        values = sorted(set(table[key]))
        if value not in values:
            raise InputError(f"{where}: no published {key} is {value!r}{suggest(value, values)}.")
        chosen &= (table[key] == value).to_numpy(dtype=bool)
    return table[chosen]
