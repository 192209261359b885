"""Champion, challenger and first champion on the same held-out rows, as rows of the file, and the decision."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int64

from counterpoise import atomic
from counterpoise.artifacts.serving import Servable, read_servable
from counterpoise.config.parameters import Dataset
from counterpoise.config.retraining import Retraining
from counterpoise.data.partitions import one_of_each
from counterpoise.errors import InputError
from counterpoise.pipelines.retrain.partitions import BATCH, CLASS, GROUP, HELD_OUT
from counterpoise.pipelines.shared.compared import compared_of
from counterpoise.pipelines.shared.served import complete, predictions
from counterpoise.retraining.evidence import LEVEL, Evidence, biases, by_group, collect, error_sequence
from counterpoise.retraining.gate import IMPROVEMENT, chance
from counterpoise.retraining.history import Record, ask, champion, first_champion, level_of, start

DIGITS = 8
"""Hexadecimal digits of a model's digest in its name."""

CHALLENGER, CHAMPION, FIRST = "challenger", "champion", "first"


@runtime_checkable
class Registry(Protocol):
    """Where models are registered; see `counterpoise.tracking.registry`."""

    def fetch(self, model: str, folder: Path) -> None:
        """Put a model that lies no longer here into a folder."""

    def record(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Log a retraining and register its model, unless that was done."""

    def point(self, champion: str, challenger: str | None) -> dict[str, Any]:
        """Make the aliases those of the history."""


def evaluate(
    challenger: Servable,
    history: Sequence[Record],
    models: Path,
    rows: pd.DataFrame,
    batch: dict[str, Any],
    dataset: Dataset,
    retraining: Retraining,
    registry: Registry | None,
) -> dict[str, Any]:
    """Count the predictions of the three models on the held-out rows, a batch for each partition, and keep the model.

    Args:
        history: of which the records before this week's count, so that a run that was killed after it had decided
            gives the same.
        models: folder of all models that were ever challenger.

    Returns:
        `models`, the names; `dates`, of the batches that have rows; `confusion`, model → counts [B, G, k, k]; `paired`,
        `first` and `champion` → counts [B, G, k, 3]; `waiting`, `left_out`, `again` (of a person who
        counts already), numbers of rows; `compared`, the numbers of the groups that biases are taken of, null for all;
        and what `measured` says.
    """
    assert challenger.folder is not None
    name = f"{batch['week']}-{_digest(challenger.folder)}"
    keep(challenger.folder, models / name)
    before = before_week(history, batch["week"])
    names = {CHALLENGER: name}
    if before:
        names |= {CHAMPION: champion(before), FIRST: first_champion(before)}
    folders = {model: models / model for model in dict.fromkeys(names.values())}
    for model, folder in folders.items():
        if not folder.is_dir():
            fetch(model, folder, registry)
    held_out = rows[rows[HELD_OUT].to_numpy()]
    asked = [challenger, *(read_servable(folder) for model, folder in folders.items() if model != name)]
    taken = held_out[complete(held_out, asked) & (held_out[GROUP].to_numpy() >= 0)]
    usable = taken[counted_rows(taken, dataset, taken[BATCH].to_numpy(dtype=np.int64))]
    y, s = (usable[column].to_numpy(dtype=np.int64) for column in (CLASS, GROUP))
    labelled = y >= 0
    if not labelled.any():
        raise InputError(f"none of the {len(usable):,} held-out rows has a label yet, expected at least one")
    predicted = {model: predictions(folder, usable, dataset.classes) for model, folder in folders.items()}
    of = {role: predicted[model] for role, model in names.items()}
    first, present = of.get(FIRST, of[CHALLENGER]), of.get(CHAMPION, of[CHALLENGER])
    size: dict[str, Any] = {
        "groups": len(dataset.group_names),
        "classes": len(dataset.classes),
        "batch": _batches(usable),
    }
    sides = {role: collect(y, s, first=first, champion=present, challenger=of[role], **size) for role in names}
    evidence = sides[CHALLENGER]
    compared = _compared(evidence, dataset)
    dates = ["reference", *(entry["date"] for entry in batch["used"])]
    return {
        "week": batch["week"],
        "models": names,
        "dates": [dates[number] for number in np.unique(usable[BATCH].to_numpy()[labelled])],
        "confusion": {role: side.confusion.tolist() for role, side in sides.items()},
        "paired": {FIRST: evidence.against_first.tolist(), CHAMPION: evidence.against_champion.tolist()},
        "waiting": evidence.waiting,
        "left_out": len(held_out) - len(taken),
        "again": len(taken) - len(usable),
        "compared": compared,
        "measured": {role: measured(side.confusion, dataset, retraining, compared) for role, side in sides.items()},
    }


def counted_rows(
    rows: pd.DataFrame, dataset: Dataset, batch: Int64[np.ndarray, "N"] | None = None
) -> Bool[np.ndarray, "N"]:
    """Return which rows count: those without a label, which wait, and of each person's labelled ones one."""
    marks = [name for name in (BATCH, HELD_OUT, CLASS, GROUP) if name in rows]
    labelled = rows[CLASS].to_numpy() >= 0
    chosen = np.ones(len(rows), dtype=bool)
    batch = None if batch is None else batch[labelled]
    chosen[labelled] = one_of_each(rows[labelled].drop(columns=marks), dataset.label, dataset.together, batch)
    return chosen


def _compared(evidence: Evidence, dataset: Dataset) -> list[int] | None:
    """Return the groups that are compared, by their labelled held-out rows: this decision's test rows."""
    compared = compared_of(torch.from_numpy(evidence.confusion.sum((0, 2, 3))), dataset)
    return None if compared is None else list(compared)


def measured(
    confusion: np.ndarray, dataset: Dataset, retraining: Retraining, compared: Sequence[int] | None = None
) -> dict[str, Any]:
    """Return what counts [B, G, k, k] say of a model: on all rows and on the newest, by group, and its biases."""
    significance = 1 - LEVEL
    return {
        "all": by_group(confusion.sum(0), dataset.group_names),
        "newest": by_group(confusion[-1], dataset.group_names),
        "biases": biases(confusion, retraining.gate.tolerances, significance, compared),
        "newest_biases": biases(confusion[-1:], retraining.gate.tolerances, significance, compared),
        "error": error_sequence(confusion, significance),
    }


def before_week(history: Sequence[Record], week: str) -> Sequence[Record]:
    """Return the records before the decision of a week, all of them where there is none yet."""
    return history[: next((record.sequence for record in history if record.week == week), len(history))]


def decide(
    evaluation: dict[str, Any],
    batch: dict[str, Any],
    history: Sequence[Record],
    dataset: Dataset,
    retraining: Retraining,
) -> tuple[tuple[Record, ...], dict[str, Any]]:
    """Return the history with this week's record, and the record with what the report says beside it.

    The first model of a history becomes champion as it is.

    Raises:
        InputError: the champion is no longer the one that the challenger was compared with.
    """
    week, challenger = batch["week"], evaluation["models"][CHALLENGER]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    started = bool(history) and history[0].kind == "start" and history[0].champion.startswith(f"{week}-")
    records = tuple(history)
    if started:
        record = history[0]
    elif not history:
        error = evaluation["measured"][CHALLENGER]["error"]["error"]
        reason = f"First champion, trained with the partitions up to {week}; its error on held-out rows is {error:.2%}."
        records = start(challenger, at=now, reason=reason, terms=batch.get("terms"))
        record = records[0]
    else:
        present = champion(before_week(history, week))
        if present != (compared := evaluation["models"].get(CHAMPION)):
            raise InputError(
                f"{challenger} was compared with {compared}, but {present} is champion by now: run "
                "`kedro run --pipelines=retrain` again"
            )
        record, records = ask(
            history,
            retraining.gate,
            week=week,
            challenger=challenger,
            evidence=_evidence(evaluation),
            at=now,
            groups=dataset.group_names,
            terms=batch.get("terms"),
        )
    earlier = records[: record.sequence]
    return records, {
        **asdict(record),
        "week": week,
        "verdict": record.verdict or "start",
        "challenger": record.challenger or record.champion,
        "champion_before": champion(earlier) if earlier else None,
        "power": _power(_evidence(evaluation), records, retraining),
    }


def _power(evidence: Evidence, records: Sequence[Record], retraining: Retraining) -> dict[str, Any] | None:
    """Return with which probability a better model would be promoted; None if no significance is left for one."""
    try:
        level = level_of("", records, retraining.gate)
    except InputError:
        return None
    probability = chance(evidence, retraining.gate, level=level)
    rows = int(evidence.confusion.sum())
    return {"improvement": IMPROVEMENT, "probability": probability, "rows": rows, "level": level}


def keep(source: Path, folder: Path) -> None:
    """Copy a model into a folder of its own, complete or not at all."""
    if not folder.is_dir():
        atomic.write(folder, lambda aside: shutil.copytree(source, aside))


def fetch(model: str, folder: Path, registry: Registry | None) -> None:
    if registry is None:
        raise InputError(f"{folder}: there is no such folder, expected the model {model}, which the history names")
    atomic.write(folder, lambda aside: registry.fetch(model, aside))


def _digest(folder: Path) -> str:
    """Return a digest of what an exported model predicts with; MLflow's files differ from save to save."""
    total = hashlib.sha256()
    for file in sorted((folder / "artifacts").iterdir()):
        total.update(f"{file.name}\0".encode() + file.read_bytes())
    return total.hexdigest()[:DIGITS]


def _batches(rows: pd.DataFrame) -> Int64[np.ndarray, "n"]:
    """Number the batches that have labelled rows from 0."""
    numbers = rows[BATCH].to_numpy(dtype=np.int64)
    present = np.unique(numbers[rows[CLASS].to_numpy() >= 0])
    return np.searchsorted(present, numbers).astype(np.int64)


def _evidence(evaluation: Mapping[str, Any]) -> Evidence:
    first, present, confusion = (
        np.asarray(counts, dtype=np.int64)
        for counts in (evaluation["paired"][FIRST], evaluation["paired"][CHAMPION], evaluation["confusion"][CHALLENGER])
    )
    return Evidence(first, present, confusion, evaluation["waiting"], evaluation.get("compared"))


def document_text(document: Mapping[str, Any]) -> str:
    """Return a document as JSON that people can read."""
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False)
