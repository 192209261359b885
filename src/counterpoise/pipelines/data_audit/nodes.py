"""What the rows of a data set say before any model is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Dataset
from counterpoise.data import IMAGES, UNUSED_NAME, Limits, audit
from counterpoise.data.encode import CLASS, GROUP, IMAGE, OFFICIAL_PART
from counterpoise.data.table import read_with_gaps
from counterpoise.fairness import LEVEL
from counterpoise.pipelines.shared.frames import named, records

SHOWN_PROXIES = 3
"""Proxies whose values are set against the label."""

SHOWN_VALUES = 6
"""Values, or bins of a number, that a proxy is shown with."""

UNKNOWN = "unknown"


def audit_data(
    table: pd.DataFrame,
    samples: pd.DataFrame,
    splits: Checkpoint,
    left_out: dict[str, Any],
    raw: Path,
    dataset: Dataset,
) -> dict[str, Any]:
    """Return the audit as plain values: counts, rates with intervals, gaps, duplicates, proxies, drift.

    Parts are those of the first replicate; the others draw as many rows of each group and class.

    Args:
        table: the rows of `samples`, columns as the source names them; of images with a column `image`.
        left_out: see `data_split.left_out.count_left_out`.

    Returns:
        See docs/audit.md; lists of rows that become tables as they are.
    """
    group, label = (
        pd.Series(named(samples[GROUP], dataset.group_names)),
        pd.Series(named(samples[CLASS], dataset.classes)),
    )
    part = _parts(splits)
    features = _features(table, dataset)
    notes: list[str] = []
    document: dict[str, Any] = {
        "dataset": dataset.title,
        "label": dataset.label,
        "sensitive": dataset.sensitive,
        "groups": list(dataset.group_names),
        "classes": list(dataset.classes),
        "rows": len(samples),
        "level": LEVEL,
        "cells": records(audit.cells(group, label)),
        "group_shares": records(audit.group_shares(group, level=LEVEL)),
        "label_rates": records(audit.label_rates(label, group, level=LEVEL)),
        "missing": _missing(table, group, left_out, dataset),
        "proxies": [],
        "proxy_label_rates": [],
        "files": None,
    }
    ids: np.ndarray | None = audit.row_ids(features)
    if dataset.reader in IMAGES:
        notes.append("Proxies of the sensitive attribute are not looked for in images: pixels are no columns.")
        ids, document["files"] = _files_of_images(raw, table, notes)
    elif features.shape[1]:
        proxies = audit.proxies(features, group)
        document["proxies"] = records(proxies)
        document["proxy_label_rates"] = _rates_by_proxy(features, label, group, proxies)
        if len(samples) > proxies["rows"].iloc[0]:
            notes.append(f"Proxies were looked for in {proxies['rows'].iloc[0]:,} rows drawn at random (seed 0).")
    document["duplicates"] = (
        [] if ids is None else records(audit.duplicates(ids, samples[CLASS].to_numpy(dtype=np.int64), part))
    )
    document["drift"] = _drift(table, part, raw, dataset)
    return document | {"notes": notes}


def write_page(data_audit: dict[str, Any], run: Mapping[str, Any]) -> str:
    """Return the audit as a page of HTML, without a network as the reports are."""
    from counterpoise.reporting.audit_page import data_page

    return data_page(data_audit, run)


def _parts(splits: Checkpoint) -> pd.Series:
    return pd.Series(named(splits.tensors["splits"][0].numpy(), splits.header["parts"]))


def _features(table: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Return the columns that become features, as the source has them."""
    further = [] if dataset.keep_sensitive else [dataset.sensitive, *dataset.crossed]
    others = {dataset.label, *further, *dataset.not_features, *dataset.further_sensitive, IMAGE, OFFICIAL_PART}
    return table[[name for name in table.columns if name not in others]]


def _missing(
    table: pd.DataFrame, group: pd.Series, left_out: Mapping[str, Any], dataset: Dataset
) -> list[dict[str, Any]]:
    """Return `group, column, missing, rows, share, treatment` of all rows of the source, used or left out.

    A used row misses a value where it was imputed, or where it became a category.
    """
    names = [*dataset.group_names, UNKNOWN]
    out = dict.fromkeys(names, 0)
    for cell in left_out["cells"]:
        out[_name(cell["group"], names)] += cell["rows"]
    sizes = {name: int((group == name).sum()) + out[name] for name in names}
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for gap in left_out.get("gaps", []):
        rows = counts.setdefault((gap["column"], "row left out"), dict.fromkeys(names, 0))
        rows[_name(gap["group"], names)] += gap["rows"]
    for column, treatment, is_missing in _filled(table, dataset):
        per_group = is_missing.groupby(group.to_numpy(), observed=False).sum()
        counts[column, treatment] = {name: int(per_group.get(name, 0)) for name in names}
    return [
        {
            "group": name,
            "column": column,
            "missing": rows[name],
            "rows": sizes[name],
            "share": rows[name] / sizes[name] if sizes[name] else None,
            "treatment": treatment,
        }
        for (column, treatment), rows in counts.items()
        for name in names
        if sizes[name]
    ]


