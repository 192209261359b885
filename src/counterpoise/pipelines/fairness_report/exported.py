"""What the report says about the model that the stage `select` has exported."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
from kedro.utils import find_kedro_project

from counterpoise.artifacts.serving import Servable
from counterpoise.pipelines.shared.heads import CHOSEN
from counterpoise.reporting.exported_model import ExportedModel
from counterpoise.reporting.tables_frontier import held


def exported_model(model: Servable, selection: pd.DataFrame, *, of_features: bool) -> ExportedModel:
    """Describe an exported model by its own metadata, and by what became of the same choice in the other seeds.

    Args:
        selection: `tables_frontier.SELECTION_KEYS`.
        of_features: whether it takes features of images.
    """
    chosen = model.metadata
    kept, known = held(selection[selection["family"] == CHOSEN], chosen["tolerance"])
    return ExportedModel(
        variant=chosen["variant"],
        seed=chosen["seed"],
        criterion=chosen["criterion"],
        tolerance=chosen["tolerance"],
        met=bool(chosen["meets"]),
        validation_bias=_number(chosen["validation_bias"]),
        test_bias=_number(chosen["test_bias"]),
        held=kept,
        seeds=known,
        folder=None if model.folder is None else _from_project(model.folder),
        columns=model.columns,
        of_features=of_features,
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _from_project(folder: Path) -> str:
    """Return a path as it is called from the project's folder: there the commands of a report are meant to be run."""
    project = find_kedro_project(folder)
    return str(folder.relative_to(project)) if project is not None else str(folder)
