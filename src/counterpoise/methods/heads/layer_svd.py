"""Weighted SVD of any linear layers of a network: importance by hooks, factors in the place of the layers.

    layers = linear_layers(network, ["encoder.*.dense"])
    scores = layer_importance(network, layers, losses, s, groups=2)        # by layer [G, d]
    smaller = factorised(network, {name: 16 for name in layers}, {n: neutralize(i) for n, i in scores.items()})

WIN (Section 3) weighs the last layer's input features by the row sums of the diagonal empirical Fisher matrix. Of a
layer within a network, whose input may have a token axis, the gradient of sample n is G = Σ_t x_t δ_tᵀ [d, k]: inputs x
and gradients δ of the loss by the outputs. Its row sums of squares are diag(Xᵀ (Δ Δᵀ) X): with few tokens no [d, k]
matrix of a sample is formed. A layer that a pass uses several times has all uses as tokens, so that this is exact for
shared layers too. What is not: a network whose samples see each other, as by batch norm in training mode.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterpoise.errors import InputError, shown, suggest
from counterpoise.methods.heads.weighted_svd import weighted_svd

Losses = Callable[[Int[Tensor, "B"]], Float[Tensor, "B"]]
"""Runs the network on samples, by their numbers, and returns the loss of each of them."""


def linear_layers(network: nn.Module, patterns: Iterable[str]) -> dict[str, nn.Linear]:
    """Return the linear layers whose names fit a pattern (`*` stands for any characters), in the network's order.

    Raises:
        InputError: a pattern fits no linear layer.
    """
    every = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    patterns = list(patterns)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in every):
            raise InputError(f"target_layers: no linear layer is called {shown(pattern)}{suggest(pattern, every)}")
    return {name: layer for name, layer in every.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}


def row_sums(x: Float[Tensor, "B T d"], delta: Float[Tensor, "B T k"]) -> Float[Tensor, "B d"]:
    """Return Σ_j (Σ_t x_ti δ_tj)² for each sample and input feature i: the row sums of its squared gradient."""
    if x.shape[1] < min(x.shape[2], delta.shape[2]):
        products = delta @ delta.mT  # B, T, T
        return ((products @ x) * x).sum(dim=1)
    return (x.mT @ delta).square().sum(dim=2)


def layer_importance(
    network: nn.Module,
    layers: Mapping[str, nn.Linear],
    losses: Losses,
    s: Int[Tensor, "N"],
    *,
    groups: int,
    batch_size: int = 64,
) -> dict[str, Float[Tensor, "G d"]]:
    """Return, by layer, sqrt(mean over a group's samples of the row sums of squared gradients) (WIN, Eq. 1).

    A group without samples has NaN. The network is run as it is; its gradients are not kept.

    Raises:
        InputError: the losses do not depend on a layer.
    """
    totals = {name: torch.zeros(groups, layer.in_features) for name, layer in layers.items()}
    for rows in torch.arange(len(s)).split(batch_size):
        for name, sums in _of_batch(layers, losses, rows).items():
            totals[name].index_add_(0, s[rows], sums)
    counts = torch.bincount(s, minlength=groups).float().unsqueeze(1)
    return {
        name: torch.where(counts > 0, total / counts.clamp(min=1), torch.nan).sqrt() for name, total in totals.items()
    }


def _of_batch(layers: Mapping[str, nn.Linear], losses: Losses, rows: Int[Tensor, "B"]) -> dict[str, Tensor]:
    """Return the row sums of each layer for a batch, [B, d]."""
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}
    answered: dict[str, list[Tensor]] = {name: [] for name in layers}

    def follow(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            seen[name].append(inputs[0].detach())
            output = output if output.requires_grad else output.requires_grad_()
            answered[name].append(output)
            return output

        return hook

    hooks = [layer.register_forward_hook(follow(name)) for name, layer in layers.items()]
    try:
        with torch.enable_grad():
            total = losses(rows).sum()
    finally:
        for hook in hooks:
            hook.remove()
    every = [output for outputs in answered.values() for output in outputs]
    gradients = iter(torch.autograd.grad(total, every, allow_unused=True))
    sums = {}
    for name, inputs in seen.items():
        uses = [(x, delta) for x, delta in ((x, next(gradients)) for x in inputs) if delta is not None]
        if not uses:
            raise InputError(f"target_layers: the losses do not depend on {shown(name)}, expected layers that they do")
        x, delta = (torch.cat([_tokens(each, len(rows)) for each in part], dim=1) for part in zip(*uses, strict=True))
        sums[name] = row_sums(x, delta)
    return sums


def _tokens(tensor: Tensor, rows: int) -> Float[Tensor, "B T d"]:
    return tensor.reshape(rows, -1, tensor.shape[-1])


def rank_of(ratio: float, layer: nn.Linear) -> int:
    """Return the largest rank whose factors have at most this share of a layer's weights, at least 1."""
    d, k = layer.in_features, layer.out_features
    return max(1, min(min(d, k), int(ratio * d * k / (d + k))))


def factorised(
    network: nn.Module, ranks: Mapping[str, int], importance: Mapping[str, Float[Tensor, "d"]] | None = None
) -> nn.Module:
    """Return a copy of a network with factors of a low rank in the place of linear layers.

    Args:
        ranks: by the name of the layer.
        importance: of each layer's input features, combined over groups; None is plain SVD.

    Raises:
        ValueError: a rank is outside 1 … min(d, k).
    """
    network = copy.deepcopy(network)
    for name, rank in ranks.items():
        layer = network.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        first, second = weighted_svd(layer.weight.detach().T, None if importance is None else importance[name], rank)
        down = nn.Linear(layer.in_features, rank, bias=False)
        up = nn.Linear(rank, layer.out_features, bias=layer.bias is not None)
        down.weight = nn.Parameter(first.T.contiguous())
        up.weight = nn.Parameter(second.T.contiguous())
        if layer.bias is not None:
            up.bias = nn.Parameter(layer.bias.detach().clone())
        parent, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(parent), attribute, nn.Sequential(down, up))
    return network
