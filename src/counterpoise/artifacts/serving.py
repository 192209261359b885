"""The exported model: one network as a folder that `mlflow models predict` and `mlflow models serve` can use.

The folder holds no pickle: the weights are a safetensors file, the code is a readable copy of
`counterpoise.artifacts.exported`.
Two saves of a model give the same weights and code; MLflow writes the time and an id of its own into `MLmodel`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from jaxtyping import Float
from kedro.io import AbstractVersionedDataset, Version
from torch import Tensor

from counterpoise.artifacts.artifact import Artifact
from counterpoise.artifacts.datasets import Checkpoint, SafetensorsDataset, local_path, read_checkpoint
from counterpoise.errors import InputError

ARCHITECTURE = "exported"
CODE = Path(__file__).with_name("exported.py")
IMAGES_CODE = Path(__file__).with_name("exported_images.py")
BODY_CODE = Path(__file__).with_name("exported_body.py")
WEIGHTS = "model.safetensors"
TREES, GROUP_TREES = "trees.txt", "group_trees.txt"
NETWORK = "network.pt2"
BODIES = {"network": "body.pt2", "pipeline": "body.skops"}
"""The file of a `Body`, by its kind."""
IMAGE = "image"
"""The one column of models that read images."""
EXAMPLE = "input_example.json"  # the name is MLflow's
NEEDED = ("numpy", "pandas", "safetensors")
"""What a prediction needs beside MLflow, which adds itself; and LightGBM where there are trees."""
NEEDED_BY_IMAGES = ("torch", "pillow")
NEEDED_BY_BODIES = {"network": ("torch",), "pipeline": ("scikit-learn", "skops")}


@dataclass(frozen=True, eq=False)
class Rule:
    """A rule in bias scores: it decides by p(y, s | x) and its dither @ matrix (`methods.rules.linear`).

    Attributes:
        matrix: scores of the classes from the probabilities of (class, group), and from their dither.
        temperature, group_temperature: what log odds of the class and of the groups are divided by.
        group_heads: log odds of the groups within each class, on what the last layer sees [k, q + 1, G]; or
        group_trees: LightGBM's text, whose last input is the class.
    """

    matrix: Float[Tensor, "rows k"]
    temperature: float
    group_temperature: float
    group_heads: Float[Tensor, "k p G"] | None = None
    group_trees: str | None = None


@dataclass(frozen=True, eq=False)
class ImageNetwork:
    """What comes before the layers where the input is images.

    Attributes:
        program: a file of `torch.export` as bytes: images [N, 3, S, S], values 0 to 255, to D numbers.
        framing: how an image becomes the square that the network expects (`artifacts.exported_images.Images`).
    """

    program: bytes
    framing: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Body:
    """What a model that came trained makes of a row before its head.

    Attributes:
        kind: `network`, a file of `torch.export` from encoded columns to d features; or `pipeline`, a pipeline of
            scikit-learn's in a file of skops, whose last step is the classifier.
        content: of the file.
        columns: what it takes, in its order: encoded columns, or those of the file where `of_file` says so.
        outputs: d. named: whether a pipeline was fitted with names. trusted: types that skops has to be told to trust.
        gaps: columns of the file whose missing values a pipeline deals with itself, and their types.
    """

    kind: str
    content: bytes
    columns: tuple[str, ...]
    outputs: int
    of_file: bool = False
    named: bool = True
    trusted: tuple[str, ...] = ()
    gaps: Mapping[str, str] = field(default_factory=dict)

    @property
    def header(self) -> dict[str, Any]:
        """All but the content, as it is stored."""
        return {name: value for name, value in vars(self).items() if name != "content"}


@dataclass(frozen=True, eq=False)
class Servable:
    """One model that classifies rows of a table, with all that is needed to use it elsewhere.

    Attributes:
        encoding: from the columns of the table to D features (`data.encoding`).
        images: what makes D features of an image, in the place of the encoding; the one column is then `image`.
        body: what makes features of encoded columns, or of those of the file, where the model came trained.
        layers: weights [in, out] and biases [out], ReLU between two layers; the last gives one logit per class. None
            where the model is trees.
        trees: LightGBM's text, whose margin is the logit of the second class.
        threshold: of the log odds of the second class; the margin of layers and trees has been reduced by it, so that
            above 0 it decides for that class, and probabilities add it again.
        rule: what decides by the model's probabilities and those of the groups; None where the model itself decides.
        classes: their names; of two, the second is the positive one.
        label: the column that was learned.
        experiment: the name of the experiment.
        example: a few rows of real input, before they are encoded.
        mean, scale: subtracted from the features, and what they are then divided by; None takes them as they are.
        metadata: how the model was chosen; plain values that JSON can hold.
        folder: where it was read from; None for a model that was not read.
    """

    encoding: Mapping[str, Any]
    layers: tuple[tuple[Float[Tensor, "_ _"], Float[Tensor, "_"]], ...]
    classes: tuple[str, ...]
    label: str
    experiment: str
    example: pd.DataFrame
    mean: Float[Tensor, "D"] | None = None
    scale: Float[Tensor, "D"] | None = None
    trees: str | None = None
    threshold: float = 0.0
    rule: Rule | None = None
    images: ImageNetwork | None = None
    body: Body | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table that the model reads, in their order."""
        if self.images is not None:
            return (IMAGE,)
        further = self.body.columns if self.body is not None and self.body.of_file else ()
        return tuple(dict.fromkeys([*(entry["column"] for entry in self.encoding["columns"]), *further]))

    @property
    def needed(self) -> tuple[str, ...]:
        """Those of the columns that may not miss a value."""
        filled = {
            entry["column"] for entry in self.encoding["columns"] if entry["indicator"] or entry["fill"] is not None
        }
        return tuple(name for name in self.columns if name not in filled)

    def checkpoint(self) -> Checkpoint:
        """Return weights and header as they are stored; the example is not part of them."""
        tensors = {name: value for name in ("mean", "scale") if (value := getattr(self, name)) is not None}
        for number, (weight, bias) in enumerate(self.layers):
            tensors |= {f"weights.{number}": weight, f"biases.{number}": bias}
        names = ("encoding", "classes", "label", "experiment", "threshold", "metadata")
        header = {"architecture": ARCHITECTURE} | {name: getattr(self, name) for name in names}
        if self.images is not None:
            header["images"] = dict(self.images.framing)
        if self.body is not None:
            header["body"] = self.body.header
        if self.rule is not None:
            tensors["rule"] = self.rule.matrix
            if self.rule.group_heads is not None:
                tensors["group_heads"] = self.rule.group_heads
            header["temperatures"] = [self.rule.temperature, self.rule.group_temperature]
        return Checkpoint(tensors, header)

    def texts(self) -> dict[str, str]:
        """Return the LightGBM models by the names of their files."""
        texts = {TREES: self.trees, GROUP_TREES: None if self.rule is None else self.rule.group_trees}
        return {name: text for name, text in texts.items() if text is not None}

    def inputs(self) -> dict[str, str]:
        """Return in words what each column holds."""
        words: dict[str, str] = {}
        if self.images is not None:
            return {IMAGE: "the bytes of an image file, in base64"}
        for entry in self.encoding["columns"]:
            if not entry["indicator"]:
                content = f"one of {len(entry['categories'])} categories" if entry["categories"] else entry["kind"]
                words[entry["column"]] = content + ("" if entry["fill"] is None else ", may be missing")
        named = {entry["column"] for entry in self.encoding["columns"]}
        return {name: words.get(name, "may be missing" if name in named else "any value") for name in self.columns}


