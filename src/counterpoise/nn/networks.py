"""Whole networks of all replicates behind one interface: small perceptrons stacked, convolutional networks one by one.

    network = StackedNetwork([98, *[32] * 11, 1], generators=generators(seeds, "initial weights"), dropout=0.2)
    logits, features = network(x)                                  # x [R, B, D]: [R, B, 1], [R, B, 32]
    logits, _ = network(x, masked(network.weights(), masks))       # the same network with some weights at zero

Every tensor of a network's state has the replicates in front, so that what works on weights (masks, grafts, choosing
the best epoch of each replicate) is written once for both kinds.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import batch_norm
from torch.utils.hooks import RemovableHandle

from counterpoise.errors import InputError
from counterpoise.nn.examples import Examples
from counterpoise.nn.linalg import weighted

Weights = Mapping[str, Shaped[Tensor, "R ..."]]
Masks = Mapping[str, Bool[Tensor, "R ..."]]
"""True where a weight stays."""
State = dict[str, Tensor]
"""Parameters and statistics by name, [R, ...] each."""

CHANNEL_BLOCK = 8
"""Convolutions run with channels last, the faster layout, where all have a multiple of this many output channels: with
four, torch 2.14's backward pass on a processor writes beyond its memory."""

EVALUATED_ROWS = 1024
"""Rows of each replicate that are evaluated at a time."""


class Output(NamedTuple):
    """What networks say of a batch: logits (one per row for two classes, else k), and what the last layer sees."""

    logits: Float[Tensor, "R B k"]
    features: Float[Tensor, "R B d"]


class Networks(nn.Module, ABC):
    """R networks of one architecture with their own weights, evaluated and trained as one computation.

    `training` is torch's switch: batch statistics and dropout if it is on, running statistics and none if it is off.
    """

    replicates: int

    @property
    def device(self) -> torch.device:
        """Return where the parameters are, and batches belong."""
        return next(iter(self.parameters())).device

    @abstractmethod
    def forward(
        self,
        x: Shaped[Tensor, "R B ..."],
        weights: Weights | None = None,
        *,
        generators: Sequence[torch.Generator] | None = None,
        track: bool = True,
    ) -> Output:
        """Evaluate a batch of each replicate.

        Args:
            weights: tensors that stand in for parameters of the same names in this pass.
            generators: one per replicate, for dropout; None uses none.
            track: whether a pass in training mode moves the running statistics of batch norm.
        """

    @abstractmethod
    def maskable(self) -> tuple[str, ...]:
        """Name the weights of linear and convolutional layers, first to last; no biases, no batch norm."""

    @abstractmethod
    def state(self) -> State:
        """Return the parameters and statistics, detached, not copied."""

    @abstractmethod
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Copy a state into the parameters and statistics."""

    def weights(self) -> dict[str, Float[Tensor, "R ..."]]:
        """Return the maskable weights, detached, not copied."""
        state = self.state()
        return {name: state[name] for name in self.maskable()}

    @abstractmethod
    def differentiable(self) -> dict[str, Float[Tensor, "R ..."]]:
        """Return the maskable weights, whose gradients reach the parameters."""

    def copied(self) -> State:
        """Return a copy of the state."""
        return {name: tensor.clone() for name, tensor in self.state().items()}


def masked(weights: Weights, masks: Masks) -> dict[str, Float[Tensor, "R ..."]]:
    """Return W ⊙ M for the weights that have a mask."""
    return {name: weights[name] * mask for name, mask in masks.items()}


def keep(best: State, state: Mapping[str, Tensor], chosen: Bool[Tensor, "R"]) -> None:
    """Copy the chosen replicates' part of `state` into `best`, in place."""
    for name, tensor in state.items():
        rows = chosen.to(tensor.device).view(-1, *[1] * (tensor.ndim - 1))
        best[name].copy_(torch.where(rows, tensor, best[name].to(tensor.device)))


