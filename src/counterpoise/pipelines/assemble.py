"""Bind the stages to an experiment: data sets get the experiment's name, parameters point to the blocks it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kedro.pipeline import Pipeline

from counterpoise.experiments import Experiment, Part
from counterpoise.pipelines import (
    data_split,
    extract_features,
    fairness_report,
    finetune,
    frontier,
    group_fisher,
    peers,
    pretrain,
    read_pixels,
    repair,
    select,
    weighted_svd,
)

SHARED = frozenset({"seeds", "epochs", "pretrain", "finetune", "report", "compute", "selection", "peers"})
"""Blocks of parameters that all experiments read, unless their row chooses another one."""

CHOSEN_BLOCKS = (
    *("dataset", "network", "backbone", "convnet", "penalty", "variants", "pretrain", "finetune", "retrain"),
    *("frontier", "objective", "repairs"),
)
"""Blocks of parameters that an experiment's row chooses, or one of its parts."""

PLURALS = {"variants": "variants", "evidence": "evidence", "penalty": "penalties", "repairs": "repairs"}
"""What the blocks of one kind are called together, where it is not the kind with an s."""

OF_THE_EXPERIMENT = frozenset({"samples", "splits", "data_summary"})
"""Artifacts that the parts of an experiment share, unless they have data sets of their own."""

OF_THE_DATASET = frozenset({"raw", "table", "left_out"})
"""Artifacts that experiments on the same data share."""


OF_ALL = frozenset({"feature_cache", "training_states"})
"""Artifacts that all experiments share."""


Stages = dict[str, Pipeline]
"""Unbound pipelines by the name of the stage, in order."""


def stages(experiment: Experiment) -> Stages:
    """Return the experiment's stages, unbound, in order; for images the extraction of features comes first."""
    return before_parts(experiment) | within_parts(experiment) | after_parts(experiment)


def before_parts(experiment: Experiment) -> Stages:
    """Return the stages before the parts divide: the rows, and the features of images if all parts share them."""
    if whole_networks(experiment):
        return {} if own_data(experiment) else _rows_of_whole_networks(experiment)
    images = experiment.backbone is not None
    first = {}
    if images:
        divided = _own_backbones(experiment)
        first = {
            "extract_features": extract_features.read_pipeline() if divided else extract_features.create_pipeline()
        }
    return first | {"data_split": data_split.create_pipeline(images=images)}


def within_parts(experiment: Experiment) -> Stages:
    """Return the stages that exist once for each part; once in all if there are no parts."""
    if experiment.repairs is not None:
        images = experiment.convnet is not None
        objective = any(getattr(row, "objective", None) for row in (experiment, *experiment.parts))
        return (_rows_of_whole_networks(experiment) if own_data(experiment) else {}) | {
            "pretrain": pretrain.create_pipeline(images=images, whole=True),
            "repair": repair.create_pipeline(images=images, objective=objective),
        }
    images = experiment.backbone is not None
    first = {"extract_features": extract_features.extract_pipeline()} if _own_backbones(experiment) else {}
    return (
        first
        | {
            "pretrain": pretrain.create_pipeline(images=images),
            "group_fisher": group_fisher.create_pipeline(),
            "weighted_svd": weighted_svd.create_pipeline(),
        }
        | _training(experiment)
    )


def after_parts(experiment: Experiment) -> Stages:
    """Return the stage that brings everything together."""
    before, within = before_parts(experiment).values(), within_parts(experiment).values()
    chosen = {
        f"params:{name}"
        for name in CHOSEN_BLOCKS
        for row in (experiment, *experiment.parts)
        if getattr(row, name, None)
    }
    return {
        "fairness_report": fairness_report.create_pipeline(
            chosen.union(*(stage.datasets() for stage in before)),
            {name for stage in within for name in stage.all_outputs()},
            parts={part.name: part.key for part in experiment.parts},
            view=experiment.view,
        )
    }


def _training(experiment: Experiment) -> Stages:
    """Return the stages between the initial heads and the report."""
    if experiment.frontier is None:
        return {"finetune": finetune.create_pipeline(retrain=experiment.retrain is not None)}
    return {
        "frontier": frontier.create_pipeline(),
        "peers": peers.create_pipeline(),
        "select": select.create_pipeline(),
    }


