"""New partitions: which can be used, all rows of a retraining, how they differ from the reference, what is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt64
from pandas.api import types

from counterpoise.artifacts.lineage import sha256_of
from counterpoise.artifacts.retraining import SOURCE
from counterpoise.config.parameters import Dataset
from counterpoise.config.retraining import Retraining
from counterpoise.data import IMAGES, Limits, audit
from counterpoise.data.encode import IMAGE
from counterpoise.data.partitions import (
    DIGEST,
    FILE,
    LOOKS,
    Columns,
    date_of,
    digest_of,
    file_names,
    is_held_out,
    labelled_hashes,
    read_partition,
    require_others,
    usable,
    with_files,
)
from counterpoise.data.table import read_rows
from counterpoise.errors import Ending, InputError, reason
from counterpoise.fairness import LEVEL
from counterpoise.pipelines.data_split.left_out import with_groups
from counterpoise.pipelines.data_split.nodes import read_table
from counterpoise.pipelines.retrain.terms import DATE, require_terms, terms_of, week_of
from counterpoise.pipelines.shared.frames import named, records
from counterpoise.retraining.history import Record

BATCH, HELD_OUT, CLASS, GROUP = "retraining.batch", "retraining.held_out", "retraining.y", "retraining.s"
"""Columns beside those of the file: number of the partition (0: the reference), held out or not, class, group or −1."""

FEW = 30
"""Rows of a group and class below which the audit names it."""

SHOWN_VALUES = 5
"""New values of a column that the audit names."""


def columns_of(dataset: Dataset) -> Columns:
    """Return which columns of a table are label and groups."""
    return Columns(
        dataset.label,
        dataset.positive,
        dataset.classes,
        dataset.sensitive,
        dataset.groups,
        dataset.bands,
        dataset.scored_only,
    )


def take_partitions(
    new: Mapping[str, Path],
    every: Mapping[str, Path],
    ledger: Mapping[str, Any],
    history: Sequence[Record],
    raw: Path,
    dataset: Dataset,
    retraining: Retraining,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Read the rows of a retraining: the experiment's own, and those of the newest usable partitions.

    A partition that cannot be used is put aside with one sentence why.

    Args:
        new: partitions that are not in the ledger. every: all of them. ledger: those that were decided on, and what was
            in them. history: has a week whose partitions are still new if a run was stopped after it had decided; then
            this run completes that week, and later partitions wait for the next one.
        raw: folder of the experiment's own rows, the reference.

    Returns:
        The batch: `week`, the newest new partition's date; `new`, names; `used`, names and rows of all that are read,
        in order; `quarantined`, name → sentence; `entries`, what the ledger gets; `terms`. And the rows, with `BATCH`,
        `HELD_OUT`, `CLASS` and `GROUP`.

    Raises:
        InputError: no new partition can be used; an old one was altered or removed; the terms of the history changed.
    """
    if not new:  # two runs at once: the other one was first
        raise Ending("Nothing to do: another run has decided on the new partitions in the meantime.", 0)
    decided = {week_of(record) for record in history if record.kind != "rollback"}
    if unfinished := sorted({name[-len(DATE) :] for name in new} & decided):
        new = {name: path for name, path in new.items() if name[-len(DATE) :] <= unfinished[0]}
    reference, columns = reference_rows(raw, dataset), columns_of(dataset)
    complete_reference = with_contents(reference, raw, dataset.title, dataset)
    terms = terms_of(contents(complete_reference, dataset), dataset, retraining)
    require_terms(history, terms)
    digests = {entry["digest"]: name for name, entry in ledger.items() if "digest" in entry}
    accepted = {name: entry["date"] for name, entry in ledger.items() if "digest" in entry}

    def labelled(table: pd.DataFrame) -> UInt64[np.ndarray, "N"]:
        return labelled_hashes(contents(table, dataset), dataset.label)

    def read(name: str) -> pd.DataFrame:
        return read_usable(every[name], name, reference, columns, dataset, retraining)

    tables = {name: read(name) for name in _newest(accepted, retraining.window) if name in every and name not in new}
    rows_of = {dataset.title: labelled(complete_reference), **{name: labelled(rows) for name, rows in tables.items()}}
    quarantined, entries = dict[str, str](), dict[str, Any]()
    for name in sorted(new, key=lambda name: (name[-len(DATE) :], name)):
        if name in accepted:
            raise InputError(f"{new[name]}: was altered after it was decided on, expected the file that it was")
        entries[name] = {"sha256": sha256_of(new[name])}
        try:
            date, rows = date_of(name), read_usable(new[name], name, reference, columns, dataset, retraining)
            digest = digest_of(contents(rows, dataset))
            if digest in digests:
                raise InputError(f"{name}: has the same rows as {digests[digest]}, expected new ones")
            if date in accepted.values():
                raise InputError(f"{name}: is of {date}, as another partition, expected one for each date")
            require_others(name, hashes := labelled(rows), rows_of)
        except InputError as error:
            quarantined[name] = entries[name]["quarantined"] = str(error)
            continue
        digests[digest], accepted[name], tables[name], rows_of[name] = name, date, rows, hashes
        entries[name] |= {"digest": digest, "date": date, "rows": len(rows)}
    fresh = sorted(entries.keys() - quarantined.keys(), key=lambda name: accepted[name])
    if not fresh:
        raise InputError(f"no new partition can be used: {'; '.join(quarantined.values())}")
    used = {*_newest(accepted, retraining.window), *fresh}  # one that arrives late is decided on all the same
    for name in sorted(used - {*fresh}):
        if name not in tables:
            raise InputError(f"{name}: the partition was removed after it was decided on, expected it to stay")
        if is_images(dataset) and digest_of(contents(tables[name], dataset)) != ledger[name]["digest"]:
            raise InputError(
                f"{every[name]}: an image was altered after it was decided on, expected the one that it was"
            )
    names = sorted(used, key=lambda name: accepted[name])
    parts = [complete_reference, *(tables[name] for name in names)]
    rows = pd.concat(parts, ignore_index=True)
    hashed = rows[_named(DIGEST, dataset.label, dataset.together)] if is_images(dataset) else rows
    sides = is_held_out(hashed, dataset.label, retraining.held_out, dataset.together)
    grouped = with_groups(rows, dataset)
    marked = rows.assign(
        **{
            BATCH: np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
            HELD_OUT: sides,
            CLASS: np.where(rows[dataset.label].isna(), -1, columns.y(rows)),
            GROUP: columns.s(grouped),
        }
    )
    batch = {
        "week": accepted[fresh[-1]],
        "new": fresh,
        "used": [{"name": name, "date": accepted[name], "rows": len(tables[name])} for name in names],
        "reference": len(reference),
        "quarantined": quarantined,
        "entries": entries,
        "terms": terms,
    }
    return batch, marked


