"""Multilayer perceptrons of all replicates and variants as one stack, the bank of `win_*` and `frontier_*`.

Not the class of `nn.networks`, which also stacks perceptrons: it keeps rows last, [R, C, B], for batch norm over all
channels at once, and takes 0.65 to 0.85 of the time. But the gradients of its hidden biases add up the rows in another
order (and so does the forward pass of some shapes), so that every number trained here would change in its last bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from counterpoise.nn.bank import Bank
from counterpoise.nn.linalg import product


class StackedMLP(Bank):
    """R x V perceptrons: standardise, then Linear and ReLU in turn, the last Linear giving logits.

    Weights are stored as [R, V, in, out] (the transpose of torch's `Linear`), biases as [R, V, out]; the statistics
    that standardise the input, [R, D], travel with the weights because a network is of no use without them.

    Args:
        widths: D, the hidden widths, k. `[D, 20, 2]` is the paper's two-layer MLP (WIN, Section 4.1).
        mean, scale: statistics of the replicates' own pretraining rows; None takes the input as it is.
        generators: one per replicate; weights are drawn as `torch.nn.Linear` draws them.
        variants: how many networks share a replicate's rows and its initial weights.
    """

    mean: Tensor | None
    scale: Tensor | None

    def __init__(
        self,
        widths: Sequence[int],
        *,
        mean: Float[Tensor, "R D"] | None,
        scale: Float[Tensor, "R D"] | None,
        generators: Sequence[torch.Generator],
        variants: int = 1,
    ) -> None:
        super().__init__()
        self.replicates, self.variants, self.widths = len(generators), variants, tuple(widths)
        self.classes = widths[-1]
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in pairwise(widths):
            bound = 1 / math.sqrt(fan_in)
            draws = [torch.rand(fan_in + 1, fan_out, generator=generator) for generator in generators]
            stacked = ((2 * torch.stack(draws) - 1) * bound).unsqueeze(1).repeat(1, variants, 1, 1)
            self.weights.append(nn.Parameter(stacked[:, :, :-1].contiguous()))
            self.biases.append(nn.Parameter(stacked[:, :, -1].contiguous()))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], widths: Sequence[int], *, copies: int = 1) -> StackedMLP:
        """Rebuild a stack from its `state_dict`; with `copies`, each network stands that many times side by side."""
        replicates, variants = state["weights.0"].shape[:2]
        unused = [torch.Generator() for _ in range(replicates)]
        bank = cls(
            widths, mean=state.get("mean"), scale=state.get("scale"), generators=unused, variants=variants * copies
        )
        repeated = {
            name: tensor.repeat_interleave(copies, dim=1) if name.startswith(("weights", "biases")) else tensor
            for name, tensor in state.items()
        }
        bank.load_state_dict(repeated)
        return bank

    def standardize_(self, x: Float[Tensor, "R B D"]) -> Float[Tensor, "R B D"]:
        """Subtract the mean and divide by the scale, in place."""
        if self.mean is None or self.scale is None:
            return x
        return x.sub_(self.mean.unsqueeze(1)).mul_(self.scale.reciprocal().unsqueeze(1))

    def representation(self, x: Float[Tensor, "R B D"]) -> Float[Tensor, "R V B d"]:
        """Return what the last layer sees."""
        return self._hidden(self.standardize_(x.clone())).unflatten(0, (self.replicates, self.variants))

    def logits(self, x: Float[Tensor, "R B D"]) -> Float[Tensor, "R V B k"]:
        h = self._hidden(x)
        logits = product(h, self.weights[-1].flatten(0, 1)) + self.biases[-1].flatten(0, 1).unsqueeze(1)
        return logits.unflatten(0, (self.replicates, self.variants))

    def _hidden(self, x: Float[Tensor, "R B D"]) -> Float[Tensor, "M B d"]:
        stacked = x.repeat_interleave(self.variants, dim=0) if self.variants > 1 else x
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            stacked = (product(stacked, weight.flatten(0, 1)) + bias.flatten(0, 1).unsqueeze(1)).relu()
        return stacked

    def owners(self, values: Shaped[Tensor, "R V"]) -> Iterator[Shaped[Tensor, "..."]]:
        for parameter in self.parameters():
            yield values.view(self.replicates, self.variants, *[1] * (parameter.ndim - 2))
