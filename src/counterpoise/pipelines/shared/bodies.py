"""What a user's own model makes of rows before its head, in the form in which it is exported."""

from __future__ import annotations

import importlib
import io
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from counterpoise.artifacts.serving import Body, Servable
from counterpoise.config.models import ENCODED, MlflowFolder, SklearnFile, file_in
from counterpoise.config.parameters import Dataset
from counterpoise.data.encode import feature_names
from counterpoise.errors import reason
from counterpoise.pipelines.shared.trained import Trained, estimator_of, network_on_table, rows_taken

LOG = logging.getLogger(__name__)
EXAMPLES = 2
"""Rows that a network is exported with."""


def body_of(
    samples: pd.DataFrame,
    table: pd.DataFrame,
    folder: Path,
    settings: Trained,
    dataset: Dataset,
    encoding: Mapping[str, Any],
) -> tuple[Body, dict[str, Any]] | None:
    """Return what comes before the head, and the encoding of the columns that it takes, with examples of these.

    None where it has no form without pickled objects: a network that `torch.export` does not take, steps that skops
    does not; a warning says why.
    """
    try:
        body = _pipeline(samples, table, folder, settings, dataset)
        body = body or _network(samples, table, folder, settings, dataset)
    except Exception as error:  # torch.export and skops raise nearly anything
        LOG.warning(
            "%s: cannot be written down without pickled objects (%s); the exported model takes its features f0, f1, … "
            "in the place of the columns",
            file_in(settings),
            reason(error),
        )
        return None
    needed = set(body.columns)
    entries = [
        entry
        for entry in encoding["columns"]
        if (entry["column"] in needed if body.of_file else needed & set(entry["features"]))
    ]
    columns = dict.fromkeys([*(entry["column"] for entry in entries), *(body.columns if body.of_file else ())])
    example = {name: encoding["example"].get(name) or _examples(table[name], encoding) for name in columns}
    return body, {**encoding, "columns": entries, "example": example}


def on_body(model: Servable, body: Body, encoding: Mapping[str, Any]) -> Servable:
    """Return a model of features with what makes them of the columns of a table."""
    described = dict(encoding)
    example = pd.DataFrame(described.pop("example"))
    return replace(model, encoding=described, example=example, body=body, folder=None)


def _examples(column: pd.Series, encoding: Mapping[str, Any]) -> list[Any]:
    """Return values of a column that is no feature, in as many rows as the others have."""
    rows = max((len(values) for values in encoding["example"].values()), default=EXAMPLES)
    return [
        value if isinstance(value, str | bool | int | float) else str(value) for value in column.head(rows).tolist()
    ]


def _pipeline(
    samples: pd.DataFrame, table: pd.DataFrame, folder: Path, settings: Trained, dataset: Dataset
) -> Body | None:
    estimator = estimator_of(folder, settings)
    if estimator is None:
        return None
    skops = importlib.import_module("skops.io")
    assert isinstance(settings, SklearnFile | MlflowFolder)
    taken = rows_taken(estimator, samples, table, settings, dataset)
    content = skops.dumps(estimator)
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    return Body(
        kind="pipeline",
        content=content,
        columns=tuple(map(str, taken.rows)),
        outputs=int(last.coef_.shape[-1]),
        of_file=taken.of_file,
        named=hasattr(estimator, "feature_names_in_"),
        trusted=tuple(skops.get_untrusted_types(data=content)),
        gaps=taken.gaps,
    )


def _network(samples: pd.DataFrame, table: pd.DataFrame, folder: Path, settings: Trained, dataset: Dataset) -> Body:
    network, x = network_on_table(samples, table, folder, settings, dataset)
    with torch.no_grad():
        program = torch.export.export(
            network.body, (x[:EXAMPLES],), dynamic_shapes=({0: torch.export.Dim("N", min=1)},)
        )
    program.example_inputs = None  # they would be pickled
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    names = feature_names(samples) if settings.columns == ENCODED else list(settings.columns)
    return Body("network", buffer.getvalue(), tuple(names), outputs=network.weight.shape[1])