class _ServableFolder(AbstractVersionedDataset[Servable, Servable]):
    def __init__(
        self, filepath: str, version: Version | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(local_path(filepath), version)
        self.metadata = metadata

    def save(self, data: Servable) -> None:
        write_servable(data, Path(self._get_save_path()))

    def load(self) -> Servable:
        return read_servable(Path(self._get_load_path()))

    def _exists(self) -> bool:
        return (Path(self._get_load_path()) / "MLmodel").is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "version": self._version}


class ServableDataset(Artifact, _ServableFolder):
    """A `Servable` in an MLflow model folder of its own; a save replaces the whole folder."""


def write_servable(model: Servable, folder: Path) -> None:
    """Write the folder; MLflow runs the code on the example, and takes from it the signature of input and output."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")  # else a uv.lock nearby becomes the model's requirements
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    # No type of MLflow's takes whole numbers, decimals and missing values alike; the exported code checks every value.
    kind = AnyType() if model.images is None else DataType.binary
    taken = Schema([ColSpec(kind, name) for name in model.columns])
    parameters = ParamSchema([ParamSpec("unknown", DataType.string, "ignore")])
    described = Model()
    with TemporaryDirectory() as staging, _without_scan():
        weights = Path(staging) / WEIGHTS
        SafetensorsDataset(str(weights)).save(model.checkpoint())
        artifacts = {"model": str(weights)}
        for file, text in model.texts().items():
            (Path(staging) / file).write_text(text)
            artifacts[Path(file).stem] = str(Path(staging) / file)
        if model.images is not None:
            (Path(staging) / NETWORK).write_bytes(model.images.program)
            artifacts["network"] = str(Path(staging) / NETWORK)
        libraries = [*NEEDED, *(["lightgbm"] if model.texts() else []), *(NEEDED_BY_IMAGES if model.images else [])]
        code = [str(IMAGES_CODE)] * (model.images is not None)
        if model.body is not None:
            (Path(staging) / BODIES[model.body.kind]).write_bytes(model.body.content)
            artifacts["body"] = str(Path(staging) / BODIES[model.body.kind])
            libraries += NEEDED_BY_BODIES[model.body.kind]
            code.append(str(BODY_CODE))
        mlflow.pyfunc.save_model(
            folder,
            mlflow_model=described,
            python_model=CODE,
            artifacts=artifacts,
            input_example=model.example,
            signature=ModelSignature(taken, _answers(model), parameters),
            code_paths=code or None,
            pip_requirements=[f"{name}=={version(name)}" for name in libraries],
            metadata={
                "experiment": model.experiment,
                "label": model.label,
                "classes": list(model.classes),
                "inputs": model.inputs(),
                **model.metadata,
            },
        )
    # MLflow notes where code and weights came from; the folder is read by their names, on any machine.
    flavor = described.flavors[mlflow.pyfunc.FLAVOR_NAME]
    flavor["model_code_path"] = CODE.name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    described.save(folder / "MLmodel")


@contextmanager
def _without_scan() -> Iterator[None]:
    """Keep MLflow from reading the file lists of all installed packages, which takes seconds.

    It would look requirements up under the names of modules; ours are versions of packages that are installed. The
    place of its findings is a private one: where it is not there, MLflow reads the lists.
    """
    from mlflow.utils import requirements_utils

    name = "_MODULES_TO_PACKAGES"
    is_unread = getattr(requirements_utils, name, ()) is None
    if is_unread:
        setattr(requirements_utils, name, {})
    try:
        yield
    finally:
        if is_unread:
            setattr(requirements_utils, name, None)


def _answers(model: Servable) -> Any:
    """Return the columns of an answer."""
    from mlflow.types import ColSpec, DataType, Schema

    numbers = ["score", *(f"probability_{name}" for name in model.classes)]
    texts = ["unknown_categories"] * any(entry["kind"] == "category" for entry in model.encoding["columns"])
    kinds = {"prediction": DataType.string, **dict.fromkeys(numbers, DataType.double)}
    return Schema([ColSpec(kind, name) for name, kind in (kinds | dict.fromkeys(texts, DataType.string)).items()])


def read_servable(folder: Path) -> Servable:
    """Read an exported model.

    Raises:
        InputError: the folder holds no weights, or what they are is not an exported model.
    """
    path = folder / "artifacts" / WEIGHTS
    stored = read_checkpoint(path)
    if (architecture := stored.header.get("architecture")) != ARCHITECTURE:
        raise InputError(f"{path}: has the architecture {architecture!r}, expected {ARCHITECTURE!r}")
    example = json.loads((folder / EXAMPLE).read_text())
    tensors, header = stored.tensors, stored.header
    depth = sum(name.startswith("weights.") for name in tensors)
    texts = {name: file.read_text() for name in (TREES, GROUP_TREES) if (file := path.parent / name).is_file()}
    rule, images, body = None, None, None
    if "images" in header:
        images = ImageNetwork((path.parent / NETWORK).read_bytes(), header["images"])
    if "body" in header:
        described = header["body"]
        names = {name: tuple(described[name]) for name in ("columns", "trusted")}
        body = Body(content=(path.parent / BODIES[described["kind"]]).read_bytes(), **described | names)
    if "rule" in tensors:
        of_class, of_group = header["temperatures"]
        rule = Rule(tensors["rule"], of_class, of_group, tensors.get("group_heads"), texts.get(GROUP_TREES))
    return Servable(
        encoding=header["encoding"],
        layers=tuple((tensors[f"weights.{i}"], tensors[f"biases.{i}"]) for i in range(depth)),
        classes=tuple(header["classes"]),
        label=header["label"],
        experiment=header["experiment"],
        example=pd.DataFrame(example["data"], columns=example["columns"]),
        mean=tensors.get("mean"),
        scale=tensors.get("scale"),
        trees=texts.get(TREES),
        threshold=header["threshold"],
        rule=rule,
        images=images,
        body=body,
        metadata=header["metadata"],
        folder=folder,
    )
