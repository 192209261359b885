"""Train the bank of penalised heads."""

from __future__ import annotations

import logging
from dataclasses import replace

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Block, Compute, Dataset, Seeds
from counterpoise.methods.heads import penalized_bank
from counterpoise.methods.heads.penalized_bank import PenalizedBank
from counterpoise.methods.heads.problem import settings_of
from counterpoise.pipelines.shared.arrays import origin
from counterpoise.pipelines.shared.heads import followed, problem_of, stacked

LOG = logging.getLogger(__name__)

NAMED = 5
"""How many diverged heads a warning names; the header of the checkpoint names all."""


def train_bank(
    samples: pd.DataFrame,
    splits: Checkpoint,
    features: Checkpoint,
    head_bank: Checkpoint,
    dataset: Dataset,
    frontier: Block[PenalizedBank],
    epochs: int | None,
    compute: Compute,
    seeds: Seeds,
) -> tuple[Checkpoint, Checkpoint]:
    """Train every initial head under every penalty on each replicate's training rows.

    Returns:
        Dense heads `weight` [R, V, d, 2] and `bias` [R, V, 2], and their outcomes: `validation.score` and `test.score`
        [R, V, m], the probability of the positive class; with `frontier.folds`, also `train.score` [R, V, n], of every
        training row by heads that were trained without its fold. Axis V is in the order of the names in the header's
        `variants`, which is alphabetical. A head that diverged is NaN, and named in the header.

    Raises:
        InputError: the checkpoints are of other seeds or features, or a class or group is missing where it is needed.
    """
    settings, x = frontier.root, features.tensors["features"]
    settings = replace(settings, training=settings.training.lasting(epochs))
    with followed(problem_of(samples, splits, x, dataset, seeds, head_bank), compute) as problem:
        results = penalized_bank.run(problem, settings, {})
    diverged = [
        [seed, result.name] for r, seed in enumerate(seeds.root) for result in results if result.fact("diverged", r)
    ]
    if diverged:
        LOG.warning(
            "%d of %d heads diverged and are left out of every choice and mean: %s",
            len(diverged),
            len(results) * len(seeds.root),
            ", ".join(f"{name} of seed {seed}" for seed, name in diverged[:NAMED]) + (" …" if diverged[NAMED:] else ""),
        )
    header = {
        "variants": {name: variant | {"needs_group": False} for name, variant in settings_of(results).items()},
        "thresholds": list(settings.thresholds),
        "diverged": diverged,
        **origin(splits),
    }
    parts = [name.removeprefix("scores.") for name in results[0].tensors if name.startswith("scores.")]
    scores = {f"{part}.score": stacked(results, f"scores.{part}") for part in parts}
    scores["test.score"] = torch.stack([result.score.squeeze(-1) for result in results], dim=1)
    return (
        Checkpoint(
            {"weight": stacked(results, "head.W"), "bias": stacked(results, "head.b")},
            as_header(architecture="dense heads", **header),
        ),
        Checkpoint(scores, as_header(architecture="outcomes", **header)),
    )
