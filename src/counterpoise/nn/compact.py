"""Pruned networks as small, plain torch modules: what is wholly pruned is cut out, with the same outputs.

    small = compact(network, 3, masked(network.weights(), masks))      # replicate 3
    again = rebuild(describe(small), small.state_dict())               # from values that files can hold

A hidden unit or filter is cut out where nobody reads it, or where nothing comes in and it says the same of every row.
What that saves: `counterpoise.nn.costs`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn

from counterpoise.nn.builders import resnet18
from counterpoise.nn.networks import Networks, SingleNetwork, StackedNetwork, State, Weights


def plain(network: Networks, replicate: int = 0, weights: Weights | None = None) -> nn.Module:
    """Return one of the networks as a torch module in eval mode, on the CPU, with nothing cut out.

    It takes what the network takes, without the axis R and as floating-point numbers, standardises it itself, and
    returns logits [B, k].

    Args:
        weights: that stand in for some of the network's, all replicates'.
    """
    own = _own_state(network, replicate, weights)
    if isinstance(network, StackedNetwork):
        return _perceptron(_layers(network, own), own)
    return _standing_alone(network, own)


def compact(network: Networks, replicate: int = 0, weights: Weights | None = None) -> nn.Module:
    """Return one of the networks as `plain` does, without the units or filters that can be done without.

    Of perceptrons, hidden units; of residual networks, the channels within torchvision's basic blocks: between blocks
    all channels are added to others. A constant other than 0 is passed on as a bias by perceptrons; in a convolutional
    network such a filter stays, since at the edges, where zeros are added, it does not look constant. At least one
    unit of each layer stays.
    """
    own = _own_state(network, replicate, weights)
    if isinstance(network, StackedNetwork):
        layers = _layers(network, own)
        while _cut(layers):
            pass
        return _perceptron(layers, own)
    module = _standing_alone(network, own)
    for block in _basic_blocks(module):
        _slim(block)
    return module


def _own_state(network: Networks, replicate: int, weights: Weights | None) -> State:
    state = network.state() | dict(weights or {})
    return {name: tensor[replicate].detach().cpu() for name, tensor in state.items()}


@dataclass
class _Layer:
    """A linear layer in double precision, and what follows its ReLU; the last layer has neither."""

    weight: Float64[Tensor, "out in"]
    bias: Float64[Tensor, "out"]
    norm: dict[str, Float64[Tensor, "out"]] | None

    def constants(self) -> Float64[Tensor, "out"]:
        """Return what the units say where nothing comes in."""
        said = self.bias.relu()
        if self.norm is None:
            return said
        spread = (self.norm["running_var"] + nn.BatchNorm1d(1).eps).sqrt()
        return (said - self.norm["running_mean"]) / spread * self.norm["gamma"] + self.norm["beta"]

    def keep(self, units: Bool[Tensor, "out"]) -> None:
        """Do without the other units."""
        self.weight, self.bias = self.weight[units], self.bias[units]
        if self.norm is not None:
            self.norm = {kind: tensor[units] for kind, tensor in self.norm.items()}


def _layers(network: StackedNetwork, own: State) -> list[_Layer]:
    made = []
    for layer in range(network.layers):
        kinds = ("gamma", "beta", "running_mean", "running_var")
        normalized = network.normalized and layer < network.layers - 1
        norm = {kind: own[f"{kind}{layer}"].double() for kind in kinds} if normalized else None
        made.append(_Layer(own[f"weight{layer}"].double(), own[f"bias{layer}"].double().flatten(), norm))
    return made


def _cut(layers: list[_Layer]) -> bool:
    """Pass constants on to the next layer and cut out units that are not read; return whether there were any."""
    changed = False
    for layer, following in pairwise(layers):
        constant = (layer.weight == 0).all(dim=1)
        following.bias = following.bias + following.weight[:, constant] @ layer.constants()[constant]
        following.weight = following.weight.masked_fill(constant, 0)
        read = (following.weight != 0).any(dim=0)
        if idle := bool(layer.weight[~read].any()):  # what the one that must stay reads need not stay
            layer.weight = layer.weight.masked_fill(~read.unsqueeze(1), 0)
        kept = _at_least_one(read)
        layer.keep(kept)
        following.weight = following.weight[:, kept]
        changed = changed or idle or not bool(kept.all())
    return changed


def _at_least_one(kept: Bool[Tensor, "units"]) -> Bool[Tensor, "units"]:
    return kept if kept.any() else torch.arange(len(kept)) == 0


def _perceptron(layers: list[_Layer], own: State) -> nn.Module:
    widths = [layers[0].weight.shape[1], *(len(layer.bias) for layer in layers)]
    module = _chain(widths, standardized="mean" in own, normalized=layers[0].norm is not None)
    parts = iter(module)
    if "mean" in own:
        _say_standardizing(next(parts), own["mean"], own["scale"])
    names = {"gamma": "weight", "beta": "bias"}
    for layer in layers:
        next(parts).load_state_dict({"weight": layer.weight, "bias": layer.bias})
        if layer is not layers[-1]:
            next(parts)  # ReLU
        if layer.norm is not None:
            norm = {names.get(kind, kind): tensor for kind, tensor in layer.norm.items()}
            next(parts).load_state_dict(norm, strict=False)
    return module.eval()


def _chain(widths: Sequence[int], *, standardized: bool, normalized: bool) -> nn.Sequential:
    """Return a perceptron whose numbers are still to be filled in."""
    parts: list[nn.Module] = [_standardizing(nn.BatchNorm1d, widths[0])] if standardized else []
    for number, (fan_in, fan_out) in enumerate(pairwise(widths), start=2):
        parts.append(nn.utils.skip_init(nn.Linear, fan_in, fan_out))
        if number < len(widths):
            parts += [nn.ReLU(), *([nn.BatchNorm1d(fan_out)] if normalized else [])]
    return nn.Sequential(*parts)


def _standing_alone(network: Networks, own: State) -> nn.Module:
    assert isinstance(network, SingleNetwork)
    module = copy.deepcopy(network.module).cpu()
    module.get_submodule(network.head)._forward_pre_hooks.clear()  # of the original, which listens there
    module.load_state_dict(own)
    standardizing = _standardizing(nn.BatchNorm2d, network.mean.numel())
    _say_standardizing(standardizing, *(statistic.cpu().flatten() for statistic in (network.mean, network.std)))
    return nn.Sequential(standardizing, module).eval()


def _standardizing(kind: Any, channels: int) -> nn.Module:
    """Return what computes (x − mean) / scale: a batch norm, which every runtime and exporter knows."""
    norm: nn.Module = kind(channels, eps=0.0, affine=False)
    return norm


def _say_standardizing(norm: nn.Module, mean: Tensor, scale: Tensor) -> None:
    norm.load_state_dict({"running_mean": mean, "running_var": scale.square()}, strict=False)


def _basic_blocks(module: nn.Module) -> Iterator[Any]:
    from torchvision.models.resnet import BasicBlock  # takes seconds, and tables do without

    return (part for part in module.modules() if isinstance(part, BasicBlock))


@torch.no_grad()
def _slim(block: Any) -> None:
    """Cut out the inner channels of a block: conv1, bn1, ReLU, conv2."""
    norm = block.bn1
    empty = (block.conv1.weight == 0).flatten(1).all(dim=1)
    said = norm.bias - norm.running_mean / (norm.running_var + norm.eps).sqrt() * norm.weight
    read = (block.conv2.weight != 0).transpose(0, 1).flatten(1).any(dim=1)
    kept = _at_least_one(read & ~(empty & (said <= 0)))
    if not kept.all():
        _keep_channels(block, kept)


@torch.no_grad()
def _keep_channels(block: Any, kept: Bool[Tensor, "channels"]) -> None:
    """Do without the other inner channels of a block."""
    norm = block.bn1
    block.conv1, block.conv2 = _part(block.conv1, rows=kept), _part(block.conv2, columns=kept)
    small = nn.BatchNorm2d(int(kept.sum()), eps=norm.eps).train(norm.training)
    small.load_state_dict({name: tensor[kept] if tensor.ndim else tensor for name, tensor in norm.state_dict().items()})
    block.bn1 = small


def _part(conv: nn.Conv2d, *, rows: Tensor | None = None, columns: Tensor | None = None) -> nn.Conv2d:
    """Return a convolution with some of the output channels, or of the input channels."""
    weight = conv.weight
    weight = weight if rows is None else weight[rows]
    weight = weight if columns is None else weight[:, columns]
    made: nn.Conv2d = nn.utils.skip_init(  # nothing drawn: the weights are about to be replaced
        nn.Conv2d,
        weight.shape[1],
        weight.shape[0],
        kernel_size=conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        bias=conv.bias is not None,
    )
    made.weight.copy_(weight)
    if made.bias is not None and conv.bias is not None:
        made.bias.copy_(conv.bias if rows is None else conv.bias[rows])
    return made.train(conv.training)


def describe(module: nn.Module) -> dict[str, Any]:
    """Return what a module of `plain` or `compact` is made of, in values that JSON can hold.

    A perceptron: `kind`, its `widths`, and whether it is `standardized` and `normalized`. A ResNet-18: `kind`,
    `outputs`, `width`, `pooled` (see `ResNetBuilder`), and the `inner` channels of its blocks, in order.
    """
    parts = list(module.children())
    layers = [part for part in parts if isinstance(part, nn.Linear)]
    if not layers:
        network: Any = parts[-1]
        return {
            "kind": "resnet18",
            "outputs": network.fc.out_features,
            "width": network.conv1.out_channels,
            "pooled": not isinstance(network.maxpool, nn.Identity),
            "inner": [block.conv1.out_channels for block in _basic_blocks(network)],
        }
    return {
        "kind": "perceptron",
        "widths": [layers[0].in_features, *(layer.out_features for layer in layers)],
        "standardized": parts[0] is not layers[0],
        "normalized": any(isinstance(part, nn.BatchNorm1d) for part in parts[2:]),
    }


def rebuild(description: Mapping[str, Any], state: Mapping[str, Tensor]) -> nn.Module:
    """Return the module that `describe` has described, with a state of its own, in eval mode."""
    known = dict(description)
    kind = known.pop("kind")
    module = _chain(**known) if kind == "perceptron" else _narrowed(**known)
    module.load_state_dict(dict(state))
    return module.eval()


def _narrowed(outputs: int, width: int, *, pooled: bool, inner: Sequence[int]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # what it draws is about to be replaced
        network = resnet18(outputs, width, pooled=pooled)
    for block, channels in zip(_basic_blocks(network), inner, strict=True):
        _keep_channels(block, torch.arange(block.conv1.out_channels) < channels)
    return nn.Sequential(_standardizing(nn.BatchNorm2d, network.conv1.in_channels), network)
