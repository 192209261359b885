"""Convolutions without the filters that can be done without, with their batch norm and the layer that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor, nn


class Place(NamedTuple):
    """Where channels are computed and read, by name in `owner`: convolution, batch norm, ReLU, and whoever reads it."""

    owner: nn.Module
    conv: str
    norm: str
    reader: str

    @property
    def channels(self) -> int:
        """How many there are."""
        return layers_at(self)[0].out_channels


def places(module: nn.Module) -> list[Place]:
    """Return the places whose channels only one layer reads.

    In plain networks all of them; of residual networks those within torchvision's basic blocks: between blocks all
    channels are added to others.
    """
    chained = [name for name, part in module.named_children() if isinstance(part, nn.Conv2d | nn.Linear)]
    if isinstance(module, nn.Sequential):
        return [Place(module, conv, conv.replace("conv", "bn"), reader) for conv, reader in pairwise(chained)]
    return [Place(block, "conv1", "bn1", "conv2") for block in basic_blocks(module)]


def basic_blocks(module: nn.Module) -> Iterator[Any]:
    """Return torchvision's basic blocks, in order."""
    from torchvision.models.resnet import BasicBlock  # takes seconds, and tables do without

    return (part for part in module.modules() if isinstance(part, BasicBlock))


@torch.no_grad()
def slim(place: Place) -> bool:
    """Remove channels that are not used or 0 everywhere, all but one of them; return whether anything changed.

    If all could go, one stays with zero weights, which is as good as removed.
    """
    conv, norm, reader = layers_at(place)
    constant = (conv.weight == 0).flatten(1).all(dim=1) | (norm.weight == 0)
    outputs = norm.bias - norm.running_mean / (norm.running_var + norm.eps).sqrt() * norm.weight
    read = (reader.weight != 0).transpose(0, 1).flatten(1).any(dim=1)
    useless = ~read | (constant & (outputs <= 0))
    if not useless.any():
        return False
    idle = bool(conv.weight[useless].any() or reader.weight[:, useless].any())
    conv.weight[useless], reader.weight[:, useless] = 0, 0
    remaining = at_least_one(~useless)
    if not remaining.all():
        keep_channels(place, remaining)
    return idle or not bool(remaining.all())


def at_least_one(units: Bool[Tensor, "units"]) -> Bool[Tensor, "units"]:
    """Return the same, or the first alone where there is none."""
    return units if units.any() else torch.arange(len(units)) == 0


@torch.no_grad()
def keep_channels(place: Place, channels: Bool[Tensor, "channels"]) -> None:
    """Remove the other channels of a place."""
    conv, norm, reader = layers_at(place)
    small = nn.BatchNorm2d(int(channels.sum()), eps=norm.eps).train(norm.training)
    small.load_state_dict(
        {name: tensor[channels] if tensor.ndim else tensor for name, tensor in norm.state_dict().items()}
    )
    setattr(place.owner, place.conv, _part(conv, rows=channels))
    setattr(place.owner, place.norm, small)
    setattr(place.owner, place.reader, _part(reader, columns=channels))


def layers_at(place: Place) -> tuple[nn.Conv2d, Any, nn.Conv2d | nn.Linear]:
    """Return convolution, batch norm and reader."""
    conv, norm, reader = (place.owner.get_submodule(name) for name in place[1:])
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(reader, nn.Conv2d | nn.Linear)
    return conv, norm, reader


def _part(
    layer: nn.Conv2d | nn.Linear, *, rows: Tensor | None = None, columns: Tensor | None = None
) -> nn.Conv2d | nn.Linear:
    """Return a layer with some of the outputs, or of the inputs."""
    weight = layer.weight
    weight = weight if rows is None else weight[rows]
    weight = weight if columns is None else weight[:, columns]
    part: nn.Conv2d | nn.Linear
    has_bias, sizes = layer.bias is not None, (weight.shape[1], weight.shape[0])
    if isinstance(layer, nn.Linear):
        part = nn.utils.skip_init(nn.Linear, *sizes, bias=has_bias)  # nothing drawn: weights are about to be replaced
    else:
        part = nn.utils.skip_init(
            nn.Conv2d,
            *sizes,
            kernel_size=layer.kernel_size,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            bias=has_bias,
        )
    part.weight.copy_(weight)
    if part.bias is not None and layer.bias is not None:
        part.bias.copy_(layer.bias if rows is None else layer.bias[rows])
    return part.train(layer.training)
