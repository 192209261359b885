"""The block `models` of conf/: models of the user's that come trained, and become the frozen base of an experiment.

    models:
      churn: {trees: churn.txt}
      scorer: {module: "network:build", weights: scorer.safetensors, arguments: {width: 32}}
      credit: {sklearn: credit.skops}
      cards: {mlflow: model}

Files lie in data/01_raw/<name of the block>/. The first key says what a model is. A row of `experiments` names a block
of trees under `trees` and any other under `model`: what stands on it is of another shape. Images have backbones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from counterpoise.config.data import Settings
from counterpoise.data.values import Value
from counterpoise.errors import InputError

ENCODED = "encoded"
"""All columns of the encoded table, in its order."""

Columns = tuple[str, ...] | Literal["encoded"]
Ratios = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)]
DEFAULT_RATIOS = (0.25, 0.5)


class TreeFile(Settings):
    """Boosted trees in a file that `save_model` of LightGBM or of XGBoost (.json, .ubj) wrote, or an MLflow folder.

    columns: names of the model's columns in its order, where it was trained without; `encoded` for those of the
        encoded table, in its order.
    categories: of columns that it sees as codes 0, 1, …: the categories in the order of their codes. It knows those of
        pandas' categorical columns by itself.
    """

    trees: str
    columns: Columns = ()
    categories: dict[str, tuple[Value, ...]] = Field(default={})


class TorchModule(Settings):
    """A network of a table that a function makes.

    module: `package.module:function`, installed or beside the weights. arguments: what it is called with.
    weights: a state dict, in a safetensors file or a pickle of nothing but tensors; null if the function loads them.
    head: the name of its last linear layer, where it is not the one whose output is the network's.
    columns: what it takes, in its order, as the encoded table names them; `encoded` takes all of them.
    target_layers: names of other linear layers, `*` standing for any characters: `win_*` reports what weighted SVD in
        their place does to the network. target_ratios: shares of their parameters that the factors may have.
    """

    module: str = Field(pattern=r"^[\w.]+:\w+$")
    arguments: dict[str, Any] = Field(default={})
    weights: str | None = None
    head: str | None = None
    columns: Columns = "encoded"
    target_layers: tuple[str, ...] = ()
    target_ratios: Ratios = DEFAULT_RATIOS


class ExportedProgram(Settings):
    """A network of a table that `torch.export.save` wrote, with any number of rows. columns: see `TorchModule`."""

    program: str
    columns: Columns = "encoded"


class SklearnFile(Settings):
    """A linear classifier of scikit-learn's, or a pipeline that ends in one, in a file that `skops.io.dump` wrote.

    trust: full names of types in it that skops does not trust by itself.
    columns: what it takes, in its order, as the file or the encoded table names them; `encoded` takes those that it was
        fitted with, and all of the encoded table where it was fitted without names.
    """

    sklearn: str
    trust: tuple[str, ...] = ()
    columns: Columns = "encoded"


class MlflowFolder(Settings):
    """A folder of MLflow's, of the flavour sklearn (see `SklearnFile`) or pytorch (see `TorchModule`).

    trust: true reads pickles, which run code; or full names of types that skops does not trust by itself.
    head: the name of a network's last linear layer, where it is not the one whose output is the network's.
    columns: see `SklearnFile`, `TorchModule`. target_layers, target_ratios: of a network, see `TorchModule`.
    """

    mlflow: str
    trust: bool | tuple[str, ...] = False
    head: str | None = None
    columns: Columns = "encoded"
    target_layers: tuple[str, ...] = ()
    target_ratios: Ratios = DEFAULT_RATIOS


KINDS: dict[str, type[Settings]] = {
    "trees": TreeFile,
    "module": TorchModule,
    "program": ExportedProgram,
    "sklearn": SklearnFile,
    "mlflow": MlflowFolder,
}
"""The key that says what a model is → its settings."""


def _kind(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    named = [key for key in KINDS if key in value]
    if len(named) != 1:
        raise ValueError(f"it has {' and '.join(named) or 'none of them'}, expected one of {', '.join(KINDS)}")
    return KINDS[named[0]].model_validate(value)


Model = Annotated[TreeFile | TorchModule | ExportedProgram | SklearnFile | MlflowFolder, BeforeValidator(_kind)]
"""What a block of `models` may be."""


def require_kind(settings: Settings, path: str, experiment: str, *, trees: bool) -> None:
    """Raise InputError unless a block is one of trees where a row names trees, and none where it names a model."""
    if isinstance(settings, TreeFile) != trees:
        content, field = ("no trees", "model") if trees else ("trees", "trees")
        raise InputError(f"conf: {path} holds {content}, expected {experiment} to name it under `{field}`")


def file_in(settings: Settings) -> str:
    """Return what a block names: the file, folder or function that the model is."""
    return str(next(getattr(settings, key) for key, kind in KINDS.items() if isinstance(settings, kind)))
