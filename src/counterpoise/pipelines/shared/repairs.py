"""What the stages of the second paper share: the task from the catalog's artifacts, and artifacts from the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from counterpoise.artifacts.datasets import Checkpoint, as_header
from counterpoise.config.parameters import Compute, Dataset, Seeds
from counterpoise.config.repairs import Altering, ObjectiveSettings
from counterpoise.methods.problem import Problem
from counterpoise.methods.weights import catalogue
from counterpoise.methods.weights.adversarial import Adversarial
from counterpoise.methods.weights.finetuning import Penalty
from counterpoise.methods.weights.inprocessing import Contested, InProcessing
from counterpoise.methods.weights.layerwise import Layerwise
from counterpoise.methods.weights.mask_discovery import MaskSettings
from counterpoise.methods.weights.objective import Objective
from counterpoise.methods.weights.perturbation import Perturbation
from counterpoise.methods.weights.postprocessing import CalibratedOdds, RejectOption
from counterpoise.methods.weights.task import Repaired, Task
from counterpoise.nn.networks import Weights
from counterpoise.pipelines.shared.arrays import origin
from counterpoise.pipelines.shared.networks import epochs_of, forget, learning_curves, problem_of, run
from counterpoise.pipelines.shared.predictions import predictions_of_whole
from counterpoise.reporting.wording import LAST

NEEDS_GROUP = frozenset({"reject_option", "equalized_odds_postprocessing", "calibrated_equalized_odds"})
"""Methods that ask for the group of whom they judge."""

STATISTICS = ("mean", "scale")


def task_of(
    stage: str,
    samples: pd.DataFrame,
    splits: Checkpoint,
    pretrained: Checkpoint | None,
    dataset: Dataset,
    network: Mapping[str, Any],
    objective: ObjectiveSettings,
    seeds: Seeds,
    training_states: Path,
    pixels: Checkpoint | None,
) -> Task:
    """Return the problem that all methods of a stage are given.

    Args:
        pretrained: None where it is about to be trained: the base is empty, and a table's input is standardised with
            the statistics of the pretraining rows.

    Raises:
        InputError: the checkpoints are of other seeds.
    """
    problem = problem_of(stage, samples, splits, pretrained, dataset, network, seeds, training_states, pixels)
    judged_by = Objective(**objective.model_dump(), classes=len(dataset.classes))
    return Task(**{part.name: getattr(problem, part.name) for part in fields(Problem)}, objective=judged_by)


def settings_of(altering: Altering, epochs: int | None) -> catalogue.Settings:
    """Return the methods' settings; `epochs` stands in for all numbers of epochs if it is given."""
    masks, adversarial, penalty = (
        block.model_dump() | ({} if epochs is None else {"epochs": epochs})
        for block in (altering.masks, altering.adversarial, altering.penalty)
    )
    scratch = altering.in_processing.model_dump() | ({} if epochs is None else {"epochs": epochs})
    opponent = {name: scratch.pop(name) for name in ("strength", "opponent_lr")}
    adversarial["warmup"] = min(adversarial["warmup"], adversarial["epochs"])
    learned = MaskSettings(**masks)
    return catalogue.Settings(
        masks=learned,
        paper_masks=replace(learned, reading="paper", batch_size=altering.paper_batch_size),
        adversarial=Adversarial(**adversarial),
        penalty=Penalty(**penalty),
        perturbation=Perturbation(**altering.perturbation.model_dump()),
        layerwise=Layerwise(**altering.layerwise.model_dump()),
        reject_option=RejectOption(**altering.reject_option.model_dump()),
        calibrated=CalibratedOdds(**altering.calibrated.model_dump()),
        in_processing=InProcessing(**scratch),
        contested=Contested(**scratch, **opponent),
        rounds=altering.rounds,
        diversity=altering.diversity,
        scale=altering.scale,
        consistency=altering.consistency,
    )


