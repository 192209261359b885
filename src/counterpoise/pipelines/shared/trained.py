"""Models that come trained: how their files are read for a table, and what is asked of them before they are a base."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.config.models import (
    ENCODED,
    ExportedProgram,
    MlflowFolder,
    SklearnFile,
    TorchModule,
    TreeFile,
    file_in,
)
from counterpoise.config.parameters import Dataset
from counterpoise.data.encode import feature_names
from counterpoise.data.table import indicator_name, with_gaps
from counterpoise.errors import InputError, shown, suggest
from counterpoise.nn.tree_text import Ensemble, onto
from counterpoise.pipelines.shared.arrays import feature_matrix

if TYPE_CHECKING:
    from counterpoise.features.linear_files import Taken
    from counterpoise.features.modules import Cut

LOG = logging.getLogger(__name__)

CHANCE = 0.5
"""The area under the curve of a model that knows nothing."""


def file_of(folder: Path, name: str) -> Path:
    """Return a file of a model's folder.

    Raises:
        InputError: the name leads out of the folder, or to a server.
    """
    path = folder / name
    if re.match(r"[\w+-]{2,}:/", name):
        raise InputError(
            f"{name}: is a URI, expected a folder in {folder}, such as `model` of `mlflow artifacts download -u {name} "
            f"-d {folder / 'model'}`"
        )
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{path}: leads out of the folder of the model, expected a file in {folder}")
    return path


def tree_file_of(folder: Path, settings: TreeFile) -> Path:
    """Return the file of trees that a block names; of a folder of MLflow's the one in it."""
    from counterpoise.features.mlflow_models import trees_file

    return trees_file(file_of(folder, settings.trees))


def trees_on_table(
    samples: pd.DataFrame, folder: Path, dataset: Dataset, settings: TreeFile
) -> tuple[Ensemble, Ensemble]:
    """Return the trees of a file as they came, and on the columns of the encoded table."""
    from counterpoise.features.tree_files import match_columns, read_trees_file

    path = tree_file_of(folder, settings)
    model, columns = read_trees_file(path), feature_names(samples)
    sources = match_columns(
        model,
        columns,
        source=str(path),
        names=settings.columns,
        categories=settings.categories,
        indicators={name: indicator_name(name) for name in dataset.options.get("impute", ())},
        absent=not_features(dataset),
    )
    return model, onto(model, sources, len(columns))


Trained = TorchModule | ExportedProgram | SklearnFile | MlflowFolder
"""Models that are a head on features."""


def network_on_table(
    samples: pd.DataFrame, table: pd.DataFrame, folder: Path, settings: Trained, dataset: Dataset
) -> tuple[Cut, Float[Tensor, "N D"]]:
    """Return a user's network, cut before its head, and the rows that it takes.

    Of a linear classifier the rows are what its last step sees: nothing is before the head.
    """
    from counterpoise.features import mlflow_models as mlflow
    from counterpoise.features.modules import SAMPLE, build, cut, read_program

    path = file_of(folder, file_in(settings)) if not isinstance(settings, TorchModule) else folder
    if (estimator := estimator_of(folder, settings)) is not None:
        assert isinstance(settings, SklearnFile | MlflowFolder)
        return _linear(estimator, samples, table, settings, dataset)
    x = _chosen_columns(samples, settings)
    if isinstance(settings, TorchModule):
        network = build(settings.module, settings.arguments, folder)
        weights = None if settings.weights is None else file_of(folder, settings.weights)
        return cut(network, weights, x[:SAMPLE], head=settings.head, source=settings.module), x
    if isinstance(settings, MlflowFolder):
        path = mlflow.torch_file(path, mlflow.flavour_of(path)[1])
        if path.suffix != ".pt2":
            network = mlflow.read_pickled_network(path, settings.trust)
            return cut(network, None, x[:SAMPLE], head=settings.head, source=str(path)), x
    return read_program(path, x[:SAMPLE]), x


def estimator_of(folder: Path, settings: Trained) -> Any:
    """Return a linear classifier of scikit-learn's, or a pipeline that ends in one; None where the model is a network.

    Raises:
        InputError: it cannot be read, or is of trees.
    """
    from counterpoise.features import mlflow_models as mlflow
    from counterpoise.features.linear_files import read_skops

    if isinstance(settings, SklearnFile):
        return read_skops(file_of(folder, file_in(settings)), settings.trust)
    if not isinstance(settings, MlflowFolder):
        return None
    path = file_of(folder, file_in(settings))
    name, flavour = mlflow.flavour_of(path)
    if name in mlflow.TREES:
        raise InputError(f"{path}: has the flavour {name}, expected it under `trees`, and in a row's field `trees`")
    return mlflow.read_sklearn(path, flavour, settings.trust) if name == "sklearn" else None


def _chosen_columns(samples: pd.DataFrame, settings: Trained) -> Float[Tensor, "N D"]:
    columns, x = feature_names(samples), feature_matrix(samples)
    if settings.columns == ENCODED:
        return x
    for name in settings.columns:
        if name not in columns:
            raise InputError(f"columns: the encoded table has no {shown(name)}{suggest(name, columns)}")
    return x[:, [columns.index(name) for name in settings.columns]].contiguous()


def _linear(
    estimator: Any, samples: pd.DataFrame, table: pd.DataFrame, settings: SklearnFile | MlflowFolder, dataset: Dataset
) -> tuple[Cut, Float[Tensor, "N d"]]:
    from counterpoise.features.linear_files import linear_parts
    from counterpoise.features.modules import Cut, Headless

    source = file_in(settings)
    if len(table) != len(samples):
        raise InputError(
            f"{source}: the table has {len(table):,} rows, its features {len(samples):,}, expected as many"
        )
    rows = rows_taken(estimator, samples, table, settings, dataset).rows
    classes = [str(each) for each in dataset.classes]
    x, weight, bias = linear_parts(estimator, rows, classes, source)
    return Cut(Headless(torch.nn.Identity(), None), "linear", weight, bias, {}), x


def rows_taken(
    estimator: Any, samples: pd.DataFrame, table: pd.DataFrame, settings: SklearnFile | MlflowFolder, dataset: Dataset
) -> Taken:
    """Return the rows as an estimator takes them, their gaps filled or, where it deals with gaps itself, not."""
    from counterpoise.features.linear_files import taken

    encoded, gapped = samples[feature_names(samples)], with_gaps(table, dataset.options)
    return taken(estimator, encoded, table, settings.columns, file_in(settings), gapped=gapped)


def not_features(dataset: Dataset) -> dict[str, str]:
    """Return the columns of a data set that are no features, and why."""
    reasons = dict.fromkeys(dataset.drop, "in `drop` of the data set") | {dataset.label: "the label"}
    if dataset.together is not None:
        reasons[dataset.together] = "the column of `split.together`"
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
