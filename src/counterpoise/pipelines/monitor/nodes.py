"""The champion on labelled traffic, week by week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from counterpoise.config.parameters import Dataset
from counterpoise.config.retraining import Retraining
from counterpoise.data.partitions import date_of
from counterpoise.errors import InputError, reason
from counterpoise.pipelines.data_split.left_out import with_groups
from counterpoise.pipelines.retrain.evaluation import Registry, counted_rows, document_text, fetch
from counterpoise.pipelines.retrain.partitions import CLASS, GROUP, columns_of, read_usable, reference_rows
from counterpoise.pipelines.retrain.terms import data_terms, require_terms
from counterpoise.pipelines.shared.served import complete, predictions
from counterpoise.retraining.evidence import by_group, collect
from counterpoise.retraining.history import Record, champion
from counterpoise.retraining.monitor import watch


def watch_champion(
    partitions: Mapping[str, Path],
    history: Sequence[Record],
    reports: Mapping[str, Any],
    models: Path,
    raw: Path,
    dataset: Dataset,
    retraining: Retraining,
    registry: Registry | None,
) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the page and document of today, path → text, and the document: what labelled rows say of the champion.

    Traffic are the partitions of later dates than that of the champion's last training rows: it has learnt from none of
    them. What was expected of it is its error on held-out rows when it was decided on.

    Raises:
        InputError: there is no champion, or no report of its decision; groups or classes are no longer those of it.
    """
    from counterpoise.reporting.retraining_page import monitor_page

    present = champion(history)
    require_terms(history, data_terms(dataset))
    decided = next((r for r in reports.values() if r["decision"]["challenger"] == present), None)
    if decided is None:
        raise InputError(f"there is no report of the decision on {present}, expected it under 08_reporting/retrain")
    week = decided["week"]
    expected = decided["evaluation"]["measured"]["challenger"]["error"]["error"]
    reference, columns = reference_rows(raw, dataset), columns_of(dataset)
    weeks, left_out = [], dict[str, str]()
    folder = models / present
    if not folder.is_dir():
        fetch(present, folder, registry)
    for name, path in sorted(partitions.items(), key=lambda item: item[0][-10:]):
        try:
            date = date_of(name)
            if date <= week:
                continue
            rows = read_usable(path, name, reference, columns, dataset, retraining)
        except InputError as error:
            left_out[name] = reason(error)
            continue
        weeks.append(_counted(rows, date, folder, dataset))
    document: dict[str, Any] = {
        "champion": present,
        "since": week,
        "expected_error": expected,
        "experiment": retraining.experiment,
        "title": dataset.title,
        "left_out": left_out,
        "weeks": weeks,
        "watches": [],
        "alarms": [],
    }
    if weeks:
        counts = np.array([entry["confusion"] for entry in weeks], dtype=np.int64)
        compared = decided["evaluation"].get("compared")  # a week's own rows would be too few to say
        for each in watch(counts, retraining.monitor, expected_error=expected, compared=compared):
            first = int(each.first_alarm())
            record = {
                "name": each.name,
                "limit": each.limit,
                "estimates": [None if np.isnan(value) else float(value) for value in each.estimate],
                "log10_e": [float(value / np.log(10)) for value in each.log_e],
                "needed": float(each.needed / np.log(10)),
                "alarm_since": weeks[first]["date"] if first >= 0 else None,
                "sentence": each.sentence(),
            }
            document["watches"].append(record)
            if first >= 0:
                document["alarms"].append(
                    f"{each.name} of {present} exceeds {each.limit:.3g}, shown since {weeks[first]['date']}"
                )
    today = datetime.now(UTC).date().isoformat()
    pages = {f"{today}/report.html": monitor_page(document), f"{today}/report.json": document_text(document)}
    return pages, document


def _counted(rows: pd.DataFrame, date: str, folder: Path, dataset: Dataset) -> dict[str, Any]:
    """Return a week's counts [G, k, k], and shares by group."""
    from counterpoise.artifacts.serving import read_servable

    columns = columns_of(dataset)
    y = np.where(rows[dataset.label].isna(), -1, columns.y(rows))
    marked = rows.assign(**{CLASS: y, GROUP: columns.s(with_groups(rows, dataset))})
    is_usable = complete(marked, [read_servable(folder)]) & (marked[GROUP].to_numpy() >= 0)
    taken = marked[is_usable]
    usable = taken[counted_rows(taken, dataset)]
    y = usable[CLASS].to_numpy(dtype=np.int64)
    predicted = predictions(folder, usable, dataset.classes)
    evidence = collect(
        y,
        usable[GROUP].to_numpy(dtype=np.int64),
        first=predicted,
        champion=predicted,
        challenger=predicted,
        groups=len(dataset.group_names),
        classes=len(dataset.classes),
    )
    confusion = evidence.confusion[0]
    return {
        "date": date,
        "rows": int(confusion.sum()),
        "waiting": evidence.waiting,
        "again": len(taken) - len(usable),
        "confusion": confusion.tolist(),
        "by_group": by_group(confusion, dataset.group_names),
    }