def run_stage(
    task: Task,
    stage: catalogue.Stage,
    altering: Altering,
    epochs: int | None,
    compute: Compute,
    pretrained: Checkpoint,
    masks: dict[str, Weights],
) -> tuple[Checkpoint, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Run a stage's methods and return their networks, predictions, choices and learning curves."""
    names, settings = catalogue.methods_of(stage, altering.methods), settings_of(altering, epochs)
    results = catalogue.join(run(task, catalogue.run_methods, (names, settings, masks), compute, stage))
    forget(task)
    return networks(results, pretrained), *frames(task, results)


def node_inputs(*, images: bool, also: Sequence[str] = ()) -> list[str]:
    """Return what the nodes of these stages read, in the order of their arguments."""
    return [
        *("samples", "splits", "pretrained", "params:dataset", "params:convnet" if images else "params:network"),
        *("params:objective", "params:altering", "training_states", "params:compute", "params:epochs", "params:seeds"),
        *also,
        *(["pixels"] if images else []),
    ]


def frames(task: Task, results: Sequence[Repaired]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the contract's predictions, one row per variant and seed of how it was chosen, and the learning curves."""
    predictions, choices = [], []
    for result in results:
        method = result.name.removesuffix(LAST)
        predictions += predictions_of_whole(
            task.examples, method, result.name, task.seeds, task.test, result.score, result.prediction
        )
        for r, seed in enumerate(task.seeds):
            judged = result.judged
            choices.append(
                {
                    "method": method,
                    "variant": result.name,
                    "seed": seed,
                    "threshold": float(judged.threshold[r]),
                    "epoch": None if result.epoch is None else int(result.epoch[r]),
                    "epochs": epochs_of(result),
                    "phi": float(judged.phi[r]),
                    "performance": float(judged.performance[r]),
                    "bias": float(judged.bias[r]),
                    "chosen_on": result.chosen_on,
                    "pruned": _fact(result, "pruned", r),
                    "critic_ratio": _fact(result, "critic_ratio", r),
                    "needs_group": method in NEEDS_GROUP,
                }
            )
    table = pd.DataFrame(choices).astype({"epoch": "Int64", "epochs": "Int64", "threshold": "float64"})
    return pd.concat(predictions, ignore_index=True), table, learning_curves(results, task.seeds)


def _fact(result: Repaired, name: str, r: int) -> float | None:
    return float(result.facts[name][r]) if name in result.facts else None


def networks(results: Sequence[Repaired], pretrained: Checkpoint, **header: Any) -> Checkpoint:
    """Return the repaired networks at their best epochs, `<variant>.<parameter>` [R, ...]; input statistics once."""
    tensors = {name: pretrained.tensors[name] for name in STATISTICS if name in pretrained.tensors}
    kept = [result for result in results if not result.name.endswith(LAST)]
    for result in kept:
        tensors |= {
            f"{result.name}.{name}": tensor for name, tensor in (result.state or {}).items() if name not in STATISTICS
        }
    variants = {result.name: {"method": result.name} for result in kept}
    known = {name: pretrained.header[name] for name in ("architecture", "network")}
    return Checkpoint(tensors, as_header(variants=variants, **known, **origin(pretrained), **header))


def write_masks(masks: Mapping[str, Mapping[str, Tensor]], pretrained: Checkpoint) -> Checkpoint:
    """Store masks as `<discovery>.<weight>`, bool [R, ...]; a file sorts its names, the header keeps their order."""
    layers = list(next(iter(masks.values()), {}))
    tensors = {f"{kind}.{name}": mask.bool() for kind, own in masks.items() for name, mask in own.items()}
    return Checkpoint(tensors, as_header(architecture="masks", layers=layers, **origin(pretrained)))


def read_masks(checkpoint: Checkpoint) -> dict[str, Weights]:
    """Return the masks of `write_masks` by discovery and weight, in the order of the network's layers."""
    made: dict[str, dict[str, Tensor]] = {}
    for name, mask in checkpoint.tensors.items():
        kind, _, weight = name.partition(".")
        made.setdefault(kind, {})[weight] = mask
    order = checkpoint.header.get("layers", [])
    return {kind: {name: own[name] for name in order if name in own} | own for kind, own in made.items()}
