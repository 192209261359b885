"""Training the weights of whole networks on any loss: pretraining, fine-tuning, in-processing peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.methods.repair import under
from counterpoise.nn.augment import crop_and_flip
from counterpoise.nn.epochs import Figures
from counterpoise.nn.examples import Examples
from counterpoise.nn.networks import Masks, Networks, Output, State, Weights, evaluate, masked
from counterpoise.nn.optimizers import Optimizer
from counterpoise.nn.threads import FORWARD_AND_BACKWARD

OutputLoss = Callable[[Output, Tensor, Tensor], Tensor]
"""(output, y [R, B], s [R, B]) to one loss per replicate [R]."""


class WeightTuning:
    """Networks whose weights follow a loss; see `nn.epochs.Trainee`.

    Args:
        loss: differentiated with respect to all parameters.
        steps: how many will be taken in all.
        batch_size: rows of each replicate per step.
        generators: one per replicate, for dropout and augmentation.
        masks: weights that are zero at the start and stay so; W ⊙ M in every forward pass.
        augment: crop and mirror the images of a batch at random.
    """

    def __init__(
        self,
        network: Networks,
        loss: OutputLoss,
        *,
        optimizer: Optimizer,
        steps: int,
        batch_size: int,
        generators: Sequence[torch.Generator],
        masks: Masks | None = None,
        augment: bool = False,
    ) -> None:
        self.network, self.loss, self.generators = network, loss, generators
        self.masks = None if masks is None else {name: mask.to(network.device) for name, mask in masks.items()}
        self.augment = augment
        self.parameters = list(network.parameters())
        self.move = optimizer.build(self.parameters, steps)
        self.operations = FORWARD_AND_BACKWARD * batch_size * max(parameter.numel() for parameter in self.parameters)

    def begin_epoch(self, epoch: int) -> None:
        """Nothing is done between epochs."""

    def step(self, x: Tensor, y: Int[Tensor, "R B"], s: Int[Tensor, "R B"], rows: Int[Tensor, "R B"]) -> Figures:
        value = self.value(self.prepared(x), y, s)
        value.sum().backward()
        self.move()
        return {"loss": value.detach()}

    def prepared(self, x: Tensor) -> Tensor:
        """Return a batch as the networks, now in training mode, are to see it."""
        self.network.train()
        return crop_and_flip(x, self.generators) if self.augment else x

    def value(self, x: Tensor, y: Int[Tensor, "R B"], s: Int[Tensor, "R B"]) -> Float[Tensor, "R"]:
        """Return the loss of a batch."""
        return self.loss(self.network(x, self.effective(), generators=self.generators), y, s)

    def effective(self, masks: Masks | None = None) -> Weights | None:
        """Return W ⊙ M, differentiable in W; None where nothing is masked."""
        masks = self.masks if masks is None else masks
        return None if masks is None else masked(self.network.differentiable(), masks)

    def outcome(self) -> State:
        state = self.network.state()
        return state | masked(state, self.masks) if self.masks else state

    def state(self) -> State:
        state = {f"network.{name}": tensor.clone() for name, tensor in self.network.state().items()}
        state |= {f"optimizer.{name}": tensor for name, tensor in self.move.state().items()}
        return state | states_of("generator", self.generators)

    def load(self, state: State) -> None:
        self.network.load(under("network", state))
        self.move.load(under("optimizer", state))
        restore("generator", state, self.generators)


def features_of(network: Networks, examples: Examples, rows: Int[Tensor, "R n"]) -> int:
    """Return d, how many features the last layer of a network sees."""
    return evaluate(network, examples, rows[:, :1]).features.shape[-1]


def states_of(prefix: str, generators: Sequence[torch.Generator]) -> State:
    """Return where generators are, as the part of a state under a prefix."""
    return {f"{prefix}.{r}": generator.get_state() for r, generator in enumerate(generators)}


def restore(prefix: str, state: Mapping[str, Tensor], generators: Sequence[torch.Generator]) -> None:
    """Put generators where `states_of` found them."""
    for r, generator in enumerate(generators):
        generator.set_state(state[f"{prefix}.{r}"])
