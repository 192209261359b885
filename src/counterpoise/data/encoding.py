"""What the columns of a table became, as plain data: what it takes to make the same features of a row elsewhere.

Of each column of features an entry says where its values come from and what becomes of them:

| key | meaning |
|---|---|
| `column` | the column of the file |
| `kind` | `number`, `boolean` (0 or 1), `date` (days since 1970-01-01, UTC) or `category` |
| `features` | the names of its features, in the order of `samples`: one, or one for each category |
| `categories` | their names, as `values.name_of` gives them |
| `rare` | the category that stands for all others, where rare ones are taken together; else null |
| `fill` | what a missing value becomes, a number or the name of a category; null where such rows are left out |
| `missing` | names of values that stand for a missing one in this column alone; not there where none does |
| `indicator` | whether the feature says if the column misses a value, and nothing else |

`artifacts.exported` applies it to rows that nobody has read with `data.table`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from counterpoise.data.table import holds_texts, indicator_name
from counterpoise.data.values import MISSING, name_of, names_of

Entry = dict[str, Any]

EXAMPLE_ROWS = 5


def describe(columns: Sequence[Mapping[str, Any]], table: pd.DataFrame, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the encoding of a table's columns.

    Args:
        columns: what `features.features_of` says of each.
        table: as its reader returns it, values filled in.
        options: what the reader was given; of those of `table` the ones count that say what a value is.

    Returns:
        `columns`, the entries; `missing`, the texts that stand for a missing value; `decimal`, `thousands` and
        `units`, the signs in numbers; and `example`: column → values of a few rows, as the file has them, but dates as
        texts. JSON can hold all of it.
    """
    indicators = {
        indicator_name(name): name for name in options.get("impute", ()) if indicator_name(name) in table.columns
    }
    imputed = options.get("impute", ())
    entries = [_entry(column, table, indicators, imputed, options.get("missing_category")) for column in columns]
    for entry in entries:
        if (values := options.get("missing_values", {}).get(entry["column"])) is not None:
            entry["missing"] = names_of(values)
    return {
        "columns": entries,
        "missing": names_of(options.get("missing", MISSING)),
        "decimal": options.get("decimal", "."),
        "thousands": options.get("thousands"),
        "units": list(options.get("units", ())),
        "example": _example(entries, table.head(EXAMPLE_ROWS), indicators),
    }


def numbers(names: Sequence[str]) -> dict[str, Any]:
    """Return the encoding of columns of numbers that are features as they are, without an example."""
    columns = [
        {
            "column": name,
            "kind": "number",
            "features": [name],
            "categories": [],
            "rare": None,
            "fill": None,
            "indicator": False,
        }
        for name in names
    ]
    return {"columns": columns, "missing": list(MISSING), "decimal": ".", "thousands": None, "units": []}


def _entry(
    column: Mapping[str, Any],
    table: pd.DataFrame,
    indicators: Mapping[str, str],
    imputed: Collection[str],
    missing_category: str | Mapping[str, str] | None,
) -> Entry:
    name, is_category = column["column"], column["kind"] == "category"
    entry: Entry = {**column, "fill": None, "indicator": name in indicators}
    if name in indicators:
        return entry | {"column": indicators[name]}
    if name in imputed:
        values = table[name].to_numpy(dtype=float)
        if name in indicators.values() and (is_filled := table[indicator_name(name)].to_numpy(dtype=bool)).any():
            median = float(values[is_filled][0])
        else:  # no row of these misses it; one to be predicted may
            median = float(np.median(values))
        entry["fill"] = name_of(median) if is_category else median
    elif is_category and holds_texts(table[name]):
        entry["fill"] = missing_category.get(name) if isinstance(missing_category, Mapping) else missing_category
    return entry


def _example(entries: Sequence[Entry], rows: pd.DataFrame, indicators: Mapping[str, str]) -> dict[str, list[Any]]:
    example = {}
    for name in dict.fromkeys(entry["column"] for entry in entries):
        values = rows[name]
        if name in indicators.values():
            values = values.mask(rows[indicator_name(name)].astype("bool"))
        example[name] = [_plain(value) for value in values.astype(object)]
    return example


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    if hasattr(value, "item"):  # numpy's numbers and truth values
        return value.item()
    return value if types.is_scalar(value) and isinstance(value, str | int | float) else str(value)
