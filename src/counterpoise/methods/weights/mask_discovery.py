"""Mask discovery (the altering paper, Section 3.2, Eq. 7 to 9, Algorithm 1): which weights carry the unfairness.

The network is frozen, batch norm included; what is learned is one number m per weight, and a weight stays where m ≥ 0.
Decisions to prune have no gradient, so the mask's is passed straight through to m as if M were σ(m), and noise on m
keeps weights changing sides while they are still undecided.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterpoise.bounds import Bounded, Count, Inside, NotNegative, Positive
from counterpoise.methods.repair import Result, under
from counterpoise.methods.tuning import restore, states_of
from counterpoise.nn.epochs import Figures
from counterpoise.nn.linalg import in_full_blocks
from counterpoise.nn.networks import Masks, Networks, Output, State, require_maskable
from counterpoise.nn.optimizers import Optimizer
from counterpoise.nn.random import coarse_normals
from counterpoise.nn.threads import FORWARD_AND_BACKWARD

LOG = logging.getLogger(__name__)

MaskLoss = Callable[[Output, Tensor, Tensor, Tensor], Tensor]
"""(output, y [R, B], s [R, B], rows [R, B]) to one loss per replicate [R]."""


@dataclass(frozen=True)
class MaskSettings(Bounded):
    """Settings of mask discovery; defaults as METHODS.md fixes them.

    Attributes:
        initial: m at the start; noise_low, noise_high: bounds of the noise's standard deviation, m / 2 between them.
        sparsity_weight: β. prunable: τ, the share of weights that may be pruned at no cost; None asks for none.
        fairness_weight: of the soft bias beyond ε − margin.
    """

    block: ClassVar[str] = "masks"
    initial: float = 2.0
    lr: Positive = 0.05
    noise_low: NotNegative = 0.05
    noise_high: NotNegative = 1.0
    sparsity_weight: NotNegative = 5.0
    prunable: Inside | None = 0.1
    fairness_weight: NotNegative = 5.0
    epochs: Count = 80
    batch_size: Count = 256


def sparsity_gradient(pruned: Float[Tensor, "R"], prunable: float, weights: int) -> Float[Tensor, "R"]:
    """Return ∂R/∂M of any one weight: −1 / (N · pruned share) beyond τ, 0 up to it.

    R = log(max(pruned share, τ) / τ) (Section 3.2, after Eq. 9; τ is read as the share that may be pruned).
    """
    return torch.where(pruned > prunable, -1 / (weights * pruned.clamp(min=prunable)), 0)


class MaskDiscovery:
    """The masks of frozen networks; see `nn.epochs.Trainee`. Its outcome are the masks, without noise.

    Args:
        loss: what the masked network is to be good at.
        generators: one per replicate, for the noise.
    """

    def __init__(
        self,
        network: Networks,
        loss: MaskLoss,
        settings: MaskSettings,
        *,
        steps: int,
        generators: Sequence[torch.Generator],
    ) -> None:
        require_maskable(network)
        self.network, self.loss, self.settings, self.generators = network.eval(), loss, settings, generators
        weights = network.weights()
        self.shapes = {name: weight.shape for name, weight in weights.items()}
        self.sizes = [math.prod(shape[1:]) for shape in self.shapes.values()]
        self.weights = torch.cat([weight.flatten(1) for weight in weights.values()], dim=1)  # R, P
        self.kept = torch.empty_like(self.weights)  # W ⊙ M of the step under way
        self.leaves = {name: part.requires_grad_() for name, part in self._split(self.kept).items()}
        self.m = torch.full_like(self.weights, settings.initial).requires_grad_()
        self.move = Optimizer(lr=settings.lr, fused=True).build([self.m], steps)
        self.operations = (
            FORWARD_AND_BACKWARD * settings.batch_size * max(weight.numel() for weight in weights.values())
        )

    def begin_epoch(self, epoch: int) -> None:
        """Nothing is done between epochs."""

    def step(self, x: Tensor, y: Int[Tensor, "R B"], s: Int[Tensor, "R B"], rows: Int[Tensor, "R B"]) -> Figures:
        m = self.m.detach()
        mask = self._undecided(m).ge_(0)
        pruned = 1 - mask.mean(dim=1)
        torch.mul(self.weights, mask, out=self.kept)
        value = self.loss(self.network(x, self.leaves), y, s, rows)
        gradients = torch.autograd.grad(value.sum(), list(self.leaves.values()))
        gradient = torch.cat([part.flatten(1) for part in gradients], dim=1)
        if self.settings.prunable is None:
            gradient.mul_(self.weights)
        else:
            slope = sparsity_gradient(pruned, self.settings.prunable, m.shape[1]) * self.settings.sparsity_weight
            torch.addcmul(slope.unsqueeze(1), gradient, self.weights, out=gradient)
        sigma = in_full_blocks(torch.sigmoid, m)
        torch.ops.aten.sigmoid_backward.grad_input(gradient, sigma, grad_input=self.m.grad)  # · σ (1 − σ)
        self.move()
        return {"loss": value.detach(), "pruned_in_training": pruned}

    def _undecided(self, m: Float[Tensor, "R P"]) -> Float[Tensor, "R P"]:
        """m̂ = m + noise with standard deviation m / 2 within its bounds."""
        doubled = m.clamp(2 * self.settings.noise_low, 2 * self.settings.noise_high)
        noise = coarse_normals(self.generators, m.shape[1], m.device)
        return in_full_blocks(partial(torch.addcmul, value=0.5), m, doubled, noise.to(m))

    def _split(self, flat: Tensor) -> dict[str, Tensor]:
        parts = flat.split(self.sizes, dim=1)
        return {name: part.view(shape) for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)}

    def masks(self) -> dict[str, Bool[Tensor, "R ..."]]:
        """M = 1[m ≥ 0]."""
        return self._split(self.m.detach() >= 0)

    def outcome(self) -> State:
        return self.masks()

    def state(self) -> State:
        state = {"m": self.m.detach().clone()}
        state |= {f"optimizer.{name}": tensor for name, tensor in self.move.state().items()}
        return state | states_of("generator", self.generators)

    def load(self, state: State) -> None:
        with torch.no_grad():
            self.m.copy_(state["m"])
        self.move.load(under("optimizer", state))
        restore("generator", state, self.generators)


def discovered(earlier: Mapping[str, Sequence[Result]]) -> dict[str, Bool[Tensor, "R ..."]]:
    """Return the masks that the one method before this one has discovered."""
    (results,) = earlier.values()
    return results[0].part("masks")


def pruned_share(masks: Masks) -> Float[Tensor, "R"]:
    """Return the share of the masked weights that each replicate prunes."""
    present = torch.stack([mask.flatten(1).double().sum(dim=1) for mask in masks.values()]).sum(dim=0)
    return 1 - present / sum(mask[0].numel() for mask in masks.values())


def pruned_by_layer(masks: Masks) -> dict[str, Float[Tensor, "R"]]:
    """Return the share of each layer's weights that each replicate prunes."""
    return {name: 1 - mask.flatten(1).double().mean(dim=1) for name, mask in masks.items()}


def warn_of_empty_layers(masks: Masks, name: str, seeds: Sequence[int]) -> None:
    """Log a warning for each layer in which a replicate has no weight, so that its outputs are constant."""
    for layer, share in pruned_by_layer(masks).items():
        if empty := [seed for seed, one in zip(seeds, share.tolist(), strict=True) if one == 1]:
            LOG.warning("%s: all weights of layer %s are pruned with seeds %s", name, layer, empty)


def agreement(masks: Masks) -> Float[Tensor, "R R"]:
    """Return the intersection over union of what each two replicates prune; NaN where neither prunes anything.

    Two masks that prune a share p of a layer by chance agree on p / (2 − p) of what either prunes there.
    """
    pruned = torch.cat([(~mask.bool()).flatten(1).double() for mask in masks.values()], dim=1)
    both = pruned @ pruned.T
    sizes = pruned.sum(dim=1)
    return both / (sizes.unsqueeze(0) + sizes.unsqueeze(1) - both)
