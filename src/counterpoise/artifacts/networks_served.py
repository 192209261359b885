"""Whole networks, and heads or rules on their bases, in the form in which they are exported (`artifacts.serving`).

Perceptrons on tables need no torch where they are served: batch norm is folded into the layer that follows it. What
reads images becomes a program of `torch.export`, a file without pickled objects that needs torch alone.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterpoise.artifacts.compacted import CompactModel
from counterpoise.artifacts.serving import ImageNetwork, Rule, Servable
from counterpoise.errors import InputError
from counterpoise.methods.bases.boosted import Boosted, BoostedClasses
from counterpoise.methods.bases.dense import Dense
from counterpoise.methods.bases.ground import Ground
from counterpoise.methods.bases.perceptron import Perceptron
from counterpoise.methods.rules.joint import GroupHeads, GroupTrees
from counterpoise.nn.preprocessing import WHITE, Preprocessing

Layers = tuple[tuple[Tensor, Tensor], ...]
LARGEST = 50_000_000
"""Pixels of an image that is decoded, where nobody has said another number."""


def servable(
    model: CompactModel,
    example: pd.DataFrame,
    *,
    encoding: Mapping[str, Any] | None = None,
    framing: Mapping[str, Any] | None = None,
    **described: Any,
) -> Servable:
    """Return a network that was repaired or pruned, with its input: an encoding of a table, or a framing of images.

    Args:
        example: a few rows of the table, or the bytes of a few images.
        described: `label`, `experiment` and `metadata` of `Servable`.
    """
    cut = 0.0 if math.isnan(model.threshold) else math.log(model.threshold / (1 - model.threshold))
    described |= {"classes": model.classes, "threshold": cut, "example": example}
    if encoding is not None:
        layers, mean, scale = perceptron_layers(model.module)
        hidden, last = layers[:-1], layers[-1]
        return Servable(encoding, (*hidden, _two_logits(*last, cut)), mean=mean, scale=scale, **described)
    assert framing is not None
    outputs = 1 if len(model.classes) == 2 else len(model.classes)
    last = _two_logits(torch.eye(outputs), torch.zeros(outputs), cut)
    network = ImageNetwork(program(model.module, framing["size"]), {**framing, "outputs": outputs})
    return Servable({"columns": []}, (last,), images=network, **described)


def image_head(
    backbone: nn.Module, preprocess: Preprocessing, features: int, *, max_pixels: int, value_range: Any
) -> ImageNetwork:
    """Return a frozen backbone as what comes before a head: images to d features."""
    network = nn.Sequential(Normalized(preprocess), backbone, nn.Flatten()).eval()
    framing = framed(preprocess.crop, preprocess.resize, preprocess.interpolation, max_pixels, value_range)
    return ImageNetwork(program(network, framing["size"]), {**framing, "outputs": features})


def framed(
    crop: int, resize: int | None, interpolation: str = "bilinear", max_pixels: int = LARGEST, value_range: Any = None
) -> dict[str, Any]:
    """Return how images become squares (`artifacts.exported_images.Images`)."""
    names = {"resize": resize, "crop": crop, "interpolation": interpolation, "size": [crop, crop]}
    return names | {"max_pixels": max_pixels, "value_range": value_range}


class Normalized(nn.Module):
    """(images / white − mean) / std, of images whose values are from 0 to 255."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocess: Preprocessing) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(preprocess.mean).mul_(WHITE)[:, None, None])
        self.register_buffer("std", torch.tensor(preprocess.std).mul_(WHITE)[:, None, None])

    def forward(self, images: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B 3 S S"]:
        return (images - self.mean) / self.std


def program(module: nn.Module, size: Sequence[int]) -> bytes:
    """Return a module from images [N, 3, H, W], any N, as a file of `torch.export`."""
    example = torch.zeros(2, 3, *size)
    module = module.eval().to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        exported = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("N", min=1)},))
    exported.example_inputs = None  # they would be pickled
    buffer = io.BytesIO()
    torch.export.save(exported, buffer)
    return buffer.getvalue()


