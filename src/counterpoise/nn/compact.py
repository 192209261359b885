"""Pruned networks as small, plain torch modules: what is wholly pruned is cut out, with the same outputs.

    small = compact(network, 3, masked(network.weights(), masks))      # replicate 3
    again = rebuild(describe(small), small.state_dict())               # from values that files can hold

A hidden unit or filter is removed if the next layer does not use it, or if it has no input and so is constant.
What that saves: `counterpoise.nn.costs`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn

from counterpoise.nn._convolutions import at_least_one, basic_blocks, keep_channels, places, slim
from counterpoise.nn.builders import HEAD, PixelPerceptronBuilder, PlainConvBuilder, resnet18
from counterpoise.nn.networks import Networks, SingleNetwork, StackedNetwork, State, Weights

COLOURS = 3
"""Channels of an image."""


def plain(network: Networks, replicate: int = 0, weights: Weights | None = None) -> nn.Module:
    """Return one of the networks as a torch module in eval mode, on the CPU, with nothing cut out.

    It takes what the network takes, without the axis R and as floating-point numbers, standardises it itself, and
    returns logits [B, k].

    Args:
        weights: that stand in for some of the network's, all replicates'.
    """
    state = _replicate_state(network, replicate, weights)
    if isinstance(network, StackedNetwork):
        return _perceptron(_layers(network, state), state)
    return _standing_alone(network, state)


def compact(network: Networks, replicate: int = 0, weights: Weights | None = None) -> nn.Module:
    """Return one of the networks as `plain` does, without the units or filters that can be done without.

    Of perceptrons, hidden units; of plain convolutional networks, filters; of residual networks, the channels within
    torchvision's basic blocks: between blocks all channels are added to others. A constant other than 0 is passed on as
    a bias by perceptrons; in a convolutional network such a filter stays, since at the edges, where zeros are added, it
    does not look constant. At least one unit of each layer stays.
    """
    state = _replicate_state(network, replicate, weights)
    if isinstance(network, StackedNetwork):
        layers = _layers(network, state)
        while _cut(layers):
            pass
        return _perceptron(layers, state)
    standardizing, module = _standing_alone(network, state)
    if not _convolutional(module):
        module = _without_idle_units(module)
    else:
        while any(slim(place) for place in reversed(places(module))):
            pass
    return nn.Sequential(standardizing, module).eval()


def _replicate_state(network: Networks, replicate: int, weights: Weights | None) -> State:
    state = network.state() | dict(weights or {})
    return {name: tensor[replicate].detach().cpu() for name, tensor in state.items()}


@dataclass
class _Layer:
    """A linear layer in double precision, and what follows its ReLU; the last layer has neither."""

    weight: Float64[Tensor, "out in"]
    bias: Float64[Tensor, "out"]
    norm: dict[str, Float64[Tensor, "out"]] | None

    def constants(self) -> Float64[Tensor, "out"]:
        """Return the output of units without input."""
        activations = self.bias.relu()
        if self.norm is None:
            return activations
        spread = (self.norm["running_var"] + nn.BatchNorm1d(1).eps).sqrt()
        return (activations - self.norm["running_mean"]) / spread * self.norm["gamma"] + self.norm["beta"]

    def keep(self, units: Bool[Tensor, "out"]) -> None:
        """Remove the other units."""
        self.weight, self.bias = self.weight[units], self.bias[units]
        if self.norm is not None:
            self.norm = {kind: tensor[units] for kind, tensor in self.norm.items()}


def _layers(network: StackedNetwork, state: State) -> list[_Layer]:
    layers = []
    for layer in range(network.layers):
        kinds = ("gamma", "beta", "running_mean", "running_var")
        normalized = network.normalized and layer < network.layers - 1
        norm = {kind: state[f"{kind}{layer}"].double() for kind in kinds} if normalized else None
        layers.append(_Layer(state[f"weight{layer}"].double(), state[f"bias{layer}"].double().flatten(), norm))
    return layers


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
        remaining = at_least_one(read)
        layer.keep(remaining)
        following.weight = following.weight[:, remaining]
        changed = changed or idle or not bool(remaining.all())
    return changed


def _perceptron(layers: list[_Layer], state: State) -> nn.Module:
    widths = [layers[0].weight.shape[1], *(len(layer.bias) for layer in layers)]
    module = _chain(widths, standardized="mean" in state, normalized=layers[0].norm is not None)
    parts = iter(module)
    if "mean" in state:
        _say_standardizing(next(parts), state["mean"], state["scale"])
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


def _convolutional(module: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d) for part in module.modules())


def _without_idle_units(module: nn.Module) -> nn.Module:
    """Cut the hidden units of a perceptron that reads pixels; see `_cut`."""
    linear = [part for part in module.children() if isinstance(part, nn.Linear)]
    layers = [_Layer(layer.weight.detach().double(), layer.bias.detach().double(), None) for layer in linear]
    while _cut(layers):
        pass
    small = _reading_pixels(**_sizes(layer.weight for layer in layers))
    for smaller, layer in zip((part for part in small.children() if isinstance(part, nn.Linear)), layers, strict=True):
        smaller.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    return small


def _sizes(weights: Iterable[Tensor]) -> dict[str, Any]:
    """Return the arguments of `_reading_pixels` for linear layers [out, in] of these shapes."""
    shapes = [weight.shape for weight in weights]
    *widths, outputs = (shape[0] for shape in shapes)
    return {"inputs": shapes[0][1], "widths": widths, "outputs": outputs}


def _standing_alone(network: Networks, state: State) -> nn.Sequential:
    assert isinstance(network, SingleNetwork)
    module = copy.deepcopy(network.module).cpu()
    module.get_submodule(network.head)._forward_pre_hooks.clear()  # of the original, which listens there
    module.load_state_dict(state)
    standardizing = _standardizing(nn.BatchNorm2d, network.mean.numel())
    _say_standardizing(standardizing, *(statistic.cpu().flatten() for statistic in (network.mean, network.std)))
    return nn.Sequential(standardizing, module).eval()


def _standardizing(kind: Any, channels: int) -> nn.Module:
    """Return what computes (x − mean) / scale: a batch norm, which every runtime and exporter knows."""
    norm: nn.Module = kind(channels, eps=0.0, affine=False)
    return norm


def _say_standardizing(norm: nn.Module, mean: Tensor, scale: Tensor) -> None:
    norm.load_state_dict({"running_mean": mean, "running_var": scale.square()}, strict=False)


def describe(module: nn.Module) -> dict[str, Any]:
    """Return what a module of `plain` or `compact` is made of, in values that JSON can hold.

    A perceptron: `kind`, its `widths`, and whether it is `standardized` and `normalized`. A ResNet-18: `kind`,
    `outputs`, `width`, `pooled` (see `ResNetBuilder`), and the `inner` channels of its blocks, in order. The others:
    what `PlainConvBuilder` and `PixelPerceptronBuilder` take.
    """
    parts = list(module.children())
    layers = [part for part in parts if isinstance(part, nn.Linear)]
    if not layers:
        return _describe_network_of_images(parts[-1])
    return {
        "kind": "perceptron",
        "widths": [layers[0].in_features, *(layer.out_features for layer in layers)],
        "standardized": parts[0] is not layers[0],
        "normalized": any(isinstance(part, nn.BatchNorm1d) for part in parts[2:]),
    }


def _describe_network_of_images(network: Any) -> dict[str, Any]:
    if not _convolutional(network):
        linear = (part.weight for part in network.children() if isinstance(part, nn.Linear))
        return {"kind": "pixel_perceptron", **_sizes(linear)}
    if isinstance(network, nn.Sequential):
        convolutions = [part for part in network.children() if isinstance(part, nn.Conv2d)]
        return {
            "kind": "plain",
            "outputs": network.get_submodule(HEAD).out_features,
            "widths": [conv.out_channels for conv in convolutions],
            "kernel": convolutions[0].kernel_size[0],
            "strides": [conv.stride[0] for conv in convolutions],
        }
    return {
        "kind": "resnet18",
        "outputs": network.fc.out_features,
        "width": network.conv1.out_channels,
        "pooled": not isinstance(network.maxpool, nn.Identity),
        "inner": [block.conv1.out_channels for block in basic_blocks(network)],
    }


def rebuild(description: Mapping[str, Any], state: Mapping[str, Tensor]) -> nn.Module:
    """Return the module that `describe` has described, with a state of its own, in eval mode."""
    options = dict(description)
    kind = options.pop("kind")
    if kind == "perceptron":
        module: nn.Module = _chain(**options)
    else:
        module = nn.Sequential(_standardizing(nn.BatchNorm2d, COLOURS), _IMAGE_NETWORKS[kind](**options))
    module.load_state_dict(dict(state))
    return module.eval()


def _narrowed(outputs: int, width: int, *, pooled: bool, inner: Sequence[int]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # what it draws is about to be replaced
        network: nn.Module = resnet18(outputs, width, pooled=pooled)
    for place, channels in zip(places(network), inner, strict=True):
        keep_channels(place, torch.arange(place.channels) < channels)
    return network


def _plain_convolutions(outputs: int, widths: Sequence[int], kernel: int, strides: Sequence[int]) -> nn.Module:
    builder = PlainConvBuilder(outputs=outputs, seeds=(), widths=tuple(widths), kernel=kernel, strides=tuple(strides))
    with torch.random.fork_rng(devices=[]):
        return builder.module(outputs)


def _reading_pixels(inputs: int, widths: Sequence[int], outputs: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        return PixelPerceptronBuilder(outputs=outputs, seeds=(), inputs=inputs, widths=tuple(widths)).module(outputs)


_IMAGE_NETWORKS: Mapping[str, Callable[..., nn.Module]] = {
    "resnet18": _narrowed,
    "plain": _plain_convolutions,
    "pixel_perceptron": _reading_pixels,
}
