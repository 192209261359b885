"""The base of a perceptron that is trained here: its last layer's input, standardised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.bounds import Count, Positive, Values
from counterpoise.methods.bases import dense
from counterpoise.methods.bases.dense import Dense
from counterpoise.methods.heads.penalties import cross_entropy
from counterpoise.nn import Examples, StackedMLP
from counterpoise.nn import fit as train
from counterpoise.nn.optimizers import Optimizer
from counterpoise.nn.random import generators

ROWS_PER_CHUNK = 4096


@dataclass(frozen=True)
class PerceptronBase:
    """How the network is trained.

    Attributes:
        widths: of the hidden layers; each replicate takes the one with the lowest log loss on its validation rows.
        layers: how many of them.
        epochs: at most; the one with the lowest log loss on validation counts.
        pulls: see `DenseBase`.
    """

    widths: Values[Count] = (16, 64)
    layers: Count = 1
    epochs: Count = 30
    batch_size: Count = 256
    lr: Positive = 2e-3
    pulls: Values[Positive] = (1.0,)


@dataclass(frozen=True)
class Shape:
    """What validation chose: the hidden width, and the number of epochs."""

    width: int
    epochs: int


@dataclass(frozen=True, eq=False)
class Perceptron:
    """A trained network of one replicate, and the statistics of its features."""

    network: StackedMLP
    dense: Dense

    def view(self, x: Float[Tensor, "n D"]) -> tuple[Float[Tensor, "n q"], Float[Tensor, "n"]]:
        """Return the features that a head sees, and the margin that it adds to: 0."""
        return self.dense.view(features(self.network, x))

    def tensors(self) -> dict[str, Tensor]:
        """Return what the base consists of."""
        state = {f"network.{name}": tensor.detach() for name, tensor in self.network.state_dict().items()}
        return state | self.dense.tensors()

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> Perceptron:
        """Return the base of `tensors`."""
        state = {name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")}
        weights = [state[f"weights.{layer}"] for layer in range(sum(name.startswith("weights") for name in state))]
        widths = [weights[0].shape[-2], *(weight.shape[-1] for weight in weights)]
        return cls(StackedMLP.from_state(state, widths), Dense.from_tensors(tensors))


def features(network: StackedMLP, x: Float[Tensor, "n D"]) -> Float[Tensor, "n q"]:
    """Return what the last layer sees."""
    with torch.inference_mode():
        parts = [network.representation(part.unsqueeze(0))[0, 0] for part in x.split(ROWS_PER_CHUNK)]
    return torch.cat(parts).clone()


def choose(
    settings: PerceptronBase,
    data: Examples,
    rows: Int[Tensor, "n"],
    watched: Int[Tensor, "m"],
    seed: int,
    *,
    classes: int = 2,
) -> Shape:
    """Return the width and number of epochs with the lowest log loss on the watched rows."""
    best: tuple[float, Shape] | None = None
    for width in settings.widths:
        _, loss, epochs = _trained(settings, Shape(width, settings.epochs), data, rows, seed, watched, classes)
        if best is None or loss < best[0]:
            best = loss, Shape(width, max(1, epochs))
    assert best is not None
    return best[1]


def fit(
    settings: PerceptronBase, shape: Shape, data: Examples, rows: Int[Tensor, "n"], seed: int, *, classes: int = 2
) -> Perceptron:
    """Train a network of a shape on rows."""
    network, _, _ = _trained(settings, shape, data, rows, seed, None, classes)
    return Perceptron(network, dense.fit(features(network, data.x[rows])))


def _trained(
    settings: PerceptronBase,
    shape: Shape,
    data: Examples,
    rows: Int[Tensor, "n"],
    seed: int,
    watched: Int[Tensor, "m"] | None,
    classes: int,
) -> tuple[StackedMLP, float, int]:
    """Return the network, the lowest loss on the watched rows and the epoch where it was."""
    input_statistics = dense.fit(data.x[rows])
    widths: Sequence[int] = [data.x.shape[1], *[shape.width] * settings.layers, classes]
    network = StackedMLP(
        widths,
        mean=input_statistics.mean.unsqueeze(0),
        scale=input_statistics.scale.unsqueeze(0),
        generators=generators([seed], "initial weights"),
    )
    history = train(
        network,
        data,
        rows.unsqueeze(0),
        loss=cross_entropy,
        optimizer=Optimizer(lr=settings.lr),
        epochs=shape.epochs,
        batch_size=settings.batch_size,
        generators=generators([seed], "pretraining batches"),
        validation=None if watched is None else watched.unsqueeze(0),
        criterion=None if watched is None else cross_entropy,
    )
    loss = float("nan") if history.validation is None else float(history.validation.min())
    return network, loss, int(history.best_epoch)
