"""Sub-networks as small networks of their own, and what they and the vanilla network look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Dataset, Seeds
from counterpoise.methods.gates.catalogue import VANILLA
from counterpoise.methods.gates.merging import merged
from counterpoise.methods.gates.problem import Debiasing
from counterpoise.methods.outputs import decisions
from counterpoise.methods.tuning import under
from counterpoise.nn.gradcam import explained, method_for
from counterpoise.nn.networks import Networks, SingleNetwork, State, evaluate
from counterpoise.pipelines.shared.arrays import origin, require_seeds, rows
from counterpoise.pipelines.shared.compacting import Pruned, compact_pruned
from counterpoise.pipelines.shared.networks import inputs, problem_of, resting_builder
from counterpoise.pipelines.subnetwork.nodes import biased

LEAVING = ("ffw", "ffw_structured")
"""The sub-networks that leave as networks of their own: of weights, whose zeros save nothing, and of channels."""

EXPLAINED = 10
"""Test images whose heat maps are drawn."""

ARCHITECTURE = "explanations"


def compact_subnetworks(
    samples: pd.DataFrame,
    splits: Checkpoint,
    pretrained: Checkpoint,
    subnetworks: Checkpoint,
    pixels: Checkpoint,
    dataset: Dataset,
    network: dict[str, Any],
    seeds: Seeds,
) -> tuple[Checkpoint, pd.DataFrame]:
    """Cut closed channels out of the sub-networks in `LEAVING`, and measure what that saves.

    Returns:
        The compact networks; what each network needs before and after.

    Raises:
        InputError: the checkpoints are of other seeds.
    """
    require_seeds(seeds, splits=splits, pretrained=pretrained, subnetworks=subnetworks)
    x = inputs(samples, pixels)
    threshold = 0.5 if len(dataset.classes) == 2 else torch.nan

    def pruned_of(r: int, single: Networks) -> Iterator[Pruned]:
        for variant in leaving(subnetworks):
            state = state_of(single, pretrained, subnetworks, variant, r, x[:1].unsqueeze(0))
            yield Pruned(variant, variant, threshold, state)

    builder = resting_builder(network, dataset, seeds, x)
    return compact_pruned(builder, seeds, x, rows(splits, "test"), pruned_of, dataset, pretrained)


def leaving(subnetworks: Checkpoint) -> list[str]:
    """Return the names in `LEAVING` that were found in this experiment."""
    return [name for name in LEAVING if name in subnetworks.header["variants"]]


def state_of(
    single: Networks, pretrained: Checkpoint, subnetworks: Checkpoint, variant: str, r: int, x: Tensor
) -> State:
    """Return the parameters [1, ...] of one replicate's vanilla network, or of its sub-network; the network is used."""
    assert isinstance(single, SingleNetwork)
    vanilla = {name: tensor[r : r + 1] for name, tensor in pretrained.tensors.items()}
    if variant == VANILLA:
        return vanilla
    single.load(vanilla)
    opened = {name: gates[r : r + 1] for name, gates in under(variant, subnetworks.tensors).items()}
    return merged(single, opened, x)


def explain_subnetworks(
    samples: pd.DataFrame,
    splits: Checkpoint,
    pretrained: Checkpoint,
    subnetworks: Checkpoint,
    pixels: Checkpoint,
    dataset: Dataset,
    network: dict[str, Any],
    training_states: Path,
    seeds: Seeds,
) -> Checkpoint:
    """Return where the first seed's networks see the class of ten test images, before and after.

    Returns:
        `images` uint8 [n, 3, H, W], their `rows`, `y` and `s` [n]; of the vanilla network and of each sub-network in
        `LEAVING` `<variant>.heat` [n, H, W], for the class y, and `<variant>.prediction` [n].

    Raises:
        InputError: the checkpoints are of other seeds.
    """
    require_seeds(seeds, splits=splits, pretrained=pretrained, subnetworks=subnetworks)
    problem = biased(
        problem_of("subnetwork", samples, splits, pretrained, dataset, network, seeds, training_states, pixels),
        samples,
        dataset,
    ).replicate(0)
    shown = to_explain(problem)
    x, y, s = problem.examples.take(shown)
    single = resting_builder(network, dataset, seeds, inputs(samples, pixels)).replicate(0)()
    assert isinstance(single, SingleNetwork)
    tensors, variants = {"images": x[0], "rows": shown[0], "y": y[0], "s": s[0]}, [VANILLA, *leaving(subnetworks)]
    for variant in variants:
        single.load(state_of(single, pretrained, subnetworks, variant, 0, x))
        tensors[f"{variant}.heat"] = explained(single, x, y[0])
        tensors[f"{variant}.prediction"] = decisions(evaluate(single, problem.examples, shown).logits)[0]
    known = {"method": method_for(single), "variants": variants, "seed": seeds.root[0]}
    return Checkpoint(tensors, as_header(architecture=ARCHITECTURE, **known, **origin(pretrained)))


def to_explain(problem: Debiasing, count: int = EXPLAINED) -> Int[Tensor, "1 n"]:
    """Return test rows of one replicate, as many of each class: those that conflict with all biases come first.

    Of each kind the first in the order of the data; with more than `count` classes one of each of the first.
    """
    y, _ = problem.labels(problem.test)
    against = problem.conflicting(problem.test).sum(dim=0)[0]
    order = against.argsort(descending=True, stable=True)
    each = max(1, count // problem.classes)
    found = [problem.test[0, order[y[0, order] == label][:each]] for label in range(min(problem.classes, count))]
    return torch.cat(found).unsqueeze(0)
