"""Fit the methods that people use today on the same features and the same rows as ours."""

from __future__ import annotations

from itertools import product
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.compute import replicate
from counterpoise.config.parameters import Compute, Dataset, Peers, Seeds
from counterpoise.methods import Peer, choose_replicate_regularization, fit_replicate, peer_grid, require_rows
from counterpoise.pipelines.shared.arrays import examples, origin, require_seeds, rows
from counterpoise.pipelines.shared.progress import training_progress

PARTS = ("validation", "test")


def fit_peers(
    samples: pd.DataFrame,
    splits: Checkpoint,
    features: Checkpoint,
    dataset: Dataset,
    peers: Peers,
    compute: Compute,
    seeds: Seeds,
) -> Checkpoint:
    """Fit every peer on each replicate's training rows; one task per replicate and peer.

    Returns:
        `<part>.score` float32 and `<part>.prediction` uint8 [R, V, m] of the parts validation and test. Axis V is in
        the order of the names in the header's `variants`, which is alphabetical, as it comes back from a file;
        `C` is what each replicate chose.
    """
    require_seeds(seeds, splits=splits)
    data = examples(samples, features.tensors["features"])
    members = {part: rows(splits, part) for part in ("train", *PARTS)}
    grid = sorted(peer_grid(peers.methods, peers.tolerances), key=lambda peer: peer.name)
    for own in members["train"]:
        require_rows(grid, data.y[own], data.s[own], groups=len(dataset.groups))

    tasks = list(product(range(len(seeds.root)), grid))
    where = compute.model_dump()
    C = replicate(choose_replicate_regularization, range(len(seeds.root)), shared=(data, members, peers.C), **where)
    with training_progress("peers", len(tasks)) as advance:
        shared = (data, members, C, peers.max_iter, seeds.root)
        outcomes = replicate(fit_replicate, tasks, shared=shared, on_done=advance, **where)

    shape = (len(seeds.root), len(grid))
    tensors: dict[str, Tensor] = {}
    for part in PARTS:
        made = [outcome[part] for outcome in outcomes]
        tensors[f"{part}.score"] = torch.stack([outcome.score for outcome in made]).unflatten(0, shape)
        tensors[f"{part}.prediction"] = torch.stack([outcome.prediction for outcome in made]).unflatten(0, shape)
    variants = {peer.name: _settings(peer) for peer in grid}
    return Checkpoint(tensors, as_header(architecture="outcomes", variants=variants, C=C, **origin(splits)))


def _settings(peer: Peer) -> dict[str, Any]:
    """Return a peer's settings under the column names of `metrics.parquet`, and whether it asks for the group."""
    return {
        "method": peer.method,
        "alpha": None,
        "rank": None,
        "constraint": peer.constraint,
        "strength": peer.tolerance,
        "needs_group": peer.needs_group_at_prediction,
    }
