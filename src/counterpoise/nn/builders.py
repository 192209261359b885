"""How networks are made: small values that travel to worker processes and always make the same networks.

build = StackedBuilder(inputs=98, hidden=(32,) * 11, outputs=1, seeds=(0, 1, 2), dropout=0.2)
network = build()            # initial weights of seeds 0, 1, 2
wider = build(outputs=4)     # the same with four logits
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterpoise.errors import InputError
from counterpoise.nn.networks import Networks, SingleNetwork, StackedNetwork, State
from counterpoise.nn.random import generator, generators

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colour channels, as torchvision's published weights expect them."""

HEAD = "fc"
"""What the last linear layer of networks that read images is called."""


@runtime_checkable
class Builder(Protocol):
    """Makes networks with the initial weights of its seeds."""

    def __call__(self, outputs: int | None = None) -> Networks:
        """Return them, with another number of logits if one is given."""

    def replicate(self, r: int) -> Builder:
        """Return the builder of one replicate alone."""


@dataclass(frozen=True, eq=False)
class StackedBuilder:
    """Perceptrons for tables; see `StackedNetwork`.

    Attributes:
        inputs: D. hidden: the hidden widths. outputs: logits; one for two classes.
        mean, scale: of the input, [R, D].
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    seeds: tuple[int, ...]
    dropout: float = 0.0
    mean: Float[Tensor, "R D"] | None = None
    scale: Float[Tensor, "R D"] | None = None

    def __call__(self, outputs: int | None = None) -> Networks:
        return StackedNetwork(
            [self.inputs, *self.hidden, self.outputs if outputs is None else outputs],
            generators=generators(self.seeds, "initial weights"),
            dropout=self.dropout,
            mean=self.mean,
            scale=self.scale,
        )

    def replicate(self, r: int) -> StackedBuilder:
        mean, scale = (None if part is None else part[r : r + 1] for part in (self.mean, self.scale))
        return replace(self, seeds=self.seeds[r : r + 1], mean=mean, scale=scale)


@dataclass(frozen=True, kw_only=True)
class ImageBuilder(ABC):
    """Networks that read images, one at a time: they are too large to be stacked.

    Attributes:
        outputs: logits; one for two classes.
        seeds: of which there must be one when it builds.
        accelerated: use a GPU where there is one.
    """

    outputs: int
    seeds: tuple[int, ...]
    accelerated: bool = True

    def __call__(self, outputs: int | None = None) -> Networks:
        module = deepcopy(_initial(self, self.outputs if outputs is None else outputs))
        self.begin(module)
        network = SingleNetwork(module, head=HEAD, mean=IMAGENET_MEAN, std=IMAGENET_STD)
        return network.to(self.device)

    @abstractmethod
    def module(self, outputs: int) -> nn.Module:
        """Return the module, images [B, 3, H, W] to logits [B, k], whose last linear layer is called `HEAD`."""

    def begin(self, module: nn.Module) -> None:  # noqa: B027
        """Put the weights in that it begins with, where they are not those that were drawn."""

    @property
    def device(self) -> torch.device:
        """Return where networks are put."""
        return torch.device("cuda" if self.accelerated and torch.cuda.is_available() else "cpu")

    def replicate(self, r: int) -> ImageBuilder:
        return replace(self, seeds=self.seeds[r : r + 1])


@lru_cache(maxsize=2)
def _initial(builder: ImageBuilder, outputs: int) -> nn.Module:
    """Return a builder's module with its initial weights, to be copied.

    Methods build the network that they load their state into anew, and drawing weights takes longer than copying them.
    """
    (seed,) = builder.seeds
    with torch.random.fork_rng(devices=[]):
        # torch's layers draw initial weights from the global generator, whose state is put back afterwards.
        torch.manual_seed(generator(seed, "initial weights").initial_seed())
        return builder.module(outputs)


@dataclass(frozen=True, eq=False)
class InitialWeights:
    """Published weights to begin with, and the file they are from, for sentences."""

    source: str
    state: State


@dataclass(frozen=True, kw_only=True)
class ResNetBuilder(ImageBuilder):
    """A ResNet-18 for small images, with a 3×3 stem and no pooling before the first block, as is usual at 32×32.

    Attributes:
        width: channels of the first stage; 64 is the published network, less makes it smaller for a processor.
        pooled: the published 7×7 stem with pooling, for larger images.
        weights: to begin with, of the published width; their last layer is not taken, nor a stem that does not fit.
    """

    width: int = 64
    pooled: bool = False
    weights: InitialWeights | None = None

    def module(self, outputs: int) -> nn.Module:
        module: nn.Module = resnet18(outputs, self.width, pooled=self.pooled)
        return module

    def begin(self, module: nn.Module) -> None:
        if self.weights is not None:
            _begin_with(module, self.weights)


@dataclass(frozen=True, kw_only=True)
class PlainConvBuilder(ImageBuilder):
    """Convolutions one after the other, each with batch norm and ReLU; then the mean over the image, a linear layer.

    Biased-MNIST's network (Bahng et al., 2020; FFW) has kernels of 7×7, no strides, and 16, 32, 64 and 128 channels.

    Attributes:
        widths: channels of each convolution. kernel: edge of the kernels, odd. strides: as many as widths.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128)
    kernel: int = 7
    strides: tuple[int, ...] = (1, 1, 1, 1)

    def module(self, outputs: int) -> nn.Module:
        layers: dict[str, nn.Module] = {}
        channels = zip(pairwise((3, *self.widths)), self.strides, strict=True)
        for number, ((entering, leaving), stride) in enumerate(channels, 1):
            layers[f"conv{number}"] = nn.Conv2d(
                entering, leaving, self.kernel, stride=stride, padding=self.kernel // 2, bias=False
            )
            layers[f"bn{number}"] = nn.BatchNorm2d(leaving)
            layers[f"relu{number}"] = nn.ReLU()
        layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), HEAD: nn.Linear(self.widths[-1], outputs)}
        return nn.Sequential(OrderedDict(layers))


