"""A fine-tuned head on its perceptron as a model to export, and what exported models predict for rows of a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.artifacts.serving import Servable
from counterpoise.config.parameters import Dataset
from counterpoise.errors import InputError
from counterpoise.pipelines.shared.heads import read_heads
from counterpoise.pipelines.shared.trees import ARCHITECTURE as TREES
from counterpoise.pipelines.shared.trees import repaired_trees


def served_head(
    finetuned_heads: Checkpoint,
    pretrained: Checkpoint,
    encoding: Mapping[str, Any],
    dataset: Dataset,
    *,
    experiment: str,
    variant: str,
    seed: int,
    metadata: Mapping[str, Any],
) -> Servable:
    """Return the head of a variant and a seed with the layers below it, or the trees with its leaf values.

    Args:
        encoding: with the `example` of rows (`data.encoding.describe`).
        metadata: of the model, plain values.
    """
    r = list(finetuned_heads.header["seeds"]).index(seed)
    head = read_heads(finetuned_heads)[variant]
    described = dict(encoding)
    example = pd.DataFrame(described.pop("example"))
    named: dict[str, Any] = {"classes": tuple(dataset.classes), "label": dataset.label}
    named |= {"experiment": experiment, "metadata": metadata}
    if pretrained.header["architecture"] == TREES:
        return Servable(described, (), example=example, trees=repaired_trees(pretrained, head, r).text, **named)
    weight = head.first[r] if head.second is None else head.first[r] @ head.second[r]
    depth = sum(name.startswith("weights.") for name in pretrained.tensors)
    layers = [
        (pretrained.tensors[f"weights.{i}"][r, 0], pretrained.tensors[f"biases.{i}"][r, 0]) for i in range(depth - 1)
    ]
    mean, scale = (pretrained.tensors[name][r] if name in pretrained.tensors else None for name in ("mean", "scale"))
    return Servable(described, (*layers, (weight, head.bias[r])), example=example, mean=mean, scale=scale, **named)


def predictions(folder: Path, rows: pd.DataFrame, classes: Sequence[str]) -> Int64[np.ndarray, "N"]:
    """Return the classes that an exported model predicts for rows of the file.

    Raises:
        InputError: it does not take them.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    model = mlflow.pyfunc.load_model(str(folder)).unwrap_python_model()
    try:
        answer = model.predict(None, rows.reset_index(drop=True), {"unknown": "ignore"})
    except MlflowException as error:
        raise InputError(f"{folder}: does not take these rows ({error.message}), expected that it does") from error
    places = {name: place for place, name in enumerate(classes)}
    return answer["prediction"].map(places).to_numpy(dtype=np.int64)


def complete(rows: pd.DataFrame, dataset: Dataset, used: Sequence[str]) -> Bool[np.ndarray, "N"]:
    """Return which rows miss no value that a model needs; what readers fill may be missing."""
    filled = set(dataset.options.get("impute") or ())
    categories = dataset.options.get("missing_category")
    if isinstance(categories, Mapping):
        filled |= set(categories)
    elif categories is not None:
        filled |= {name for name in used if not pd.api.types.is_numeric_dtype(rows[name])}
    needed = [name for name in used if name not in filled]
    return rows[needed].notna().all(axis=1).to_numpy(dtype=bool)


def choice(value: Any, values: Sequence[Any], name: str) -> Any:
    """Return the value that was asked for, or the only one; of seeds the first.

    Raises:
        InputError: it is none of the values, or none was asked for and there are several.
    """
    if value is None and (len(values) == 1 or name == "seed"):
        return values[0]
    if value not in values:
        what = "is not given" if value is None else f"is {value!r}"
        raise InputError(f"{name} {what}, expected one of {', '.join(map(str, values))}")
    return value