def _newest(dates: Mapping[str, str], window: int) -> list[str]:
    """Return the names of the newest partitions, in order."""
    return sorted(dates, key=lambda name: dates[name])[-window:]


def is_images(dataset: Dataset) -> bool:
    """Whether the rows are of images."""
    return dataset.reader in IMAGES


def of_images(dataset: Dataset) -> list[str]:
    """Return the columns of images that a training reads."""
    sensitive = dataset.crossed or (dataset.sensitive,)
    return _named(IMAGE, dataset.label, *sensitive, *dataset.further_sensitive, dataset.together)


def _named(*columns: str | None) -> list[str]:
    """Return the columns that there are, each once."""
    return [name for name in dict.fromkeys(columns) if name is not None]


def contents(rows: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Return what a partition is told from another one by: of images their bytes, wherever they lie."""
    return rows[[DIGEST, *of_images(dataset)[1:]]] if is_images(dataset) else rows


def with_contents(rows: pd.DataFrame, folder: Path, name: str, dataset: Dataset) -> pd.DataFrame:
    """Return rows of images that can be read with what is in their files; rows of a table as they are."""
    if not is_images(dataset):
        return rows
    return with_files(
        rows,
        folder,
        name=name,
        max_bad_fraction=dataset.max_bad_fraction,
        max_pixels=dataset.limits.image_pixels,
        value_range=dataset.image_range,
    )


def reference_rows(raw: Path, dataset: Dataset) -> pd.DataFrame:
    """Return the experiment's own rows; of a plain table with their gaps, which its reader treats later."""
    if is_images(dataset):
        return read_table(raw, dataset)[0][of_images(dataset)]
    if dataset.reader != "table":
        return read_table(raw, dataset)[0]
    options = dict(dataset.options)
    names = [options["files"]] if isinstance(options["files"], str) else list(options["files"])
    limits = Limits(**dataset.limits.model_dump())
    tables = [read_partition(raw / name, options, limits) for name in names]
    return tables[0] if len(tables) == 1 else read_rows(raw, files=names, limits=limits)


def read_usable(
    path: Path, name: str, reference: pd.DataFrame, columns: Columns, dataset: Dataset, retraining: Retraining
) -> pd.DataFrame:
    rows = read_partition(path, dataset.options, Limits(**dataset.limits.model_dump()))
    for column in reference.columns:
        if column not in rows and dataset.crossed and column in dataset.crossed:
            raise InputError(f"{name}: the column {column!r} is missing, expected it for the groups")
    joined = usable(
        with_groups(rows, dataset), with_groups(reference, dataset), columns, name=name, min_rows=retraining.min_rows
    )
    return with_contents(joined[list(reference.columns)], path.parent, name, dataset)


def audit_partitions(rows: pd.DataFrame, batch: dict[str, Any], dataset: Dataset) -> dict[str, Any]:
    """Compare new partitions with the reference: group shares, label rates, drift, gaps, new values, small cells."""
    dates = [entry["name"] for entry in batch["used"]]
    is_new = rows[BATCH].isin([1 + dates.index(name) for name in batch["new"]]).to_numpy()
    sides = {"reference": rows[rows[BATCH].to_numpy() == 0], "new": rows[is_new]}
    extra = [BATCH, HELD_OUT, CLASS, GROUP, *((IMAGE, FILE, DIGEST) if is_images(dataset) else ())]
    tables = {
        side: part.drop(columns=[*extra, *(name for name in dataset.not_features if name in part)])
        for side, part in sides.items()
    }
    groups = {side: pd.Series(named(part[GROUP], dataset.group_names)) for side, part in sides.items()}
    labels = {side: pd.Series(named(part[CLASS], dataset.classes)) for side, part in sides.items()}
    document: dict[str, Any] = {"rows": {side: len(part) for side, part in sides.items()}}
    document["group_shares"] = {side: records(audit.group_shares(groups[side], level=LEVEL)) for side in sides}
    document["label_rates"] = {
        side: records(audit.label_rates(labels[side], groups[side], level=LEVEL)) for side in sides
    }
    document["missing"] = {side: records(audit.missing(tables[side], groups[side])) for side in sides}
    try:
        document["drift"] = records(audit.drift(tables["reference"], tables["new"]))
    except InputError as error:
        document["drift"], document["note"] = [], reason(error)
    document["new_values"] = _new_values(tables["reference"], tables["new"])
    cells = audit.cells(groups["new"], labels["new"])
    is_known = cells["group"].isin(dataset.group_names) & cells["label"].isin(dataset.classes)  # gaps are in `missing`
    document["small_cells"] = records(cells[(cells["rows"] < FEW) & is_known])
    return document


def training_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the experiment is trained on: labelled, and not held out; of images with their `SOURCE`."""
    chosen = rows[~rows[HELD_OUT].to_numpy() & (rows[CLASS].to_numpy() >= 0)]
    chosen = chosen.drop(columns=[BATCH, HELD_OUT, CLASS, GROUP]).reset_index(drop=True)
    if FILE not in chosen:
        return chosen
    named = chosen.assign(**{IMAGE: file_names(chosen)}).drop(columns=[DIGEST, *LOOKS])
    return named.rename(columns={FILE: SOURCE})


def _new_values(reference: pd.DataFrame, new: pd.DataFrame) -> list[dict[str, Any]]:
    """Return `column, values, rows` of the columns of texts that hold values that the reference has not."""
    strangers = []
    for name in reference.columns:
        if types.is_numeric_dtype(reference[name]):
            continue
        strange = new[name][~new[name].isin(reference[name].unique()) & new[name].notna()]
        if len(strange):
            values = [str(value) for value in strange.value_counts().index[:SHOWN_VALUES]]
            strangers.append({"column": str(name), "values": values, "rows": len(strange)})
    return strangers
