"""The experiment that is retrained: its row, and the block of the table that it is retrained on.

The experiment is retrained as it stands, under the name `RETRAINED` and on another table: its own rows and those of the
partitions that have arrived. So its block of data is derived (`with_retraining`), and its row too (`row_of`). What its
models have to show is in `config.retraining`, which needs the statistics of the gate; a list of pipelines does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from counterpoise.errors import InputError, shown, suggest
from counterpoise.experiments import Experiment

RETRAINED = "retraining"
"""The name of the experiment that is retrained, of its block of data, and of the block of its settings."""

TRAINING_FILE = "rows.parquet"
"""The one raw file of the experiment that is retrained."""


def row_of(parameters: Mapping[str, Any], experiments: Iterable[Experiment]) -> Experiment | None:
    """Return the row of the experiment that `retraining` names; None without such a block.

    Raises:
        InputError: there is no experiment of that name, or it is on images or in parts.
    """
    block = parameters.get(RETRAINED)
    if not isinstance(block, Mapping) or "experiment" not in block:
        return None
    rows = {experiment.name: experiment for experiment in experiments}
    name = block["experiment"]
    if name not in rows:
        raise InputError(f"conf: retraining.experiment is {shown(name)}{suggest(name, rows)}")
    row = rows[name]
    if row.images or row.parts or (row.frontier is None and row.network is None) or row.repairs is not None:
        raise InputError(
            f"conf: retraining.experiment is {shown(name)}, expected a frontier, or heads of a network, on a table and "
            "without parts"
        )
    return row


def retrained(row: Experiment) -> Experiment:
    """Return an experiment's row as it is retrained."""
    return replace(row, name=RETRAINED, dataset=RETRAINED)


def with_retraining(parameters: dict[str, Any], experiments: Iterable[Experiment]) -> dict[str, Any]:
    """Return the parameters and, under `datasets`, the block of the table that the experiment is retrained on.

    Raises:
        InputError: see `row_of`.
    """
    row = row_of(parameters, experiments)
    datasets = parameters.get("datasets")
    block = datasets.get(row.dataset) if row is not None and isinstance(datasets, Mapping) else None
    if not isinstance(block, Mapping):  # else the error is about the experiment's block
        return parameters
    options = block.get("options") if block.get("reader") == "table" else None
    derived = {name: value for name, value in block.items() if name != "checksums"}
    derived |= {"reader": "table", "options": {**(options or {}), "files": TRAINING_FILE}}
    return parameters | {"datasets": {**datasets, RETRAINED: derived}}  # type: ignore[dict-item]
