"""Bind the stages to an experiment: data sets get the experiment's name, parameters point to the blocks it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kedro.pipeline import Pipeline

from counterpoise.experiments import Experiment
from counterpoise.pipelines import (
    data_split,
    extract_features,
    fairness_report,
    finetune,
    frontier,
    group_fisher,
    peers,
    pretrain,
    select,
    weighted_svd,
)

SHARED = frozenset({"seeds", "epochs", "pretrain", "finetune", "report", "compute", "selection", "peers"})
"""Blocks of parameters that all experiments read; the others are chosen by the experiment's row."""

OF_THE_DATASET = frozenset({"raw", "table"})
"""Artifacts that experiments on the same data share."""


OF_ALL = frozenset({"feature_cache"})
"""Artifacts that all experiments share."""


def stages(experiment: Experiment) -> dict[str, Pipeline]:
    """Return the experiment's stages, unbound, in order; for images the extraction of features comes first."""
    images = experiment.backbone is not None
    first = {"extract_features": extract_features.create_pipeline()} if images else {}
    return first | {
        "data_split": data_split.create_pipeline(images=images),
        "pretrain": pretrain.create_pipeline(images=images),
        "group_fisher": group_fisher.create_pipeline(),
        "weighted_svd": weighted_svd.create_pipeline(),
        **_training(experiment),
        "fairness_report": fairness_report.create_pipeline(images=images, frontier=experiment.frontier is not None),
    }


def _training(experiment: Experiment) -> dict[str, Pipeline]:
    """Return the stages between the initial heads and the report."""
    if experiment.frontier is None:
        return {"finetune": finetune.create_pipeline()}
    return {
        "frontier": frontier.create_pipeline(),
        "peers": peers.create_pipeline(),
        "select": select.create_pipeline(),
    }


def assemble(experiment: Experiment) -> Pipeline:
    """Return the experiment's pipeline: each stage is a namespace, which Kedro-Viz shows as one box."""
    return sum((_bind(name, stage, experiment) for name, stage in stages(experiment).items()), Pipeline([]))


def artifact(owner: str, name: str) -> str:
    """Return an artifact's name in the catalog; Kedro keeps the dot for namespaces."""
    return f"{owner}__{name}"


def parameter(name: str, experiment: Experiment) -> str:
    """Return the path of the block that the stages' `params:<name>` stands for in this experiment."""
    if name in SHARED:
        return name
    plural = name if name in {"variants", "evidence"} else f"{name}s"
    return f"{plural}.{getattr(experiment, name)}"


def blocks(parameters: Mapping[str, Any], experiment: Experiment) -> dict[str, Any]:
    """Return the parameters that an experiment reads, under the names its stages use."""
    own = {name for name in ("dataset", "network", "backbone", "variants", "frontier") if getattr(experiment, name)}
    names = sorted(SHARED | own)
    return {name: _descend(parameters, parameter(name, experiment)) for name in names}


def _descend(parameters: Mapping[str, Any], path: str) -> Any:
    value: Any = parameters
    for part in path.split("."):
        value = value[part]
    return value


def _bind(stage: str, template: Pipeline, experiment: Experiment) -> Pipeline:
    def dataset(name: str) -> str:
        if name in OF_ALL:
            return name
        return artifact(experiment.dataset if name in OF_THE_DATASET else experiment.name, name)

    inputs = template.inputs()
    return Pipeline(
        template,
        namespace=stage,
        inputs={name: dataset(name) for name in inputs if not name.startswith("params:")},
        outputs={name: dataset(name) for name in template.all_outputs()},
        parameters={
            name: f"params:{parameter(name.removeprefix('params:'), experiment)}"
            for name in inputs
            if name.startswith("params:")
        },
        tags=[stage, experiment.name],
    )
