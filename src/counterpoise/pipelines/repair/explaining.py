"""Heat maps of a few test images: what networks and their sub-networks look at, before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.catalogue import BY_NAME, methods_of
from counterpoise.config.parameters import Dataset, Seeds
from counterpoise.methods.gates.biases import conflicting
from counterpoise.methods.outputs import decisions
from counterpoise.methods.problem import Problem
from counterpoise.nn.gradcam import explained, method_for
from counterpoise.nn.networks import SingleNetwork, evaluate
from counterpoise.pipelines.repair.compacting import sub_network
from counterpoise.pipelines.repair.nodes import biases, read_masks
from counterpoise.pipelines.shared.arrays import origin, require_seeds
from counterpoise.pipelines.shared.networks import builder_of, inputs, problem_of, resting

EXPLAINED = 10
"""Test images whose heat maps are drawn."""

ARCHITECTURE = "explanations"


def explain_networks(
    samples: pd.DataFrame,
    splits: Checkpoint,
    pretrained: Checkpoint,
    dataset: Dataset,
    network: dict[str, Any],
    seeds: Seeds,
    masks: Checkpoint,
    training_states: Path,
    pixels: Checkpoint,
) -> Checkpoint:
    """Return where the first seed's networks see the class of ten test images, before and after.

    Returns:
        `images` uint8 [n, 3, H, W], their `rows`, `y` and `s` [n]; of the frozen network and of each sub-network that
        leaves as a small one `<variant>.heat` [n, H, W], for the class y, and `<variant>.prediction` [n].

    Raises:
        InputError: the checkpoints are of other seeds.
    """
    require_seeds(seeds, splits=splits, pretrained=pretrained, masks=masks)
    values = biases(samples, dataset, images=True)
    problem = problem_of(
        "explain", samples, splits, pretrained, dataset, network, seeds, training_states, pixels, **values
    ).replicate(0)
    shown = to_explain(problem)
    x, y, s = problem.examples.take(shown)
    single = resting(builder_of(network, dataset, seeds, inputs(samples, pixels))).replicate(0)()
    assert isinstance(single, SingleNetwork)
    frozen = next(name for name, method in methods_of("gates").items() if method.base)
    states = {frozen: problem.base}
    for variant in read_masks(masks):
        if BY_NAME[variant].compact:
            states[variant] = sub_network(single, pretrained, masks, variant, 0, x)
    tensors = {"images": x[0], "rows": shown[0], "y": y[0], "s": s[0]}
    for variant, state in states.items():
        single.load(state)
        tensors[f"{variant}.heat"] = explained(single, x, y[0])
        tensors[f"{variant}.prediction"] = decisions(evaluate(single, problem.examples, shown).logits)[0]
    facts = {"method": method_for(single), "variants": list(states), "seed": seeds.root[0]}
    return Checkpoint(tensors, as_header(architecture=ARCHITECTURE, **facts, **origin(pretrained)))


def to_explain(problem: Problem, count: int = EXPLAINED) -> Int[Tensor, "1 n"]:
    """Return test rows of one replicate, as many of each class: those that conflict with all biases come first.

    Of each kind the first in the order of the data; with more than `count` classes one of each of the first.
    """
    y, _ = problem.labels(problem.test)
    against = conflicting(problem, problem.test).sum(dim=0)[0]
    order = against.argsort(descending=True, stable=True)
    each = max(1, count // problem.classes)
    rows = [problem.test[0, order[y[0, order] == label][:each]] for label in range(min(problem.classes, count))]
    return torch.cat(rows).unsqueeze(0)
