"""Run methods on each replicate's network: repairs of its weights, sub-networks of it, and their peers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.catalogue import BY_NAME, methods_of
from counterpoise.config.parameters import Compute, Dataset, Seeds
from counterpoise.config.repairs import FAMILIES, Repairs
from counterpoise.data.encode import OFFICIAL_PART, UNIT
from counterpoise.methods import repair
from counterpoise.methods.gates.biases import require_learnt
from counterpoise.methods.objective import Objective, ObjectiveSettings
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.judging import LAST
from counterpoise.methods.weights.mask_discovery import agreement, pruned_by_layer
from counterpoise.pipelines.shared.arrays import origin
from counterpoise.pipelines.shared.networks import delete_checkpoints, learning_curves, problem_of, run
from counterpoise.pipelines.shared.predictions import joined, predictions_of_network

STATISTICS = ("mean", "scale")
"""Parameters of all networks of a table: its input is standardised."""

TABLE = {
    **dict.fromkeys(("method", "variant"), "str"),
    "seed": "int64",
    **dict.fromkeys(("epoch", "epochs"), "Int64"),
    "needs_group": "bool",
    "alpha": "float64",
    "rank": "Int64",
    **dict.fromkeys(("threshold", "phi", "performance", "bias"), "float64"),
    "chosen_on": "Int64",
    **dict.fromkeys(("pruned", "critic_ratio", "sparsity"), "float64"),
    **dict.fromkeys(("information", "leakage", "conflicting_accuracy", "unbiased_average"), "float64"),
}
"""The columns of `repairs.parquet`: what names a model, then the facts of its result."""

PRUNED_LAYERS = {"mask": "str", "layer": "str", "position": "int64", "seed": "int64", "pruned": "float64"}
MASK_AGREEMENT = {"mask": "str", "left": "int64", "right": "int64", "iou": "float64", "chance": "float64"}


def repair_networks(
    samples: pd.DataFrame,
    splits: Checkpoint,
    pretrained: Checkpoint,
    dataset: Dataset,
    network: dict[str, Any],
    seeds: Seeds,
    repairs: Repairs,
    compute: Compute,
    epochs: int | None,
    training_states: Path,
    objective: ObjectiveSettings | None = None,
    pixels: Checkpoint | None = None,
) -> tuple[Checkpoint, Checkpoint, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Run the methods of an experiment on each replicate's pretrained network.

    Returns:
        The networks and new last layers; the masks that were discovered; the contract's predictions; one row per
        variant and seed of how it was chosen and what was measured; learning curves.

    Raises:
        InputError: the checkpoints are of other seeds, the rows to repair with lack a class or group, or a network of
            which a part is looked for has learnt nothing but the bias and `accept_vanilla` is off.
    """
    problem = problem_of(
        "repair",
        samples,
        splits,
        pretrained,
        dataset,
        network,
        seeds,
        training_states,
        pixels,
        objective=None if objective is None else Objective(**vars(objective), classes=len(dataset.classes)),
        **biases(samples, dataset, images=pixels is not None),
    )
    arguments = (repairs.settings(epochs), repairs.accept_vanilla)
    results = repair.join(run(problem, _run_methods, arguments, compute, "repair"))
    delete_checkpoints(problem)
    predictions = [
        frame
        for result in results
        for frame in predictions_of_network(
            problem.examples, method_of(result), result.name, seeds.root, problem.test, result.score, result.prediction
        )
    ]
    return (
        _networks(results, pretrained),
        _masks(results, pretrained),
        joined(predictions),
        _table(results, seeds.root),
        learning_curves(results, seeds.root),
    )


def biases(samples: pd.DataFrame, dataset: Dataset, *, images: bool) -> dict[str, Any]:
    """Return the biases of the rows, and how many values each has: the group, and every further column of an image."""
    further = [name for name in samples if name not in {"image", "y", "s", OFFICIAL_PART, UNIT}] if images else []
    columns = [torch.tensor(samples[name].to_numpy()) for name in ("s", *further)]
    values = (len(dataset.groups), *(int(column.max()) + 1 for column in columns[1:]))
    return {"biases": torch.stack(columns), "values": values}


def method_of(result: Result) -> str:
    """Return the method of a variant, which may be its last epoch's model."""
    return result.name.removesuffix(LAST)


def _run_methods(problem: Problem, settings: Mapping[str, Any], accept: bool) -> list[Result]:
    if settings.keys() & methods_of("gates"):
        require_learnt(problem, accept=accept)
    results = repair.run(problem, settings, FAMILIES)
    return [replace(result, tensors={}) if result.name.endswith(LAST) else result for result in results]


