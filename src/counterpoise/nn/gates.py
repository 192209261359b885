"""Gates that open or close what a frozen network computes with: its weights one by one, or whole channels.

Debiasing surgeon (Nahon et al., ECCV 2024): a gate is a number m; the weight it belongs to stays where m ≥ 0. While
gates are learnt they may be half open, min(2 σ(m/τ), 1), which becomes the step 1[m ≥ 0] as the temperature τ falls;
or be the step at once. Either way the gradient is that of 2 σ(m/τ), which does not vanish where a gate is wide open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from counterpoise.errors import InputError
from counterpoise.nn.networks import Networks, Output, SingleNetwork, in_eval_mode

ChannelGates = Sequence[Float[Tensor, "_"]]
"""One factor per channel of each activation, in the order in which they are computed."""


class _Gate(torch.autograd.Function):
    """min(2 σ(m/τ), 1) or 1[m ≥ 0] forward; the derivative of 2 σ(m/τ) backward."""

    @staticmethod
    def forward(ctx: Any, m: Tensor, temperature: float, hard: bool) -> Tensor:
        sigma = torch.sigmoid(m / temperature)
        ctx.save_for_backward(sigma)
        ctx.temperature = temperature
        return (m >= 0).to(m.dtype) if hard else (2 * sigma).clamp(max=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (sigma,) = ctx.saved_tensors
        return gradients[0] * (2 / ctx.temperature) * sigma * (1 - sigma), None, None


def gate(m: Float[Tensor, "..."], temperature: float, *, hard: bool = False) -> Float[Tensor, "..."]:
    """Return how far each gate is open, 0 to 1; at m = 0 and above it is fully open.

    Args:
        temperature: τ; positive. hard: the step 1[m ≥ 0] instead, with the same gradient.
    """
    if temperature <= 0:
        raise InputError(f"gates: the temperature is {temperature:g}, expected a number above 0")
    opened: Float[Tensor, "..."] = _Gate.apply(m, temperature, hard)
    return opened


def activations(network: Networks) -> list[nn.ReLU]:
    """Return the modules after which channels can be gated.

    Raises:
        InputError: there are none, or the networks are stacked perceptrons, whose channels are columns of weights.
    """
    module = network.module if isinstance(network, SingleNetwork) else nn.Module()
    activated = [layer for layer in module.modules() if isinstance(layer, nn.ReLU)]
    if not activated:
        raise InputError("network: has no ReLU whose channels can be gated, expected one at least")
    return activated


def activation_sizes(network: Networks, x: Shaped[Tensor, "1 B 3 H W"]) -> list[int]:
    """Return the number of channels of each activation, in the order in which a pass of x computes them."""
    sizes: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda _, inputs, output: sizes.append(output.shape[1]))
        for layer in activations(network)
    ]
    with in_eval_mode(network, hooks), torch.no_grad():
        network(x.to(network.device))
    return sizes


@contextmanager
def gated_channels(network: Networks, gates: ChannelGates) -> Iterator[None]:
    """Multiply the channels of every activation by their gates, if there are any, in all passes inside this context.

    After the activation, not before: in front of a frozen batch norm a closed channel would not be silent but say what
    the norm makes of zeros.
    """
    if not gates:
        yield
        return
    remaining: list[Tensor] = []

    def begin(*_: Any) -> None:
        remaining[:] = gates

    def close(_: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return output * remaining.pop(0).view(1, -1, *[1] * (output.ndim - 2))

    handles = [layer.register_forward_hook(close) for layer in activations(network)]
    handles.append(network.register_forward_pre_hook(begin))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def forward(
    network: Networks,
    x: Shaped[Tensor, "R B ..."],
    weights: Mapping[str, Tensor] | None = None,
    channels: ChannelGates = (),
) -> Output:
    """Evaluate a batch with weights in the place of the network's own and, if there are any, gated channels."""
    with gated_channels(network, channels):
        return network(x, weights)
