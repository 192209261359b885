"""Fit the methods that people use today on the same features and the same rows as ours."""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import product
from typing import Any

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from counterpoise.methods import Outcome, Peer, choose_regularization, fit_peer, peer_grid, require_cells
from counterpoise.nn import Examples
from counterpoise.nn.compute import as_completed, replicate
from counterpoise.params import Compute, Dataset, Peers, Seeds
from counterpoise.pipelines.arrays import examples, origin, require_seeds, rows
from counterpoise.pipelines.progress import training_progress
from counterpoise.storage import Checkpoint, as_header

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
        require_cells(grid, data.y[own], data.s[own], groups=len(dataset.groups))

    tasks = list(product(range(len(seeds.root)), grid))
    where = compute.model_dump()
    C = replicate(_choose, range(len(seeds.root)), shared=(data, members, peers.C), **where)
    outcomes: dict[int, dict[str, Outcome]] = {}
    with training_progress("peers", len(tasks)) as advance:
        shared = (data, members, C, peers.max_iter, seeds.root)
        for position, outcome in as_completed(_fit_one, tasks, shared=shared, **where):
            outcomes[position] = outcome
            advance(len(outcomes))

    shape = (len(seeds.root), len(grid))
    tensors: dict[str, Tensor] = {}
    for part in PARTS:
        made = [outcomes[position][part] for position in range(len(tasks))]
        tensors[f"{part}.score"] = torch.stack([outcome.score for outcome in made]).unflatten(0, shape)
        tensors[f"{part}.prediction"] = torch.stack([outcome.prediction for outcome in made]).unflatten(0, shape)
    variants = {peer.name: _settings(peer) for peer in grid}
    return Checkpoint(tensors, as_header(architecture="outcomes", variants=variants, C=C, **origin(splits)))


def _choose(r: int, data: Examples, members: dict[str, Int[Tensor, "R n"]], candidates: tuple[float, ...]) -> float:
    with _one_thread():
        return choose_regularization(
            _part(data, members, "train", r), _part(data, members, "validation", r), candidates
        )


def _fit_one(
    task: tuple[int, Peer],
    data: Examples,
    members: dict[str, Int[Tensor, "R n"]],
    C: list[float],
    max_iter: int,
    seeds: tuple[int, ...],
) -> dict[str, Outcome]:
    """Return the outcome of one peer of one replicate in every part."""
    r, peer = task
    with _one_thread():
        classify = fit_peer(peer, _part(data, members, "train", r), C=C[r], max_iter=max_iter, seed=seeds[r])
        asked = {name: _part(data, members, name, r) for name in PARTS}
        return {
            name: classify(part.x, part.s if peer.needs_group_at_prediction else None) for name, part in asked.items()
        }


def _part(data: Examples, members: dict[str, Int[Tensor, "R n"]], name: str, r: int) -> Examples:
    """Return the rows of one part as one replicate sees them."""
    own, chosen = data.replicate(r), members[name][r]
    return Examples(own.x[chosen], own.y[chosen], own.s[chosen])


def _one_thread() -> AbstractContextManager[Any]:
    """Keep numpy's and scikit-learn's libraries on one thread: the same sums in the same order on every backend."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(1)


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
