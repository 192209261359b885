"""Models that come trained: how their files are read for a table, and what is asked of them before they are a base."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.config.models import ENCODED, ExportedProgram, TorchModule, TreeFile
from counterpoise.config.parameters import Dataset
from counterpoise.errors import InputError, shown, suggest
from counterpoise.nn.tree_text import Ensemble, onto
from counterpoise.pipelines.shared.arrays import feature_matrix

if TYPE_CHECKING:
    from counterpoise.features.modules import Cut

LOG = logging.getLogger(__name__)

CHANCE = 0.5
"""The area under the curve of a model that knows nothing."""


def file_of(folder: Path, name: str) -> Path:
    """Return a file of a model's folder.

    Raises:
        InputError: the name leads out of the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{path}: leads out of the folder of the model, expected a file in {folder}")
    return path


def trees_on_table(
    samples: pd.DataFrame, folder: Path, dataset: Dataset, settings: TreeFile
) -> tuple[Ensemble, Ensemble]:
    """Return the trees of a file as they came, and on the columns of the encoded table."""
    from counterpoise.features.tree_files import match_columns, read_trees_file

    path = file_of(folder, settings.trees)
    model, columns = read_trees_file(path), table_columns(samples)
    sources = match_columns(
        model,
        columns,
        source=str(path),
        names=settings.columns,
        categories=settings.categories,
        absent=not_features(dataset),
    )
    return model, onto(model, sources, len(columns))


def network_on_table(
    samples: pd.DataFrame, folder: Path, settings: TorchModule | ExportedProgram
) -> tuple[Cut, Float[Tensor, "N D"]]:
    """Return a user's network, cut before its head, and the rows that it takes."""
    from counterpoise.features.modules import SAMPLE, build, cut, read_program

    columns, table = table_columns(samples), feature_matrix(samples)
    if settings.columns != ENCODED:
        for name in settings.columns:
            if name not in columns:
                raise InputError(f"columns: the encoded table has no {shown(name)}{suggest(name, columns)}")
        table = table[:, [columns.index(name) for name in settings.columns]].contiguous()
    sample = table[:SAMPLE]
    if isinstance(settings, ExportedProgram):
        return read_program(file_of(folder, settings.program), sample), table
    network = build(settings.module, settings.arguments, folder)
    weights = None if settings.weights is None else file_of(folder, settings.weights)
    return cut(network, weights, sample, head=settings.head, source=settings.module), table


def table_columns(samples: pd.DataFrame) -> list[str]:
    """Return the names of the features of an encoded table."""
    return [str(name) for name in samples.columns.drop(["y", "s"])]


def not_features(dataset: Dataset) -> dict[str, str]:
    """Return the columns of a data set that are no features, and why."""
    reasons = dict.fromkeys(dataset.drop, "in `drop` of the data set") | {dataset.label: "the label"}
    if not dataset.keep_sensitive:
        why = "a sensitive column, a feature with `keep_sensitive: true` alone"
        reasons |= dict.fromkeys((dataset.sensitive, *dataset.crossed), why)
    return reasons


def with_classes(
    weight: Float[Tensor, "d c"], bias: Float[Tensor, "c"], dataset: Dataset, source: str
) -> tuple[Float[Tensor, "d k"], Float[Tensor, "k"]]:
    """Return a head with a logit for each class; a single one, v, becomes −v/2 and v/2.

    Raises:
        InputError: it has another number of outputs.
    """
    classes = len(dataset.classes)
    if weight.shape[1] == 1 and classes == 2:
        signs = torch.tensor([-0.5, 0.5])
        return weight * signs, bias * signs
    if weight.shape[1] != classes:
        raise InputError(
            f"{source} has {weight.shape[1]} outputs, expected {classes}, one for each class of {dataset.title}"
            f"{', or one logit' if classes == 2 else ''}"
        )
    return weight, bias


def require_oriented(margins: Float[Tensor, "N"], y: Int[Tensor, "N"], dataset: Dataset, source: str) -> None:
    """Raise InputError if a model's scores rank class 1 below class 0: it means the other class by its scores."""
    from sklearn.metrics import roc_auc_score

    if (area := float(roc_auc_score(y.numpy(), margins.double().numpy()))) < CHANCE:
        raise InputError(
            f"{source}: ranks {dataset.classes[1]!r} below {dataset.classes[0]!r} (an AUC of {area:.3f} on {len(y):,} "
            f"rows), expected more than {CHANCE}: is `positive` of the data set the class that its scores mean, and "
            "are its columns those of the table?"
        )


def say_what_it_saw(dataset: Dataset, model: str) -> None:
    """Warn that what a model has learnt from may be among the rows that it is tested on."""
    LOG.warning(
        "%s: %s came trained, on rows that are not known here; those of them that are in the validation or test part "
        "make it look better than it is on new rows, before and after repair. Give the table rows alone that it has "
        "not seen",
        dataset.title,
        model,
    )
