"""The terms of a history: what its statement is about. They may be made stricter, and else stay as they are.

Whether a challenger is bad is a question about labels, groups, margins and tolerances, asked on rows that no training
has seen. If one of them changed in the middle, models would be compared on rows that one of them has learnt from, or
the guarantee would be about something else in each half of the history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from counterpoise.config.parameters import Dataset
from counterpoise.config.retraining import Retraining
from counterpoise.data.partitions import digest_of
from counterpoise.errors import InputError, shown
from counterpoise.retraining.history import Record

DATE = "2026-03-02"
"""How the name of a partition ends, and that of a model begins."""

OF_DATA = frozenset(
    {"label", "positive", "classes", "sensitive", "groups", "bands", "crossed_bands", "scored_only", "min_test_rows"}
)
"""Keys of a data set's block."""

COLUMNS, ROWS = "columns", "rows"
"""Terms that stand in no file under conf/: of the experiment's own rows."""

LIMITS = frozenset({"error_margin", "group_margin", "tolerances", "significance"})
"""Keys of the gate that may be made stricter: what was promoted before or after is not bad by the first ones."""


def week_of(record: Record) -> str:
    """Return the date of a decision's newest partition; of the first champion, with which its name begins."""
    return record.week or record.champion[: len(DATE)]


def data_terms(dataset: Dataset) -> dict[str, Any]:
    """Return what groups and classes are, as plain values by the keys of conf/."""
    return dict(sorted(dataset.model_dump(mode="json", include=set(OF_DATA)).items()))


def terms_of(reference: pd.DataFrame, dataset: Dataset, retraining: Retraining) -> dict[str, Any]:
    """Return all terms: also the limits, and which rows are held out, as their hash, and so the columns, says.

    Args:
        reference: the experiment's own rows.
    """
    gate = {name: getattr(retraining.gate, name) for name in sorted(LIMITS)}
    return {
        **data_terms(dataset),
        "split.together": dataset.together,
        "retraining.held_out": retraining.held_out,
        **{
            f"retraining.gate.{name}": dict(value) if isinstance(value, Mapping) else value
            for name, value in gate.items()
        },
        COLUMNS: sorted(map(str, reference.columns)),
        ROWS: digest_of(reference),
    }


def require_terms(history: Sequence[Record], terms: Mapping[str, Any]) -> None:
    """Raise InputError if terms are others than those that a history began with, and not stricter limits."""
    begun = next((record for record in history if record.terms), None)
    if begun is None or begun.terms is None:
        return
    for name, value in terms.items():
        before = begun.terms.get(name, value)
        if value != before and not _is_stricter(name, value, before):
            raise InputError(
                f"{_change(name, value, before)} in the retraining of {week_of(begun)}, whose history goes on: set it "
                "back, or begin a new history (docs/retraining.md)"
            )


def _is_stricter(name: str, value: Any, before: Any) -> bool:
    if name.rpartition(".")[2] not in LIMITS:
        return False
    if isinstance(before, Mapping):
        return all(metric in value and value[metric] <= limit for metric, limit in before.items())
    return bool(value <= before)


def _change(name: str, value: Any, before: Any) -> str:
    if name == ROWS:
        return "the experiment's own rows are not those that they were"
    if name == COLUMNS:
        new, gone = sorted(set(value) - set(before)), sorted(set(before) - set(value))
        changes = [f"{words} {shown(names)}" for words, names in (("have got", new), ("have lost", gone)) if names]
        return f"the experiment's own rows {' and '.join(changes)} among the columns that they had"
    most = "at most " * (name.rpartition(".")[2] in LIMITS)
    return f"conf: {name} is {shown(value)}, expected {most}{shown(before)} as"
