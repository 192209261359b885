"""A head or a rule put on its base: the model that is exported."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoise.artifacts.serving import Rule, Servable
from counterpoise.errors import InputError
from counterpoise.methods.bases.boosted import Boosted, BoostedClasses
from counterpoise.methods.bases.dense import Dense
from counterpoise.methods.bases.ground import Ground
from counterpoise.methods.bases.perceptron import Perceptron
from counterpoise.methods.rules.joint import GroupHeads, GroupTrees


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
