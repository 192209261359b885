"""Folders that `mlflow.<flavour>.save_model` wrote, or `mlflow artifacts download` fetched: which file holds the model.

Their description, `MLmodel`, is YAML; MLflow itself is not needed. A pickle runs code when it is read, and is read only
where the configuration says `trust: true`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from counterpoise.errors import InputError, reason, shown
from counterpoise.features.linear_files import read_skops

DESCRIPTION = "MLmodel"
TREES = ("lightgbm", "xgboost")
SUPPORTED = ("sklearn", "pytorch", *TREES)
OBJECTS = (".skops", ".pkl", ".pickle")
"""The endings of files that hold a whole object of Python's, and not only its trees."""
TORCH_FILES = ("model.pt2", "model.pth")
"""In the folder of a pytorch flavour: what `torch.export.save` and `torch.save` wrote."""


def flavour_of(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return which of the supported flavours a folder has, with what MLflow says of it.

    Raises:
        InputError: it is no such folder, or has none of them.
    """
    path = folder / DESCRIPTION
    try:
        flavours = yaml.safe_load(path.read_text(encoding="utf-8"))["flavors"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}), expected a model folder of MLflow's") from None
    for name in SUPPORTED:
        if name in flavours:
            return name, dict(flavours[name])
    raise InputError(f"{path}: has the flavours {', '.join(flavours)}, expected one of {', '.join(SUPPORTED)}")


def trees_file(path: Path) -> Path:
    """Return the file of trees itself: of a folder of MLflow's the one in it."""
    if not path.is_dir():
        return path
    name, flavour = flavour_of(path)
    if name not in TREES:
        raise InputError(
            f"{path}: has the flavour {name}, expected {' or '.join(TREES)}: another one goes under `mlflow`"
        )
    if (data := _inside(path, flavour["data"])).suffix in OBJECTS:
        raise InputError(
            f"{data}: holds a {flavour.get('model_class', 'Python object')}, expected the booster in it: save "
            f"{'model.booster_' if name == 'lightgbm' else 'model.get_booster()'} in the place of the model"
        )
    return data


def read_sklearn(folder: Path, flavour: dict[str, Any], trust: bool | Sequence[str]) -> Any:
    """Read the estimator of a sklearn flavour.

    Args:
        trust: the types that skops may read beyond its own; true also reads pickles.
    """
    path = _inside(folder, flavour["pickled_model"])
    if flavour.get("serialization_format") == "skops":
        named = flavour.get("skops_trusted_types") or () if trust is True else trust or ()
        return read_skops(path, tuple(named))
    _require_trust(path, trust, "save it with serialization_format='skops'")
    with path.open("rb") as file:
        return importlib.import_module("cloudpickle").load(file)


def torch_file(folder: Path, flavour: dict[str, Any]) -> Path:
    """Return the file of a pytorch flavour."""
    data = _inside(folder, flavour["model_data"])
    for name in TORCH_FILES:
        if (data / name).is_file():
            return data / name
    raise InputError(f"{data}: has no {' or '.join(TORCH_FILES)}, expected what mlflow.pytorch.save_model writes")


def read_pickled_network(path: Path, trust: bool | Sequence[str]) -> torch.nn.Module:
    """Read a whole network that was pickled."""
    _require_trust(path, trust, "save it with serialization_format='pt2'")
    network = torch.load(path, "cpu", weights_only=False)
    if not isinstance(network, torch.nn.Module):
        raise InputError(f"{path}: holds a {type(network).__name__}, expected a torch.nn.Module")
    return network


def _require_trust(path: Path, trust: bool | Sequence[str], instead: str) -> None:
    if trust is not True:
        raise InputError(
            f"{path}: is a pickle, which runs code when it is read, expected `trust: true` of one whose origin "
            f"you know, or {instead}"
        )


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()) or not path.exists():
        raise InputError(f"{folder / DESCRIPTION}: names {shown(name)}, expected a file in the folder")
    return path
