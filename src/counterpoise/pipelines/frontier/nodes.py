"""Train the grid of penalised heads, replicate by replicate, each replicate's as one bank."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.compute import replicate
from counterpoise.config.parameters import Compute, Dataset, Frontier, Seeds
from counterpoise.methods import (
    GridTraining,
    TrainedGrid,
    fold_numbers,
    frontier_grid,
    require_cells,
    train_replicate,
)
from counterpoise.nn import Examples, Optimizer
from counterpoise.nn.random import generator
from counterpoise.pipelines.shared.arrays import examples, origin, require_features, require_seeds, rows
from counterpoise.pipelines.shared.heads import read_heads
from counterpoise.pipelines.shared.progress import training_progress

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
        [R, V, m], the probability of the positive class; with `frontier.folds`, also `train.score` [R, V, n], of every
        training row by heads that were trained without its fold. Axis V is in the order of the names in the header's
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
        require_cells(
            data.y[own],
            data.s[own],
            groups=[repr(name) for name in dataset.group_names],
            classes=[repr(name) for name in dataset.classes],
            where=f"{dataset.title}: a replicate's {part} part",
            why="or their rates cannot be compared",
        )

    training = GridTraining(
        optimizer=Optimizer(**frontier.training.optimizer.model_dump()),
        epochs=epochs or frontier.training.epochs,
        batch_size=frontier.training.batch_size,
        temperature=frontier.temperature,
        groups=len(dataset.groups),
        balanced=frontier.class_weights == "balanced",
    )
    replicates = range(len(seeds.root))
    folds = _folds(data, members["train"], frontier.folds, seeds) if frontier.folds else None
    tasks = [(r, None) for r in replicates] + [(r, fold) for r in replicates for fold in range(frontier.folds)]
    with training_progress("frontier", len(tasks)) as advance:
        shared = (points, heads, data, members, folds, training, seeds.root)
        trained = replicate(train_replicate, tasks, shared=shared, on_done=advance, **compute.model_dump())
    ordered = trained[: len(replicates)]
    scores = {part: torch.cat([one.scores[part] for one in ordered]) for part in EVALUATED}
    if folds is not None:
        scores["train"] = _held_out(tasks, trained, folds)
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
            {f"{part}.score": score for part, score in scores.items()},
            as_header(architecture="outcomes", **header),
        ),
    )


def _folds(data: Examples, members: Int[Tensor, "R n"], folds: int, seeds: Seeds) -> Int[Tensor, "R n"]:
    """Assign each replicate's training rows to folds."""
    return torch.stack(
        [
            fold_numbers(data.y[own], data.s[own], folds=folds, generator=generator(seed, "frontier folds"))
            for own, seed in zip(members, seeds.root, strict=True)
        ]
    )


def _held_out(
    tasks: Sequence[tuple[int, int | None]], trained: Sequence[TrainedGrid], folds: Int[Tensor, "R n"]
) -> Float[Tensor, "R V n"]:
    """Put the scores of the folds that were left out back into the order of the training rows."""
    scores = torch.full((len(folds), trained[0].diverged.shape[1], folds.shape[1]), torch.nan)
    for (r, fold), one in zip(tasks, trained, strict=True):
        if fold is not None:
            scores[r][:, folds[r] == fold] = one.scores["held_out"][0]
    return scores
