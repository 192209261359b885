"""What the stages that prune whole networks share: small networks without what is pruned, and what that saves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jaxtyping import Int, Shaped
from torch import Tensor

from counterpoise.artifacts import compacted
from counterpoise.artifacts.compacted import CompactModel
from counterpoise.artifacts.datasets import Checkpoint
from counterpoise.config.parameters import Dataset, Seeds
from counterpoise.nn.builders import Builder
from counterpoise.nn.costs import Saving, shrink
from counterpoise.nn.networks import Networks, State
from counterpoise.pipelines.shared.arrays import origin

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


@dataclass(frozen=True, eq=False)
class Pruned:
    """One replicate's pruned network: what has become of its parameters [1, ...], and how it decides."""

    method: str
    variant: str
    threshold: float
    state: State


def compact_pruned(
    builder: Builder,
    seeds: Seeds,
    x: Shaped[Tensor, "N ..."],
    test: Int[Tensor, "R t"],
    pruned_of: Callable[[int, Networks], Iterable[Pruned]],
    dataset: Dataset,
    pretrained: Checkpoint,
    columns: tuple[str, ...] = (),
) -> tuple[Checkpoint, pd.DataFrame]:
    """Cut what is wholly pruned out of every pruned network, and measure what that saves.

    Args:
        builder: see `whole_networks.resting_builder`.
        test: the rows on which both must say the same.
        pruned_of: position of a replicate, and its network → its pruned networks. The network is to be used at will.
        columns: of a table.

    Returns:
        The compact networks; what each network needs before and after.
    """
    models, costs = [], []
    for r, seed in enumerate(seeds.root):
        single, seen = builder.replicate(r)(), x[test[r]].unsqueeze(0)
        for own in pruned_of(r, single):
            single.load(single.state() | own.state)
            saving = shrink(single, seen, name=f"{own.variant}, seed {seed}")
            models.append(CompactModel(own.variant, seed, saving.module, dataset.classes, columns, own.threshold))
            costs.append(_cost(own.method, own.variant, seed, saving))
    table = pd.DataFrame(costs, columns=list(COSTS)).astype(COSTS)
    return compacted.write(models, **origin(pretrained)), table


def _cost(method: str, variant: str, seed: int, saving: Saving) -> dict[str, Any]:
    """Return a row of the table of costs; times in milliseconds."""
    before, after = saving.before, saving.after
    return {
        "method": method,
        "variant": variant,
        "seed": seed,
        "parameters": before.parameters,
        "parameters_compact": after.parameters,
        "nonzero": before.nonzero,
        "nonzero_compact": after.nonzero,
        "macs": before.macs,
        "macs_compact": after.macs,
        "latency": saving.seconds[0] * 1000,
        "latency_compact": saving.seconds[1] * 1000,
        "latency_ratio": saving.seconds[1] / saving.seconds[0],
        "batch": saving.batch,
        "difference": saving.difference,
        "compared": saving.compared,
    }
