"""The block `retraining` of conf/: which experiment is retrained, on what, and what its models have to show.

The experiment is retrained as it stands, under the name `RETRAINED` and on another table: its own rows and those of the
partitions that have arrived. So its block of data is derived (`with_retraining`), and its row too (`row_of`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, model_validator

from counterpoise.config.data import Count, Settings
from counterpoise.errors import InputError, shown, suggest
from counterpoise.experiments import Experiment
from counterpoise.retraining.gate import Gate
from counterpoise.retraining.monitor import Monitor

RETRAINED = "retraining"
"""The name of the experiment that is retrained, of its block of data, and of the block of its settings."""

TRAINING_FILE = "rows.parquet"
"""The one raw file of the experiment that is retrained."""


class Retraining(Settings):
    """What is retrained, and when its model takes the champion's place.

    experiment: its name; it is on a table and has no parts. model_name: of its models in the registry.
    method, seed: of an experiment that fine-tunes heads, the variant and the seed that are exported; without a seed the
    first one. A frontier exports the model that it chooses.
    held_out: share of the rows, drawn by what they contain, that no training ever sees and that decide.
    window: newest partitions that are trained and decided on, beside the rows that the experiment has anyway.
    min_rows: labelled rows that a partition needs.
    """

    experiment: str
    model_name: str = Field(min_length=1)
    method: str | None = None
    seed: int | None = None
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    window: Count = 26
    min_rows: Count = 100
    gate: Gate = Gate(patience=1)
    monitor: Monitor = Monitor()

    @model_validator(mode="after")
    def _asked_once(self) -> Retraining:
        if self.gate.patience != 1:
            raise ValueError(
                f"gate.patience is {self.gate.patience}, expected 1: held-out rows are used again, so that each model "
                "may be asked about once"
            )
        return self


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
