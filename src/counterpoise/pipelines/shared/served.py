"""A fine-tuned head on what it stands on as a model to export, and what exported models predict for rows of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.artifacts.serving import IMAGE, ImageNetwork, Servable
from counterpoise.config.parameters import Backbone, Dataset
from counterpoise.data.partitions import FILE
from counterpoise.errors import InputError, shown, suggest
from counterpoise.nn import Factors
from counterpoise.pipelines.shared.heads import read_heads
from counterpoise.pipelines.shared.trees import ARCHITECTURE as TREES
from counterpoise.pipelines.shared.trees import repaired_trees

IMAGES_AT_ONCE = 256
"""Images in memory while models predict them."""
EXAMPLES = 2
"""Images of a model's example."""
AGREEMENT = 0.98
"""The cosine with features that are computed again: the run may have computed in bfloat16, with one of 0.996 and more;
another size or other weights have one below 0.97 (EfficientNet-Lite0)."""


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
    """
    r = list(finetuned_heads.header["seeds"]).index(seed)
    head = read_heads(finetuned_heads)[variant]
    described = dict(encoding)
    example = pd.DataFrame(described.pop("example"))
    named: dict[str, Any] = {"classes": tuple(dataset.classes), "label": dataset.label}
    named |= {"experiment": experiment, "metadata": metadata}
    if pretrained.header["architecture"] == TREES:
        return Servable(described, (), example=example, trees=repaired_trees(pretrained, head, r).text, **named)
    depth = sum(name.startswith("weights.") for name in pretrained.tensors)
    layers = [
        (pretrained.tensors[f"weights.{i}"][r, 0], pretrained.tensors[f"biases.{i}"][r, 0]) for i in range(depth - 1)
    ]
    mean, scale = (pretrained.tensors[name][r] if name in pretrained.tensors else None for name in ("mean", "scale"))
    return Servable(described, (*layers, _layer(head, r)), example=example, mean=mean, scale=scale, **named)


def served_image_head(
    finetuned_heads: Checkpoint,
    images: ImageNetwork,
    example: pd.DataFrame,
    dataset: Dataset,
    *,
    experiment: str,
    variant: str,
    seed: int,
    metadata: Mapping[str, Any],
) -> Servable:
    """Return the head of a variant and a seed on the backbone of images.

    Args:
        images: the backbone (`image_network`). example: the bytes of a few images.
    """
    r = list(finetuned_heads.header["seeds"]).index(seed)
    return Servable(
        {"columns": []},
        (_layer(read_heads(finetuned_heads)[variant], r),),
        classes=tuple(dataset.classes),
        label=dataset.label,
        experiment=experiment,
        example=example,
        images=images,
        metadata=metadata,
    )


def _layer(head: Factors, replicate: int) -> tuple[Float[Tensor, "d k"], Float[Tensor, "k"]]:
    """Return a head as one layer, weights and biases."""
    first = head.first[replicate]
    return first if head.second is None else first @ head.second[replicate], head.bias[replicate]


def image_network(
    files: Sequence[Path], features: Checkpoint, dataset: Dataset, settings: Backbone, experiment: str
) -> ImageNetwork:
    """Return the frozen backbone of an experiment on images.

    Args:
        files: the first images of the experiment. features: of all of them, in their order.

    Raises:
        InputError: the backbone's weights are not those whose features these are.
    """
    from counterpoise.artifacts.networks_served import image_head
    from counterpoise.data.images import decode
    from counterpoise.features.backbones import Described, backbone

    network = backbone(
        settings.name,
        weights=settings.weights,
        size=settings.image_size,
        download=settings.download,
        described=Described(settings.arguments, settings.layer, settings.mean, settings.std),
    )
    limits: dict[str, Any] = {"max_pixels": dataset.limits.image_pixels, "value_range": dataset.image_range}
    pixels = [decode(file, **limits) for file in files]
    computed = network(torch.stack([network.preprocess.frame(image) for image in pixels]))
    expected = features.tensors["features"][: len(files)].float()
    if torch.cosine_similarity(computed.flatten(), expected.flatten(), dim=0) < AGREEMENT:
        raise InputError(
            f"{experiment}: the backbone {settings.name!r} gives other features than the run has used, "
            "expected the weights and the size of the run"
        )
    return image_head(network.module, network.preprocess, network.d, **limits)


def on_images(model: Servable, images: ImageNetwork, example: pd.DataFrame) -> Servable:
    """Return a model of features as one of the images that they are of; its other arguments as `served_image_head`."""
    return replace(model, images=images, encoding={"columns": []}, example=example, folder=None)


def bytes_of(files: Sequence[Path]) -> pd.DataFrame:
    """Return images as a model takes them."""
    return pd.DataFrame({IMAGE: [file.read_bytes() for file in files]})


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
    places = {name: place for place, name in enumerate(classes)}
    codes = [np.empty(0, dtype=np.int64)]
    for taken in _as_served(rows.reset_index(drop=True)):
        try:
            answer = model.predict(None, taken, {"unknown": "ignore"})
        except MlflowException as error:
            raise InputError(f"{folder}: does not take these rows ({error.message}), expected that it does") from error
        codes.append(answer["prediction"].map(places).to_numpy(dtype=np.int64))
    return np.concatenate(codes)


def _as_served(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the rows as a model is asked about them: of images, a few hundred at a time, their bytes."""
    if FILE not in rows:
        yield rows
        return
    for start in range(0, len(rows), IMAGES_AT_ONCE):
        yield bytes_of([Path(file) for file in rows[FILE].iloc[start : start + IMAGES_AT_ONCE]])


def complete(rows: pd.DataFrame, models: Sequence[Servable]) -> Bool[np.ndarray, "N"]:
    """Return which rows miss no value that one of the models needs; what it fills may be missing.

    Raises:
        InputError: a model reads a column that the rows do not have.
    """
    for model in models:
        for name in model.columns:
            if name not in rows:
                raise InputError(
                    f"{model.folder}: the model reads the column {shown(name)}{suggest(name, rows.columns)}"
                )
    needed = [*dict.fromkeys(name for model in models for name in model.needed)]
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