def _networks(results: Sequence[Result], pretrained: Checkpoint) -> Checkpoint:
    """Store networks as `<variant>.<parameter>`, with input statistics once, and last layers as `<variant>.head.…`."""
    tensors = {name: pretrained.tensors[name] for name in STATISTICS if name in pretrained.tensors}
    best = [result for result in results if not result.name.endswith(LAST)]  # of the last epoch only decisions are kept
    for result in best:
        network = {name: tensor for name, tensor in result.part("network").items() if name not in STATISTICS}
        tensors |= repair.prefixed(result.name, network)
        tensors |= repair.prefixed(f"{result.name}.head", result.part("head"))
    variants = {result.name: {"method": result.name} for result in best}
    base = {name: pretrained.header[name] for name in ("architecture", "network")}
    return Checkpoint(tensors, as_header(variants=variants, **base, **origin(pretrained)))


def _masks(results: Sequence[Result], pretrained: Checkpoint) -> Checkpoint:
    """Store masks as `<variant>.<weight>`, bool [R, ...]; a file sorts its names, the header keeps their order."""
    masks = {result.name: mask for result in results if (mask := result.part("masks"))}
    tensors = {f"{variant}.{name}": tensor.bool() for variant, mask in masks.items() for name, tensor in mask.items()}
    layers = {variant: list(mask) for variant, mask in masks.items()}
    return Checkpoint(tensors, as_header(architecture="masks", layers=layers, **origin(pretrained)))


def read_masks(checkpoint: Checkpoint) -> dict[str, dict[str, Tensor]]:
    """Return stored masks by variant and weight, in the order of the network's layers."""
    layers: Mapping[str, Sequence[str]] = checkpoint.header.get("layers", {})
    return {
        variant: {name: checkpoint.tensors[f"{variant}.{name}"] for name in names} for variant, names in layers.items()
    }


def _table(results: Sequence[Result], seeds: Sequence[int]) -> pd.DataFrame:
    rows = []
    for result in results:
        method = method_of(result)
        names: dict[str, Any] = {"method": method, "variant": result.name, "epochs": result.epochs}
        names["needs_group"] = BY_NAME[method].needs_group
        for r, seed in enumerate(seeds):
            facts = {column: result.fact(column, r) for column in TABLE if column not in names}
            epoch = None if result.epoch is None else int(result.epoch[r])
            rows.append(facts | names | {"seed": seed, "epoch": epoch})
    return pd.DataFrame(rows, columns=list(TABLE)).astype(TABLE)


def describe_masks(masks: Checkpoint) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the share that each mask leaves out, by layer and seed, and how far two seeds leave out the same weights.

    Returns:
        `mask, layer, position, seed, pruned`; and `mask, left, right, iou, chance`, where chance is the intersection
        over union that masks would have that leave out as many weights of each layer, anywhere in it.
    """
    seeds = masks.header["seeds"]
    layers, pairs = [], []
    for name, mask in read_masks(masks).items():
        layers += [
            {"mask": name, "layer": layer, "position": position, "seed": seed, "pruned": float(shares[r])}
            for position, (layer, shares) in enumerate(pruned_by_layer(mask).items())
            for r, seed in enumerate(seeds)
        ]
        pairs += _pairs(name, mask, seeds)
    return (
        pd.DataFrame(layers, columns=list(PRUNED_LAYERS)).astype(PRUNED_LAYERS),
        pd.DataFrame(pairs, columns=list(MASK_AGREEMENT)).astype(MASK_AGREEMENT),
    )


def _pairs(name: str, masks: Mapping[str, Tensor], seeds: Sequence[int]) -> list[dict[str, object]]:
    iou = agreement(masks)
    sizes = torch.tensor([mask[0].numel() for mask in masks.values()])
    pruned = torch.stack(list(pruned_by_layer(masks).values())) * sizes.unsqueeze(1)  # [layers, R]
    pairs: list[dict[str, object]] = []
    for i, left in enumerate(seeds):
        for j, right in enumerate(seeds[:i]):
            both = (pruned[:, i] * pruned[:, j] / sizes).sum()
            chance = both / (pruned[:, i].sum() + pruned[:, j].sum() - both)
            pairs.append({"mask": name, "left": left, "right": right, "iou": float(iou[i, j]), "chance": float(chance)})
    return pairs
