"""Gated networks as ordinary ones: what gates close is closed by the network's own numbers.

    state = folded(network, x, weights, channels)     # of gates that are open or closed, see `counterpoise.nn.gates`
    network.load(state)                               # says without gates what it said with them

A closed weight is 0. A closed channel is one whose last layer before the ReLU scales by 0 and shifts so far down that
the ReLU lets nothing through, whatever a residual network adds in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from counterpoise.errors import InputError
from counterpoise.nn.gates import ChannelGates, activations
from counterpoise.nn.networks import SingleNetwork, State, in_eval_mode

CLOSED = -1e30
"""The shift of a closed channel: far below what is ever added to it, and finite, so that 0 times it is a number."""


def folded(
    network: SingleNetwork,
    x: Shaped[Tensor, "1 B 3 H W"],
    weights: Mapping[str, Shaped[Tensor, "1 ..."]] | None = None,
    channels: ChannelGates = (),
) -> State:
    """Return the state of an ungated network that says what this one says with gates.

    Args:
        x: any images: the layers before each ReLU are found by passing them through.
        weights: that stand in for the network's own, gated already.
        channels: 0 or 1 for each channel of each activation, in the order in which they are computed.

    Raises:
        InputError: a gate is half open, there are not as many as activations or channels, or a ReLU follows no layer
            that can close its channels.
    """
    state = network.copied() | {name: weight.detach().clone() for name, weight in (weights or {}).items()}
    if not channels:
        return state
    before = _before_activations(network, x)
    if len(before) != len(channels):
        raise InputError(f"gates: there are {len(channels)} sets of channels, expected {len(before)}: one per ReLU")
    for layer, gates in zip(before, channels, strict=True):
        weight, bias = state[f"{layer}.weight"], state[f"{layer}.bias"]
        if gates.shape != bias.shape[1:]:
            raise InputError(
                f"gates: those after {layer!r} have shape {list(gates.shape)}, expected {list(bias.shape[1:])}"
            )
        if not ((gates == 0) | (gates == 1)).all():
            raise InputError(f"gates: one after {layer!r} is half open, expected 0 or 1")
        closed = gates.to(bias.device) == 0
        weight[:, closed], bias[:, closed] = 0.0, CLOSED
    return state


def _before_activations(network: SingleNetwork, x: Tensor) -> list[str]:
    """Name the last layer with a scale and a shift before each ReLU, in the order of a pass."""
    names: dict[nn.Module, str] = {
        layer: name
        for name, layer in network.module.named_modules()
        if isinstance(layer, nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d) and layer.bias is not None
    }
    layers: list[str] = []
    seen: list[str] = []

    def see(layer: nn.Module, *_: Any) -> None:
        seen.append(names[layer])

    def close(*_: Any) -> None:
        if not seen:
            raise InputError(
                f"network: ReLU {len(layers) + 1} follows no batch norm and no linear layer, expected one that can "
                "close its channels"
            )
        layers.append(seen[-1])
        seen.clear()

    hooks = [layer.register_forward_hook(see) for layer in names]
    hooks += [layer.register_forward_hook(close) for layer in activations(network)]
    with in_eval_mode(network, hooks), torch.no_grad():
        network(x[:, :1].to(network.device))
    return layers
