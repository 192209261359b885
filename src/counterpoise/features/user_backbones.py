"""Backbones of images that are not published here: a user's function, a `torch.export` file, or a name of timm.

backbone("faces.network:classifier", "faces.safetensors", size=96, given={"arguments": {"width": 32}})
backbone("timm/mobilenetv3_small_100", "mobilenet.safetensors")
backbone("faces.pt2", "built", size=96)
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from counterpoise.errors import InputError, reason, shown, suggest
from counterpoise.features.modules import Cut, build, cut, read_program
from counterpoise.features.weights import fingerprint, is_path
from counterpoise.nn.preprocessing import Preprocessing

BUILT = "built"
"""Instead of a file of weights: the network has them when it is made."""

PROGRAM = ".pt2"
TIMM = "timm/"
EDGE = 224
"""Of images, where nothing says what a network was trained on."""


SAMPLE = 4
"""Images on which a network is tried."""


@dataclass(frozen=True)
class Described:
    """What is said of a network that is not published here.

    arguments: of the function that makes it, or of `timm.create_model`. layer: the name of its head, where it does not
    end in it. mean, std: of the colour channels, subtracted and divided by, as shares of white.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    layer: str | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


def is_described(name: str) -> bool:
    """Whether a name is one of these, and not one of a published network."""
    return ":" in name or name.startswith(TIMM) or name.endswith(PROGRAM)


def read_network(name: str, weights: str, size: int | None, described: Described) -> tuple[Cut, Preprocessing, str]:
    """Return the network cut before its head, what it expects of images, and its digest.

    Raises:
        InputError: it cannot be made or read, its weights do not fit, or it fails on images of that size.
    """
    if name.startswith(TIMM):
        network, preprocess = _of_timm(name.removeprefix(TIMM), described.arguments)
        preprocess = preprocess if size is None else preprocess.scaled(size)
    else:
        edge = size or EDGE
        preprocess = Preprocessing(resize=edge, crop=edge, mean=described.mean, std=described.std)
    sample = torch.rand(SAMPLE, 3, preprocess.crop, preprocess.crop, generator=torch.Generator().manual_seed(0))
    if name.endswith(PROGRAM):
        if weights != BUILT:
            raise InputError(f"weights: {name} has its own, found {weights!r}, expected {BUILT!r}")
        part = read_program(Path(name), sample)
    else:
        if weights != BUILT and not is_path(weights):
            raise InputError(f"weights: found {weights!r} for {name}, expected a file or {BUILT!r}")
        if name.startswith(TIMM) and weights == BUILT:
            raise InputError(f"weights: {name} is made without any, expected a file")
        if ":" in name:
            network = build(name, described.arguments, Path.cwd())
        file = None if weights == BUILT else Path(weights)
        part = cut(network, file, sample, head=described.layer, source=name)
    state = part.state or dict(part.body.state_dict()) | {"weight": part.weight, "bias": part.bias}
    return part, preprocess, fingerprint(state, name, repr(preprocess))


def _of_timm(name: str, arguments: Mapping[str, Any]) -> tuple[nn.Module, Preprocessing]:
    try:
        timm, data = importlib.import_module("timm"), importlib.import_module("timm.data")
    except ImportError:
        raise InputError(
            f"backbone: {TIMM}{name} needs the package 'timm', expected it from `pip install counterpoise[timm]`"
        ) from None
    names = timm.list_models()
    if name.partition(".")[0] not in names:
        raise InputError(f"backbone: timm has no {name!r}{suggest(name, names)}")
    try:
        network = timm.create_model(name, **{**arguments, "pretrained": False})
    except Exception as error:  # what a network makes of arguments
        raise InputError(
            f"backbone: timm cannot make {name!r} with {shown(dict(arguments))} ({reason(error)})"
        ) from None
    trained = data.resolve_model_data_config(network)
    edge = trained["input_size"][-1]
    return network, Preprocessing(
        resize=round(edge / trained["crop_pct"]),
        crop=edge,
        mean=tuple(trained["mean"]),
        std=tuple(trained["std"]),
        interpolation=trained["interpolation"],
    )