def perceptron_layers(module: nn.Module) -> tuple[Layers, Tensor | None, Tensor | None]:
    """Return weights [in, out] and biases of Linear and ReLU in turn, and what standardises the input.

    A batch norm between them, a·h + c, becomes part of the next layer: W(a·h + c) + b = (W·a)h + (b + Wc).
    """
    mean = scale = None
    factor, shift = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    layers: list[tuple[Tensor, Tensor]] = []
    for part in module.children():
        if isinstance(part, nn.BatchNorm1d):
            assert part.running_mean is not None
            assert part.running_var is not None
            spread = (part.running_var.double() + part.eps).sqrt()
            if not layers and not part.affine:
                mean, scale = part.running_mean, spread
                continue
            factor = part.weight.detach().double() / spread
            shift = part.bias.detach().double() - factor * part.running_mean.double()
        elif isinstance(part, nn.Linear):
            weight = part.weight.detach().double()
            bias = part.bias.detach().double() + weight @ shift.expand(weight.shape[1])
            layers.append(((weight * factor).T.contiguous(), bias))
            factor, shift = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    return tuple(layers), mean, scale


def _two_logits(weight: Float[Tensor, "d k"], bias: Float[Tensor, "k"], cut: float) -> tuple[Tensor, Tensor]:
    """Return a last layer of one logit as one of two, the second reduced by the threshold; others as they are."""
    if len(bias) > 1:
        return weight, bias
    return torch.cat([torch.zeros_like(weight), weight], dim=1), torch.cat([torch.zeros_like(bias), bias - cut])


def served(ground: Ground, *, head: Tensor | None, rule: Tensor | None, threshold: float, **described: Any) -> Servable:
    """Put a head or a rule on its base.

    Args:
        head: [q + 1] on the base, of more than two classes [q + 1, k]; or rule: [k·G + k, k], on the base's unrepaired
            probabilities.
        threshold: on the margin, of a head of two classes.
        described: the other attributes of `Servable`.

    Raises:
        InputError: the base is of a kind that cannot be written down.
    """
    on_base = ground.head if head is None else head
    decision = None
    base = ground.base
    if rule is not None:
        heads = ground.group.heads if isinstance(ground.group, GroupHeads) else None
        group_trees = ground.group.text if isinstance(ground.group, GroupTrees) else None
        if heads is not None and isinstance(base, Perceptron):
            heads = _unstandardised(heads, base.dense)
        decision = Rule(rule, ground.temperature, ground.group.temperature, heads, group_trees)
    if isinstance(base, Boosted | BoostedClasses):
        trees = base.with_head(on_base, threshold) if isinstance(base, Boosted) else base.trees
        return Servable(layers=(), trees=trees.text, threshold=threshold, rule=decision, **described)
    last = on_base.clone()
    last[-1] -= threshold
    last = last if last.ndim == 2 else torch.stack([torch.zeros_like(last), last], dim=1)
    if isinstance(base, Perceptron):
        last = _unstandardised(last.double().unsqueeze(0), base.dense)[0]
        network = base.network
        hidden = [
            (weight.detach()[0, 0], bias.detach()[0, 0])
            for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True)
        ]
        mean, scale = (None if one is None else one[0] for one in (network.mean, network.scale))
    elif isinstance(base, Dense):
        hidden, mean, scale = [], base.mean, base.scale
    else:
        raise InputError(
            "a model on an estimator of scikit-learn cannot be saved without a pickle, expected trees, a perceptron or "
            "the columns as its base"
        )
    logits = last.float()
    layers = (*hidden, (logits[:-1], logits[-1]))
    return Servable(layers=layers, mean=mean, scale=scale, threshold=threshold, rule=decision, **described)


def _unstandardised(heads: Float[Tensor, "k p G"], statistics: Dense) -> Float[Tensor, "k p G"]:
    """Return heads on features as they come that say the same as heads on standardised ones."""
    weight = heads[:, :-1] / statistics.scale.double().view(1, -1, 1)
    intercept = heads[:, -1] - (weight * statistics.mean.double().view(1, -1, 1)).sum(dim=1)
    return torch.cat([weight, intercept.unsqueeze(1)], dim=1)