@dataclass(frozen=True, kw_only=True)
class PixelPerceptronBuilder(ImageBuilder):
    """A perceptron that reads the pixels: Multi-Color MNIST's network has three hidden layers of 100 (FFW).

    Attributes:
        inputs: numbers of an image, 3·H·W. widths: of the hidden layers, each followed by a ReLU.
    """

    inputs: int
    widths: tuple[int, ...] = (100, 100, 100)

    def module(self, outputs: int) -> nn.Module:
        layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
        for number, (entering, leaving) in enumerate(pairwise((self.inputs, *self.widths)), 1):
            layers |= {f"linear{number}": nn.Linear(entering, leaving), f"relu{number}": nn.ReLU()}
        return nn.Sequential(OrderedDict(layers | {HEAD: nn.Linear(self.widths[-1], outputs)}))


def resnet18(outputs: int, width: int, *, pooled: bool) -> Any:
    """Return the module of `ResNetBuilder`, its weights drawn from torch's global generator."""
    from torchvision.models.resnet import BasicBlock, ResNet  # takes seconds, and tables do without

    module: Any = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=outputs)
    if not pooled:
        module.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        module.maxpool = nn.Identity()
    elif width != module.inplanes:
        module.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
    module.bn1 = nn.BatchNorm2d(width)
    entering = width
    for stage in range(4):
        leaving, stride, shortcut = width * 2**stage, 1 if stage == 0 else 2, None
        if stage:
            conv = nn.Conv2d(entering, leaving, 1, stride=stride, bias=False)
            shortcut = nn.Sequential(conv, nn.BatchNorm2d(leaving))
        blocks = BasicBlock(entering, leaving, stride, shortcut), BasicBlock(leaving, leaving)
        setattr(module, f"layer{stage + 1}", nn.Sequential(*blocks))
        entering = leaving
    module.fc = nn.Linear(width * 8, outputs)
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    return module


def _begin_with(module: nn.Module, weights: InitialWeights) -> None:
    """Take all weights that fit, and insist that only the first and the last layer do not."""
    published, drawn = weights.state, module.state_dict()
    other = [name for name in drawn if name not in published or published[name].shape != drawn[name].shape]
    if unexpected := [name for name in other if not name.startswith(("fc.", "conv1."))]:
        raise InputError(
            f"{weights.source}: does not fit a ResNet-18 at {unexpected[0]!r}, expected weights of the same width"
        )
    module.load_state_dict({name: published[name] for name in drawn if name not in other}, strict=False)
