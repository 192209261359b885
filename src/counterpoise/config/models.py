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

Columns = tuple[str, ...] | Literal["encoded"]


class TreeFile(Settings):
    """Boosted trees in a file that LightGBM wrote (`save_model`).

    columns: names of the model's columns in its order, where it was trained without; `encoded` for those of the
        encoded table, in its order.
    categories: of columns that it sees as codes 0, 1, …: the categories in the order of their codes. It knows those of
        pandas' categorical columns by itself.
    """

    trees: str
    columns: Columns = ()
    categories: dict[str, tuple[Value, ...]] = Field(default={})


KINDS: dict[str, type[Settings]] = {"trees": TreeFile}
"""The key that says what a model is → its settings."""


def _kind(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    named = [key for key in KINDS if key in value]
    if len(named) != 1:
        raise ValueError(f"it has {' and '.join(named) or 'none of them'}, expected one of {', '.join(KINDS)}")
    return KINDS[named[0]].model_validate(value)


Model = Annotated[TreeFile, BeforeValidator(_kind)]
"""What a block of `models` may be."""


def require_trees(settings: Settings, path: str, experiment: str) -> None:
    """Raise InputError unless a block is one of trees."""
    if not isinstance(settings, TreeFile):
        raise InputError(f"conf: {path} holds no trees, which {experiment} reads, expected it under `model` of the row")
