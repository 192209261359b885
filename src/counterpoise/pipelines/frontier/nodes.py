"""Train the grid of penalised heads, replicate by replicate, each replicate's as one bank."""

from __future__ import annotations

import logging

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.methods import GridTraining, TrainedGrid, frontier_grid, train_replicate
from counterpoise.nn import Examples, Optimizer
from counterpoise.nn.compute import as_completed
from counterpoise.params import Compute, Dataset, Frontier, Seeds
from counterpoise.pipelines.arrays import examples, origin, require_features, require_seeds, rows
from counterpoise.pipelines.heads import read_heads
from counterpoise.pipelines.progress import training_progress
from counterpoise.storage import Checkpoint, as_header

LOG = logging.getLogger(__name__)

EVALUATED = ("validation", "test")

NAMED = 5
"""How many diverged heads a warning names; the header of the checkpoint names all."""


def train_frontier(
    samples: pd.DataFrame,
    splits: Checkpoint,
    features: Checkpoint,
    head_bank: Checkpoint,
    dataset: Dataset,
    frontier: Frontier,
    epochs: int | None,
    compute: Compute,
    seeds: Seeds,
) -> tuple[Checkpoint, Checkpoint]:
    """Train every initial head under every penalty on each replicate's training rows.

    A replicate's heads are one bank on one thread; replicates run side by side (`compute`). That is faster than one
    bank of all replicates on all threads: with all rows in every batch, what is passed on from one operation to the
    next stays in a core's cache.

    Returns:
        Dense heads `weight` [R, V, d, 2] and `bias` [R, V, 2], and their outcomes: `validation.score` and `test.score`
        [R, V, m], the probability of the positive class. Axis V is in the order of the names in the header's
        `variants`, which is alphabetical. A head that diverged is NaN, and named in the header.

    Raises:
        InputError: the checkpoints are of other seeds or features, or a class or group is missing where it is needed.
    """
    require_seeds(seeds, splits=splits, head_bank=head_bank)
    heads = read_heads(head_bank)
    require_features(features, "head_bank", next(iter(heads.values())).first.shape[-2])
    settings = head_bank.header["variants"]
    points = sorted(
        frontier_grid(list(heads), frontier.constraints, frontier.strengths, frontier.weight_decays),
        key=lambda point: point.name,
    )
    data = examples(samples, features.tensors["features"])
    members = {part: rows(splits, part) for part in ("train", *EVALUATED)}
    for part, own in members.items():
        _require_cells(data, part, own, dataset)

    training = GridTraining(
        optimizer=Optimizer(**frontier.training.optimizer.model_dump()),
        epochs=epochs or frontier.training.epochs,
        batch_size=frontier.training.batch_size,
        temperature=frontier.temperature,
        groups=len(dataset.groups),
        balanced=frontier.class_weights == "balanced",
    )
    shared = (points, heads, data, members, training, seeds.root)
    trained: dict[int, TrainedGrid] = {}
    with training_progress("frontier", len(seeds.root)) as advance:
        for position, one in as_completed(
            train_replicate, range(len(seeds.root)), shared=shared, **compute.model_dump()
        ):
            trained[position] = one
            advance(len(trained))
    ordered = [trained[position] for position in range(len(seeds.root))]
    diverged = [
        [seed, points[int(v)].name]
        for seed, one in zip(seeds.root, ordered, strict=True)
        for v in one.diverged[0].nonzero().flatten()
    ]
    if diverged:
        LOG.warning(
            "%d of %d heads diverged and are left out of every choice and mean: %s",
            len(diverged),
            len(points) * len(ordered),
            ", ".join(f"{name} of seed {seed}" for seed, name in diverged[:NAMED]) + (" …" if diverged[NAMED:] else ""),
        )
    header = {
        "variants": {
            point.name: {
                **settings[point.head],
                "constraint": point.constraint,
                "strength": point.strength if point.constraint else None,
                "weight_decay": point.weight_decay,
                "needs_group": False,
            }
            for point in points
        },
        "thresholds": list(frontier.thresholds),
        "diverged": diverged,
        **origin(splits),
    }
    return (
        Checkpoint(
            {name: torch.cat([getattr(one, name) for one in ordered]) for name in ("weight", "bias")},
            as_header(architecture="dense heads", **header),
        ),
        Checkpoint(
            {f"{part}.score": torch.cat([one.scores[part] for one in ordered]) for part in EVALUATED},
            as_header(architecture="outcomes", **header),
        ),
    )


def _require_cells(data: Examples, part: str, members: Int[Tensor, "R n"], dataset: Dataset) -> None:
    """Raise InputError unless every class of every group is among each replicate's rows of a part."""
    for cell, (group, label) in enumerate((g, c) for g in dataset.group_names for c in dataset.classes):
        there = data.s[members] * len(dataset.classes) + data.y[members] == cell
        if not there.any(dim=1).all():
            raise InputError(
                f"{dataset.title}: a replicate's {part} part has no row of {label!r} among {group!r}, expected one "
                "at least, or their rates cannot be compared"
            )
