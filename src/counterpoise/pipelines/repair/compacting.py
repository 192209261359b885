"""Small networks without what is pruned, and what that saves."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
from torch import Tensor

from counterpoise.artifacts import compacted
from counterpoise.artifacts.compacted import CompactModel
from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.catalogue import BY_NAME
from counterpoise.config.parameters import Dataset, Seeds
from counterpoise.data.encode import feature_names
from counterpoise.methods.gates.merging import merged
from counterpoise.methods.repair import under
from counterpoise.nn.costs import Saving, shrink
from counterpoise.nn.networks import Networks, SingleNetwork, State
from counterpoise.pipelines.shared.arrays import origin, require_seeds, rows
from counterpoise.pipelines.shared.networks import builder_of, inputs, resting

COSTS = {
    "method": "str",
    "variant": "str",
    "seed": "int64",
    **{f"{number}{state}": "int64" for number in ("parameters", "nonzero", "macs") for state in ("", "_compact")},
    **dict.fromkeys(("latency", "latency_compact", "latency_ratio"), "float64"),
    "batch": "int64",
    "difference": "float64",
    "compared": "int64",
}
"""The columns of `costs.parquet`, which has no row where nothing is pruned."""


def compact_networks(
    samples: pd.DataFrame,
    splits: Checkpoint,
    pretrained: Checkpoint,
    dataset: Dataset,
    network: dict[str, Any],
    seeds: Seeds,
    repaired: Checkpoint,
    masks: Checkpoint,
    repairs: pd.DataFrame,
    pixels: Checkpoint | None = None,
) -> tuple[Checkpoint, pd.DataFrame]:
    """Remove the completely pruned units of every pruned network, and measure the saving.

    Args:
        repairs: the variants with a share `pruned` are networks some of whose weights are zero.

    Returns:
        The compact networks; what each network needs before and after.

    Raises:
        InputError: the checkpoints are of other seeds.
    """
    require_seeds(seeds, splits=splits, pretrained=pretrained, repaired=repaired, masks=masks)
    x, test = inputs(samples, pixels), rows(splits, "test")
    statistics = (pretrained.tensors.get(name) for name in ("mean", "scale"))
    builder = resting(builder_of(network, dataset, seeds, x, *statistics))
    columns = () if pixels is not None else tuple(feature_names(samples))
    models, costs = [], []
    for r, seed in enumerate(seeds.root):
        single, tested = builder.replicate(r)(), x[test[r]].unsqueeze(0)
        choices: Iterable[Any] = repairs[repairs["seed"] == seed].itertuples()
        for choice in choices:
            state = _pruned(choice, r, single, pretrained, repaired, masks, tested[:, :1])
            if state is None:
                continue
            single.load(single.state() | state)
            saving = shrink(single, tested, name=f"{choice.variant}, seed {seed}")
            threshold = choice.threshold if pd.notna(choice.threshold) else middle(dataset)
            models.append(CompactModel(choice.variant, seed, saving.module, dataset.classes, columns, threshold))
            costs.append(_cost(choice.method, choice.variant, seed, saving))
    table = pd.DataFrame(costs, columns=list(COSTS)).astype(COSTS)
    return compacted.write(models, **origin(pretrained)), table


def middle(dataset: Dataset) -> float:
    """Return the threshold of a network that nothing has moved; NaN of many classes, which have none."""
    return 0.5 if len(dataset.classes) == 2 else math.nan


def _pruned(
    choice: Any, r: int, single: Networks, pretrained: Checkpoint, repaired: Checkpoint, masks: Checkpoint, x: Tensor
) -> State | None:
    """Return the parameters [1, ...] of a pruned network that leaves; None of others. The network is used."""
    if BY_NAME[choice.method].compact:
        return sub_network(single, pretrained, masks, choice.variant, r, x)
    if pd.isna(choice.pruned) or choice.variant not in repaired.header["variants"]:
        return None
    return {name: tensor[r : r + 1] for name, tensor in under(choice.variant, repaired.tensors).items()}


def sub_network(single: Networks, pretrained: Checkpoint, masks: Checkpoint, variant: str, r: int, x: Tensor) -> State:
    """Return the parameters [1, ...] of a network without what its gates close; the network is used.

    Args:
        x: any input. variant: of whose gates `masks` are.
    """
    assert isinstance(single, SingleNetwork)
    single.load({name: tensor[r : r + 1] for name, tensor in pretrained.tensors.items()})
    return merged(single, {name: gates[r : r + 1] for name, gates in under(variant, masks.tensors).items()}, x)


def _cost(method: str, variant: str, seed: int, saving: Saving) -> dict[str, Any]:
    """Return a row of the table of costs; times in milliseconds."""
    before, after = saving.seconds
    return {
        "method": method,
        "variant": variant,
        "seed": seed,
        **vars(saving.before),
        **{f"{number}_compact": value for number, value in vars(saving.after).items()},
        "latency": before * 1000,
        "latency_compact": after * 1000,
        "latency_ratio": after / before,
        **{name: getattr(saving, name) for name in ("batch", "difference", "compared")},
    }
