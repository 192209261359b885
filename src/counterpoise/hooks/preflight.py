"""What is checked before a run's first node.

None of this is a stage: the graph stays the method.
"""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from counterpoise import registered
from counterpoise.artifacts.datasets import path_of, require_writable
from counterpoise.config.experiments import every, rows
from counterpoise.config.models import require_kind
from counterpoise.config.parameters import Parameters, check
from counterpoise.config.retrained import row_of
from counterpoise.data import IMAGES
from counterpoise.errors import InputError, suggest
from counterpoise.experiments import BLOCKS, Experiment, Part
from counterpoise.methods.objective import Objective
from counterpoise.methods.peers.settings import peer_grid
from counterpoise.methods.selection.measuring import AUC
from counterpoise.pipelines.assemble import audits, parameter
from counterpoise.pipelines.shared.evidence import applicable

IMAGENET_CLASSES = 1000

BOOSTED_CLASSES = 2


def experiments_in(pipeline: Pipeline) -> list[Experiment]:
    """Return the experiments whose nodes are in a pipeline, audits among them; each node carries its experiment's name
    as a tag."""
    tags = {tag for node in pipeline.nodes for tag in node.tags}
    experiments = registered.experiments()
    return [experiment for experiment in (*experiments, *audits(experiments)) if experiment.name in tags]


_CHECKED = "_parameters"
"""Attribute of a session's loader: the parameters as they were read, and as they were validated."""


def parameters_of(context: KedroContext) -> tuple[dict[str, Any], Parameters]:
    """Return what the files under conf/ say, and the same validated: read and checked once for all hooks of a session.

    Raises:
        InputError: one sentence for the first mistake.
    """
    loader = context.config_loader
    if not hasattr(loader, _CHECKED):
        if "parameters" not in loader:  # Kedro parses and merges them whenever they are asked for
            loader["parameters"] = loader["parameters"]
        raw = deepcopy(loader["parameters"])  # Kedro works on the loader's own
        setattr(loader, _CHECKED, (raw, check(raw)))
    checked: tuple[dict[str, Any], Parameters] = getattr(loader, _CHECKED)
    return checked


class Preflight:
    """Ends a run before its first node if its parameters or its output folders are unusable."""

    def __init__(self) -> None:
        self.parameters: Parameters | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        parameters, self.parameters = parameters_of(context)
        declared = rows(parameters)
        for row in declared:  # before Kedro compares blocks with what nodes take, in words of its own
            check_model(self.parameters, row)
        registered.declare(declared, row_of(parameters, every(parameters)))

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        assert self.parameters is not None
        for experiment in experiments_in(pipeline):
            check_experiment(self.parameters, experiment)
        for name in sorted(pipeline.all_outputs()):
            if (path := path_of(catalog.get(name))) is not None:
                require_writable(path)


def check_model(parameters: Parameters, experiment: Experiment) -> None:
    """Raise InputError unless the block that a row names is one of trees under `trees`, and of others under `model`."""
    name = experiment.trees or experiment.model
    if name in parameters.models:
        require_kind(parameters.models[name], f"models.{name}", experiment.name, trees=experiment.trees is not None)


def check_experiment(parameters: Parameters, experiment: Experiment) -> None:
    """Raise InputError unless the blocks that an experiment, or a part of it, combines are there and fit together."""
    parts = (None, *experiment.parts)
    for path in dict.fromkeys(parameter(kind, experiment, part) for part in parts for kind in BLOCKS):
        block, _, name = path.partition(".")
        if block != "parts" and name and name not in (named := getattr(parameters, block)):
            raise InputError(
                f"conf: {block} has no block {name!r}, which {experiment.name} reads{suggest(name, named)}"
            )
    for part in experiment.parts or (None,):
        _check_data(parameters, experiment, part)
        if experiment.variants is not None:
            _check_heads(parameters, experiment, part)
        if experiment.repairs is not None:
            _check_objective(parameters, experiment, part)
    # Others name their variants so that there is one of each.
    if experiment.variants and experiment.frontier is None and not experiment.parts:
        run = {variant.name: variant.settings for variant in parameters.variants[experiment.variants].grid()}
        applicable(parameters.evidence_of(experiment), run)


def _check_data(parameters: Parameters, experiment: Experiment, part: Part | None) -> None:
    """Raise InputError unless the data are of the kind that the row has a base for, with classes for what it trains."""
    path = parameter("dataset", experiment, part)
    dataset = parameters.at(path)
    if (dataset.reader in IMAGES) != experiment.images:
        kinds = ("of images", "backbone or convnet") if dataset.reader in IMAGES else ("a table", "one for tables")
        raise InputError(f"conf: {path} is {kinds[0]}, which {experiment.name} has no base for, expected {kinds[1]}")
    if experiment.frontier is not None and (classes := len(dataset.classes)) > 2:
        if (name := experiment.trees or experiment.model) is not None:
            raise InputError(f"conf: {path} has {classes} classes, expected 2 for {experiment.name} on models.{name}")
        peer_grid(parameters.at(parameter("peers", experiment, part)), columns=not experiment.images, classes=classes)
        if parameters.selection.criterion == AUC:
            raise InputError(
                f"conf: selection.criterion is {AUC!r}, but {path} has {classes} classes, expected a criterion that is "
                f"defined for more than two, such as delta_eo, for {experiment.name}"
            )


def _check_heads(parameters: Parameters, experiment: Experiment, part: Part | None) -> None:
    """Raise InputError unless every rank fits the head, and the base the number of classes."""
    inputs, classes = sys.maxsize, len(parameters.at(parameter("dataset", experiment, part)).classes)
    if experiment.network is not None:
        inputs = parameters.at(parameter("network", experiment, part)).width
    elif experiment.boosting is not None or experiment.trees is not None:
        if classes != BOOSTED_CLASSES:
            path = parameter("dataset", experiment, part)
            raise InputError(f"conf: {path} has {classes} classes, expected 2: boosted trees have one margin")
    elif experiment.model is None and parameters.at(parameter("backbone", experiment, part)).head == "imagenet":
        classes = IMAGENET_CLASSES
    parameters.at(parameter("variants", experiment)).require_ranks(inputs=inputs, classes=classes)


def _check_objective(parameters: Parameters, experiment: Experiment, part: Part | None) -> None:
    """Raise InputError unless the objective is one for as many classes as there are."""
    path = parameter("objective", experiment, part)
    if path != "objective":  # there is one
        dataset = parameters.at(parameter("dataset", experiment, part))
        Objective(**vars(parameters.at(path)), classes=len(dataset.classes))


def git_commit(project: Path) -> str:
    """Return the commit of the working tree, marked if it has uncommitted changes."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty= with uncommitted changes", "--exclude=*"],
            cwd=project,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown: not a git checkout"
    return run.stdout.strip()