def _rows_of_whole_networks(experiment: Experiment) -> Stages:
    """Return the stages from raw files to rows; images are decoded once, and kept as they are."""
    images = experiment.convnet is not None
    first = {"read_pixels": read_pixels.create_pipeline()} if images else {}
    return first | {"data_split": data_split.create_pipeline(images=images)}


def whole_networks(experiment: Experiment) -> bool:
    """Whether whole networks are trained here and worked on, not heads."""
    return experiment.repairs is not None


def own_data(experiment: Experiment) -> bool:
    """Whether the parts of an experiment have data sets of their own."""
    return any(part.dataset is not None for part in experiment.parts)


def _own_backbones(experiment: Experiment) -> bool:
    return any(part.backbone is not None for part in experiment.parts)


def assemble(experiment: Experiment) -> Pipeline:
    """Return the experiment's pipeline: each stage is a namespace, which Kedro-Viz shows as one box."""
    bound = [_bind(name, stage, experiment) for name, stage in before_parts(experiment).items()]
    for part in experiment.parts or (None,):
        bound += [_bind(name, stage, experiment, part) for name, stage in within_parts(experiment).items()]
    bound += [_bind(name, stage, experiment) for name, stage in after_parts(experiment).items()]
    return sum(bound, Pipeline([]))


def artifact(owner: str, name: str) -> str:
    """Return an artifact's name in the catalog; Kedro keeps the dot for namespaces."""
    return f"{owner}__{name}"


def parameter(name: str, experiment: Experiment, part: Part | None = None) -> str:
    """Return the path of the block that the stages' `params:<name>` stands for in this experiment or part of it."""
    chosen = getattr(part, name, None) or getattr(experiment, name, None)
    if chosen is None:
        return name  # all experiments read the same block
    return f"{PLURALS.get(name, f'{name}s')}.{chosen}"


def blocks(read: Mapping[str, Any], experiment: Experiment) -> dict[str, Any]:
    """Return the blocks of parameters that were read, under the names the stages use; a part's own under its name.

    Args:
        read: path of a block (`parameter`) → its value.
    """
    named = {name: parameter(name, experiment) for name in sorted({*SHARED, *CHOSEN_BLOCKS})}
    settings = {name: read[path] for name, path in named.items() if path in read}
    for part in experiment.parts:
        chosen = {name: parameter(name, experiment, part) for name in CHOSEN_BLOCKS if getattr(part, name, None)}
        settings[part.name] = {name: read[path] for name, path in chosen.items() if path in read}
    return settings


def _bind(stage: str, template: Pipeline, experiment: Experiment, part: Part | None = None) -> Pipeline:
    own_features = _own_backbones(experiment)

    def dataset(name: str) -> str:
        if name in OF_ALL:
            return name
        if name in OF_THE_DATASET:
            return artifact(getattr(part, "dataset", None) or experiment.dataset, name)
        if name == "readable" and part is None and own_features:
            return artifact(owner(experiment, experiment.parts[0]), name)
        if part is None or name == "run" or (name in OF_THE_EXPERIMENT and not own_data(experiment)):
            return artifact(experiment.name, name)
        if name in {"features", "backbone_head"} and experiment.backbone is not None and not own_features:
            return artifact(experiment.name, name)
        return artifact(owner(experiment, part), name)

    inputs = template.inputs()
    return Pipeline(
        template,
        namespace=stage if part is None else f"{stage}.{part.key}",
        inputs={name: dataset(name) for name in inputs if not name.startswith("params:")},
        outputs={name: dataset(name) for name in template.all_outputs()},
        parameters={
            name: f"params:{parameter(name.removeprefix('params:'), experiment, part)}"
            for name in inputs
            if name.startswith("params:")
        },
        tags=[stage, experiment.name],
    )


def owner(experiment: Experiment, part: Part) -> str:
    """Return the name under which a part's own artifacts stand in the catalog."""
    return artifact(experiment.name, part.key)
