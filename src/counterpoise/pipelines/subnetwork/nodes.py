"""Find the part of a vanilla network that is unbiased, and what else can be done with the same unbiased rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.gates import GateParameters, Subnetworks
from counterpoise.config.parameters import Compute, Dataset, Seeds
from counterpoise.data.encode import OFFICIAL_PART
from counterpoise.fairness import conflicting_accuracy, unbiased_average
from counterpoise.methods.gates import catalogue, schedules
from counterpoise.methods.gates.catalogue import Extracted
from counterpoise.methods.gates.gating import GateSettings
from counterpoise.methods.gates.lastlayer import BankSettings, RefitSettings
from counterpoise.methods.gates.problem import Debiasing, require_learnt
from counterpoise.methods.problem import Problem
from counterpoise.pipelines.shared.arrays import origin
from counterpoise.pipelines.shared.networks import epochs_of, forget, learning_curves, problem_of, run
from counterpoise.pipelines.shared.predictions import predictions_of_whole

LOG = logging.getLogger(__name__)


def extract_subnetworks(
    samples: pd.DataFrame,
    splits: Checkpoint,
    pretrained: Checkpoint,
    pixels: Checkpoint,
    dataset: Dataset,
    network: dict[str, Any],
    subnetworks: Subnetworks,
    training_states: Path,
    compute: Compute,
    epochs: int | None,
    seeds: Seeds,
) -> tuple[Checkpoint, pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Run every method on each replicate's vanilla network.

    Returns:
        The gates and last layers; the contract's predictions; one row per variant and seed of how it was found and
        what is left of the bias; the share of each layer's gates that is closed; learning curves.

    Raises:
        InputError: a vanilla network has learnt nothing but the bias, and `accept_vanilla` is off.
    """
    problem = problem_of("subnetwork", samples, splits, pretrained, dataset, network, seeds, training_states, pixels)
    own = biased(problem, samples, dataset)
    settings = settings_of(subnetworks, epochs)
    arguments = (subnetworks.methods, settings, subnetworks.accept_vanilla)
    results = catalogue.join(run(own, _of_replicate, arguments, compute, "sub-networks"))
    forget(own)
    said = [
        predictions_of_whole(own.examples, found.name, found.name, own.seeds, own.test, found.score, found.prediction)
        for found in results
    ]
    return (
        _checkpoint(results, pretrained),
        pd.concat(chain.from_iterable(said), ignore_index=True),
        _extractions(own, results, len(dataset.classes)),
        _layers(own, results),
        learning_curves(results, own.seeds).dropna(ignore_index=True),  # of epochs that were not needed
    )


def biased(problem: Problem, samples: pd.DataFrame, dataset: Dataset) -> Debiasing:
    """Return the problem with its biases: the group, and every further column beside an image."""
    further = [name for name in samples if name not in {"image", "y", "s", OFFICIAL_PART}]
    columns = [torch.tensor(samples[name].to_numpy()) for name in ("s", *further)]
    values = (len(dataset.groups), *(int(column.max()) + 1 for column in columns[1:]))
    known = {part.name: getattr(problem, part.name) for part in fields(Problem)}
    return Debiasing(**known, biases=torch.stack(columns), values=values, classes=len(dataset.classes))


def settings_of(subnetworks: Subnetworks, epochs: int | None) -> catalogue.Settings:
    """Return the methods' settings; `epochs` stands in for all numbers of epochs if it is given."""
    shorter = {} if epochs is None else {"epochs": epochs}
    return catalogue.Settings(
        gates={name: _gates(own, shorter) for name, own in subnetworks.gates.items()},
        refit=RefitSettings(**subnetworks.refit.model_dump() | shorter),
        bank=BankSettings(**subnetworks.bank.model_dump() | shorter),
    )


KINDS = {
    "stalling": schedules.Stalling,
    "geometric": schedules.Geometric,
    "straight_through": schedules.StraightThrough,
}


def _gates(own: GateParameters, shorter: dict[str, int]) -> GateSettings:
    chosen = own.model_dump()
    temperature = chosen.pop("temperature")
    return GateSettings(**chosen, temperature=KINDS[temperature.pop("kind")](**temperature | shorter))


def _of_replicate(
    problem: Debiasing, names: Sequence[str], settings: catalogue.Settings, accept: bool
) -> list[Extracted]:
    require_learnt(problem, accept=accept)
    return catalogue.run_methods(problem, names, settings)


def _checkpoint(results: Sequence[Extracted], pretrained: Checkpoint) -> Checkpoint:
    """Store gates as `<variant>.<gate>`, bool [R, ...], and last layers as `<variant>.head.<factor>`."""
    tensors: dict[str, torch.Tensor] = {}
    for result in results:
        tensors |= {f"{result.name}.{name}": own for name, own in (result.opened or {}).items()}
        tensors |= {f"{result.name}.head.{name}": own for name, own in (result.head or {}).items()}
    variants = {result.name: {"method": result.name} for result in results}
    known = {name: pretrained.header[name] for name in ("architecture", "network")}
    return Checkpoint(tensors, as_header(variants=variants, **known, **origin(pretrained)))


def _extractions(problem: Debiasing, results: Sequence[Extracted], classes: int) -> pd.DataFrame:
    """Return one row per variant and seed: how it was found, and what is left of the bias on the test rows."""
    y, _ = problem.labels(problem.test)
    conflicting = problem.conflicting(problem.test)
    made = []
    for result in results:
        right = {
            "conflicting_accuracy": conflicting_accuracy(y, result.prediction, conflicting.any(dim=0)),
            "unbiased_average": unbiased_average(y, result.prediction, conflicting),
        }
        for r, seed in enumerate(problem.seeds):
            known = {name: float(figure[r]) for name, figure in (result.figures | right).items()}
            made.append(
                {
                    "method": result.name,
                    "variant": result.name,
                    "seed": seed,
                    "alpha": result.alpha,
                    "rank": result.rank,
                    "epoch": None if result.epoch is None else int(result.epoch[r]),
                    "epochs": epochs_of(result),
                    "sparsity": None,
                }
                | known
            )
    return pd.DataFrame(made).astype(
        {"alpha": "float64", "rank": "Int64", "epoch": "Int64", "epochs": "Int64", "sparsity": "float64"}
    )


def _layers(problem: Debiasing, results: Sequence[Extracted]) -> pd.DataFrame:
    made = [
        {"mask": result.name, "layer": layer, "position": position, "seed": seed, "pruned": float(share[r])}
        for result in results
        for position, (layer, share) in enumerate(result.layers.items())
        for r, seed in enumerate(problem.seeds)
    ]
    return pd.DataFrame(made, columns=["mask", "layer", "position", "seed", "pruned"])