def _filled(table: pd.DataFrame, dataset: Dataset) -> Iterable[tuple[str, str, pd.Series]]:
    """Yield the columns whose missing values were filled, how, and in which rows."""
    for column in dataset.options.get("impute") or ():
        if f"{column}_missing" in table:
            yield column, "median", table[f"{column}_missing"].astype(bool).reset_index(drop=True)
    category = dataset.options.get("missing_category")
    each = category if isinstance(category, Mapping) else dict.fromkeys(table.columns, category)
    for column, value in each.items():
        if value is not None and column in table and (rows := table[column] == value).any():
            yield column, f"category {value}", rows.reset_index(drop=True)


def _name(code: int | None, names: Sequence[str]) -> str:
    return UNKNOWN if code is None else names[code]


def _rates_by_proxy(
    features: pd.DataFrame, label: pd.Series, group: pd.Series, proxies: pd.DataFrame
) -> list[dict[str, Any]]:
    """Return the label rates by the values of the strongest proxies, and the share that each group has of a value."""
    rates = []
    for column in audit.strongest(proxies, SHOWN_PROXIES):
        values = audit.bins(features[column], SHOWN_VALUES)
        shares = pd.crosstab(values, group.to_numpy(), normalize="index", dropna=False)
        for row in records(audit.label_rates(label, values, level=LEVEL)):
            value = row.pop("group")
            there = shares.loc[value] if value in shares.index else {}
            rates.append(
                {
                    "column": column,
                    "value": value,
                    **row,
                    "group_shares": {name: float(there[name]) for name in group.cat.categories if name in there},
                }
            )
    return rates


def _files_of_images(
    raw: Path, table: pd.DataFrame, notes: list[str]
) -> tuple[np.ndarray | None, dict[str, Any] | None]:
    """Return which images have the same bytes, and the sizes of their files; None where they are no files."""
    files = audit.files_of(raw, table[IMAGE].tolist())
    if files is None:
        notes.append(
            "Duplicates and sizes of files are left out: the images do not lie in files of their own, or are rendered."
        )
        return None, None
    ids, sizes = files
    quantiles = np.quantile(sizes, [0, 0.25, 0.5, 0.75, 1])
    return ids, {"files": len(np.unique(table[IMAGE])), "bytes": [int(value) for value in quantiles]}


def _drift(table: pd.DataFrame, part: pd.Series, raw: Path, dataset: Dataset) -> list[dict[str, Any]]:
    """Return `reference, new, rows, of_reference, columns` for every file but the first, or every part but the first.

    Files come first, then the parts that the source itself names; without either, those of the first replicate.
    """
    drop = {*dataset.not_features, IMAGE, OFFICIAL_PART}
    by_name = _files(raw, dataset)
    if len(by_name) < 2:
        parts = table[OFFICIAL_PART].astype("category") if OFFICIAL_PART in table else part
        order = sorted(parts.cat.categories, reverse=True) if OFFICIAL_PART in table else parts.cat.categories
        used = [name for name in order if name != UNUSED_NAME]
        by_name = {str(name): table[(parts == name).to_numpy()] for name in used}  # train comes before test
    (first, reference), *others = ((name, rows) for name, rows in by_name.items() if len(rows))
    reference = reference.drop(columns=[name for name in reference if name in drop])
    return [
        {
            "reference": first,
            "new": name,
            "of_reference": len(reference),
            "rows": len(rows),
            "columns": records(audit.drift(reference, rows)),
        }
        for name, rows in others
    ]


def _files(raw: Path, dataset: Dataset) -> dict[str, pd.DataFrame]:
    """Return the rows of each file of a table that has several, as they are, with their gaps."""
    options = dataset.options
    names = options.get("files")
    if dataset.reader != "table" or isinstance(names, str) or names is None or len(names) < 2:
        return {}
    limits = Limits(**dataset.limits.model_dump())
    rows = read_with_gaps(raw, names, options, limits)
    sizes = [len(read_with_gaps(raw, name, options, limits)) for name in names]
    ends = np.cumsum(sizes)
    return {name: rows[end - size : end] for name, size, end in zip(names, sizes, ends, strict=True)}