class StackedNetwork(Networks):
    """R perceptrons: each hidden layer is Linear, ReLU, dropout, batch norm; the last layer is linear.

    For why `nn.mlp.StackedMLP` stands beside it, see there.

    The altering paper's network for tables is `[D, *[32] * 11, 1]` with dropout 0.2 and batch norm (Section 4.2 and
    Savani et al., 2020). Activations are laid out [R, C, B], so that one batch norm over R·C channels serves all.

    Args:
        widths: D, the hidden widths, the number of logits.
        mean, scale: statistics that standardise the input, [R, D]; None takes it as it is.
    """

    mean: Tensor | None
    scale: Tensor | None

    def __init__(
        self,
        widths: Sequence[int],
        *,
        generators: Sequence[torch.Generator],
        dropout: float = 0.0,
        normalized: bool = True,
        mean: Float[Tensor, "R D"] | None = None,
        scale: Float[Tensor, "R D"] | None = None,
    ) -> None:
        super().__init__()
        self.replicates, self.widths = len(generators), tuple(widths)
        self.dropout, self.normalized, self.layers = dropout, normalized, len(widths) - 1
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
            bound = 1 / math.sqrt(fan_in)  # as torch's Linear draws weights and biases
            draws = torch.stack([torch.rand(fan_out, fan_in + 1, generator=generator) for generator in generators])
            drawn = (2 * draws - 1) * bound
            self.register_parameter(f"weight{layer}", nn.Parameter(drawn[..., :-1].contiguous()))
            self.register_parameter(f"bias{layer}", nn.Parameter(drawn[..., -1:].contiguous()))
            if normalized and layer < self.layers - 1:
                shape = (self.replicates, fan_out)
                self.register_parameter(f"gamma{layer}", nn.Parameter(torch.ones(shape)))
                self.register_parameter(f"beta{layer}", nn.Parameter(torch.zeros(shape)))
                self.register_buffer(f"running_mean{layer}", torch.zeros(shape))
                self.register_buffer(f"running_var{layer}", torch.ones(shape))

    def forward(
        self,
        x: Float[Tensor, "R B D"],
        weights: Weights | None = None,
        *,
        generators: Sequence[torch.Generator] | None = None,
        track: bool = True,
    ) -> Output:
        tensors = dict(self.named_parameters()) | dict(weights or {})
        if self.mean is not None and self.scale is not None:
            x = (x - self.mean.unsqueeze(1)) / self.scale.unsqueeze(1)
        h = x.transpose(1, 2)  # R, C, B
        masks = self._dropout_masks(x.shape[1], generators)
        for layer in range(self.layers - 1):
            h = weighted(tensors[f"bias{layer}"], tensors[f"weight{layer}"], h).relu()
            if masks is not None:
                h = h * masks[layer]
            if self.normalized:
                h = self._normalize(h, layer, tensors, track=track)
        last = self.layers - 1
        if h.requires_grad:  # logits and features may send it back in different layouts, which round differently
            h.register_hook(Tensor.contiguous)
        logits = weighted(tensors[f"bias{last}"], tensors[f"weight{last}"], h)
        return Output(logits.transpose(1, 2), h.transpose(1, 2))

    def _normalize(
        self, h: Tensor, layer: int, tensors: Mapping[str, Tensor], *, track: bool
    ) -> Float[Tensor, "R C B"]:
        running = (self.get_buffer(f"running_{kind}{layer}").view(-1) for kind in ("mean", "var"))
        mean, variance = running if track or not self.training else (None, None)
        flat = h.reshape(1, -1, h.shape[-1])
        gamma, beta = tensors[f"gamma{layer}"].reshape(-1), tensors[f"beta{layer}"].reshape(-1)
        return batch_norm(flat, mean, variance, gamma, beta, training=self.training).view(h.shape)

    def _dropout_masks(
        self, rows: int, generators: Sequence[torch.Generator] | None
    ) -> list[Float[Tensor, "R C B"]] | None:
        """Draw what dropout leaves, scaled to keep the mean: one draw per replicate for all layers."""
        if not (self.training and self.dropout and generators):
            return None
        sizes = [width * rows for width in self.widths[1:-1]]
        draws = torch.stack([torch.rand(sum(sizes), generator=generator) for generator in generators])
        masks = (draws >= self.dropout).to(draws.dtype).mul_(1 / (1 - self.dropout)).to(self.device)
        return [
            part.view(self.replicates, width, rows)
            for part, width in zip(masks.split(sizes, dim=1), self.widths[1:-1], strict=True)
        ]

    def maskable(self) -> tuple[str, ...]:
        return tuple(f"weight{layer}" for layer in range(self.layers))

    def differentiable(self) -> dict[str, Float[Tensor, "R ..."]]:
        return {name: self.get_parameter(name) for name in self.maskable()}

    def state(self) -> State:
        return {name: tensor.detach() for name, tensor in self.state_dict().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.load_state_dict(dict(state))


class SingleNetwork(Networks):
    """One torch module as a stack of one, for networks that are too large to be trained side by side.

    Args:
        module: images [B, 3, H, W], standardised, to logits [B, k].
        head: the name of its last linear layer, whose input counts as the features.
        mean, std: of the colour channels, as shares of 255.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, module: nn.Module, *, head: str, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.replicates, self.module, self.head = 1, module, head
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1) * 255, persistent=False)
        outputs = [layer.out_channels for layer in module.modules() if isinstance(layer, nn.Conv2d)]
        blocks = not any(channels % CHANNEL_BLOCK for channels in outputs)
        self.layout = torch.channels_last if blocks else torch.contiguous_format
        self._seen: list[Tensor] = []
        module.get_submodule(head).register_forward_pre_hook(lambda _, inputs: self._seen.append(inputs[0]))

    def forward(
        self,
        x: Shaped[Tensor, "1 B 3 H W"],
        weights: Weights | None = None,
        *,
        generators: Sequence[torch.Generator] | None = None,
        track: bool = True,
    ) -> Output:
        images = ((x[0].float() - self.mean) / self.std).contiguous(memory_format=self.layout)
        replacements = {name: weight[0] for name, weight in (weights or {}).items()}
        if self.training and not track:
            replacements |= {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        logits = functional_call(self.module, replacements, (images,)) if replacements else self.module(images)
        return Output(logits.unsqueeze(0), self._seen.pop().unsqueeze(0))

    def maskable(self) -> tuple[str, ...]:
        return tuple(
            f"{name}.weight" for name, layer in self.module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)
        )

    def differentiable(self) -> dict[str, Float[Tensor, "R ..."]]:
        return {name: self.module.get_parameter(name).unsqueeze(0) for name in self.maskable()}

    def state(self) -> State:
        return {name: tensor.detach().unsqueeze(0) for name, tensor in self.module.state_dict().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.module.load_state_dict({name: tensor[0] for name, tensor in state.items()})

    def named_parameters(self, *args: Any, **options: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """Name the parameters as in the state."""
        return self.module.named_parameters(*args, **options)


def require_maskable(network: Networks) -> None:
    """Raise InputError unless the network has a layer whose weights can be masked."""
    if not network.maskable():
        raise InputError("network: has no linear or convolutional layer, expected one whose weights can be masked")


@contextmanager
def in_eval_mode(network: Networks, hooks: Iterable[RemovableHandle] = ()) -> Iterator[None]:
    """Put a network in eval mode for a while, at the end of which it is as before and the hooks are removed."""
    before = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(before)
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def evaluate(network: Networks, examples: Examples, rows: Int[Tensor, "R m"], weights: Weights | None = None) -> Output:
    """Return what the networks say of each replicate's rows, with running statistics and without dropout."""
    weights = None if weights is None else {name: weight.to(network.device) for name, weight in weights.items()}
    with in_eval_mode(network):
        outputs = [
            network(examples.take(part)[0].to(network.device), weights) for part in rows.split(EVALUATED_ROWS, dim=1)
        ]
    return Output(*(torch.cat([part.cpu() for part in parts], dim=1) for parts in zip(*outputs, strict=True)))
