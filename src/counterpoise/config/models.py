"""The block `models` of conf/: models of the user's that come trained, and become the frozen base of an experiment.

    models:
      churn: {trees: churn.txt}
      scorer: {module: "network:build", weights: scorer.safetensors, arguments: {width: 32}}

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


class TreeFile(Settings):
    """Boosted trees in a file that `save_model` of LightGBM, or of XGBoost (.json, .ubj), wrote.

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
    """

    module: str = Field(pattern=r"^[\w.]+:\w+$")
    arguments: dict[str, Any] = Field(default={})
    weights: str | None = None
    head: str | None = None
    columns: Columns = "encoded"


class ExportedProgram(Settings):
    """A network of a table that `torch.export.save` wrote, with any number of rows. columns: see `TorchModule`."""

    program: str
    columns: Columns = "encoded"


KINDS: dict[str, type[Settings]] = {"trees": TreeFile, "module": TorchModule, "program": ExportedProgram}
"""The key that says what a model is → its settings."""


def _kind(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    named = [key for key in KINDS if key in value]
    if len(named) != 1:
        raise ValueError(f"it has {' and '.join(named) or 'none of them'}, expected one of {', '.join(KINDS)}")
    return KINDS[named[0]].model_validate(value)


Model = Annotated[TreeFile | TorchModule | ExportedProgram, BeforeValidator(_kind)]
"""What a block of `models` may be."""


def require_kind(settings: Settings, path: str, experiment: str, *, trees: bool) -> None:
    """Raise InputError unless a block is one of trees where a row names trees, and none where it names a model."""
    if isinstance(settings, TreeFile) != trees:
        found, field = ("no trees", "model") if trees else ("trees", "trees")
        raise InputError(f"conf: {path} holds {found}, expected {experiment} to name it under `{field}`")
