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

from counterpoise.artifacts.datasets import path_of, require_writable
from counterpoise.config.gates import Subnetworks
from counterpoise.config.parameters import Parameters, check
from counterpoise.errors import InputError, suggest
from counterpoise.experiments import EXPERIMENTS, Experiment
from counterpoise.pipelines.assemble import CHOSEN_BLOCKS, parameter
from counterpoise.pipelines.shared.evidence import applicable

IMAGENET_CLASSES = 1000


def experiments_in(pipeline: Pipeline) -> list[Experiment]:
    """Return the experiments whose nodes are in a pipeline; each node carries its experiment's name as a tag."""
    tags = {tag for node in pipeline.nodes for tag in node.tags}
    return [experiment for experiment in EXPERIMENTS if experiment.name in tags]


def parameters_of(context: KedroContext) -> dict[str, Any]:
    """Return what the files under conf/ say, read once: Kedro parses and merges them whenever they are asked for."""
    loader = context.config_loader
    if "parameters" not in loader:
        loader["parameters"] = loader["parameters"]
    return deepcopy(loader["parameters"])  # Kedro works on the loader's own


class Preflight:
    """Ends a run before its first node if its parameters or its output folders are unusable."""

    def __init__(self) -> None:
        self.parameters: Parameters | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        self.parameters = check(parameters_of(context))

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        assert self.parameters is not None
        for experiment in experiments_in(pipeline):
            check_experiment(self.parameters, experiment)
        for name in sorted(pipeline.all_outputs()):
            if (path := path_of(catalog.get(name))) is not None:
                require_writable(path)


def check_experiment(parameters: Parameters, experiment: Experiment) -> None:
    """Raise InputError unless the blocks that an experiment, or a part of it, combines are there and fit together."""
    if experiment.altering in parameters.alterings:
        _check_repairs(parameters, experiment)
    if experiment.subnetworks in parameters.subnetworks:
        _check_subnetworks(parameters.subnetworks[experiment.subnetworks])
    for part in experiment.parts or (None,):
        for kind in (*CHOSEN_BLOCKS, "evidence"):
            path = parameter(kind, experiment, part)
            block, _, wanted = path.partition(".")
            if wanted and wanted not in (known := getattr(parameters, block)):
                raise InputError(
                    f"conf: {block} has no block {wanted!r}, which {experiment.name} reads{suggest(wanted, known)}"
                )
        if experiment.variants is None:
            continue
        network, backbone = (getattr(part, kind, None) or getattr(experiment, kind) for kind in ("network", "backbone"))
        inputs, classes = sys.maxsize, len(parameters.datasets[experiment.dataset].classes)
        if network is not None:
            inputs = parameters.networks[network].width
        elif backbone is not None and parameters.backbones[backbone].head == "imagenet":
            classes = IMAGENET_CLASSES
        parameters.variants[experiment.variants].require_ranks(inputs=inputs, classes=classes)
    # Others name their variants so that there is one of each.
    if experiment.variants and experiment.frontier is None and not experiment.parts:
        run = {variant.name: variant.settings for variant in parameters.variants[experiment.variants].grid()}
        applicable(parameters.evidence[experiment.evidence], run)


def _check_repairs(parameters: Parameters, experiment: Experiment) -> None:
    """Raise InputError unless the methods are known and each part's objective is one for as many classes as it has."""
    from counterpoise.methods.weights.catalogue import require_methods  # other experiments do without
    from counterpoise.methods.weights.objective import Objective

    assert experiment.altering is not None
    require_methods(parameters.alterings[experiment.altering].methods)
    for part in experiment.parts or (None,):
        chosen, data = (parameter(kind, experiment, part).partition(".")[2] for kind in ("objective", "dataset"))
        if chosen in parameters.objectives and data in parameters.datasets:  # `check_experiment` says what is missing
            Objective(**parameters.objectives[chosen].model_dump(), classes=len(parameters.datasets[data].classes))


def _check_subnetworks(chosen: Subnetworks) -> None:
    """Raise InputError unless the methods are known and have the settings they need."""
    from counterpoise.methods.gates.catalogue import require_methods  # other experiments do without

    require_methods(chosen.methods, chosen.gates)


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
