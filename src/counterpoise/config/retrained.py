"""The experiment that is retrained: its row, and the block of the data that it is retrained on.

The experiment is retrained as it stands, under the name `RETRAINED` and on another table, which may be one of images:
its own rows and those of the partitions that have arrived. So its block of data is derived (`with_retraining`), and its
row too (`row_of`). What its models have to show is in `config.retraining`, which needs the statistics of the gate; a
list of pipelines does not.
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

IMAGE_READERS, SCHEMES = ("image_table", "celeba", "lfwa"), ("shares", "balanced")
"""Images that are files of their own, without official parts, to which dated ones can be added."""


def row_of(parameters: Mapping[str, Any], experiments: Iterable[Experiment]) -> Experiment | None:
    """Return the row of the experiment that `retraining` names; None without such a block.

    Raises:
        InputError: there is no experiment of that name, or it is in parts, or of another kind.
    """
    block = parameters.get(RETRAINED)
    if not isinstance(block, Mapping) or "experiment" not in block:
        return None
    rows = {experiment.name: experiment for experiment in experiments}
    name = block["experiment"]
    if name not in rows:
        raise InputError(f"conf: retraining.experiment is {shown(name)}{suggest(name, rows)}")
    row = rows[name]
    on_base = row.network is not None or row.boosting is not None or row.backbone is not None
    is_served = row.frontier is not None or (row.variants is not None and on_base)
    if row.parts or row.repairs is not None or not is_served:
        raise InputError(
            f"conf: retraining.experiment is {shown(name)}, expected a frontier, or heads of a network, trees or a "
            "backbone, without parts"
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
    assert row is not None
    if row.images and (block.get("reader") not in IMAGE_READERS or _scheme(block) not in SCHEMES):
        raise InputError(
            f"conf: retraining.experiment is {shown(row.name)}, whose images are read by {shown(block.get('reader'))} "
            f"and shared out by {shown(_scheme(block))}, expected {', '.join(IMAGE_READERS)} and {', '.join(SCHEMES)}"
        )
    reader = "image_table" if row.images else "table"
    options = dict(block.get("options") or {}) if block.get("reader") == reader else {}
    options |= {"file" if row.images else "files": TRAINING_FILE}
    derived = {name: value for name, value in block.items() if name != "checksums"}
    derived |= {"reader": reader, "options": options}
    return parameters | {"datasets": {**datasets, RETRAINED: derived}}  # type: ignore[dict-item]


def _scheme(block: Mapping[str, Any]) -> Any:
    split = block.get("split")
    return split.get("scheme", SCHEMES[0]) if isinstance(split, Mapping) else SCHEMES[0]
