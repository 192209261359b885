"""Where results come from: each run knows the lineage of all it makes and reads, and refuses what does not fit.

Before the first node, the origin of every artifact is worked out from the graph: the parameters that its node and all
before it read, the raw files, the code. An artifact that is read from an earlier run must have been made from the same;
one that is saved gets a record of it (`counterpoise.artifacts`). What reports and MLflow say of a run is read from
these records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from counterpoise import registered
from counterpoise.artifacts.datasets import path_of
from counterpoise.artifacts.lineage import Recorder
from counterpoise.artifacts.locks import Locks
from counterpoise.errors import InputError
from counterpoise.experiments import Experiment
from counterpoise.hooks.preflight import experiments_in, git_commit, parameters_of
from counterpoise.hooks.run_lineage import Lineage, software
from counterpoise.hooks.slices import Command
from counterpoise.pipelines.assemble import artifact

RETRAIN = "retrain"
"""Tag of the nodes around an experiment that is retrained."""

PROMOTION = "retrain.promote"
"""What the stage that registers a model, and the completion of one that could not, need to themselves."""


class Provenance:
    """Gives every artifact its lineage, ends a run that would mix lineages, and keeps others from writing its files."""

    def __init__(self) -> None:
        self.locks: Locks | None = None
        self.recorder: Recorder | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        _, self.parameters = parameters_of(context)
        self.project, self.environment = Path(context.project_path), context.env or "base"
        source = str(context.config_loader.conf_source)
        self.conf_source = None if Path(source) == self.project / "conf" else source

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        self.release()  # a process may run more than once, and the run before may have ended in an error
        experiments = experiments_in(pipeline)
        names = [experiment.name for experiment in experiments]
        command = Command(run_params, self.environment, names, self.conf_source)
        if self.parameters.reuse and not run_params.get("only_missing_outputs"):
            raise InputError(
                "conf: parameter 'reuse' is true in a file, expected it on the command line: --params reuse=true"
            )
        if (folder := path_of(catalog.get("locks"))) is not None:
            self.locks = Locks(folder)
            self.locks.acquire(written_by(pipeline, experiments), str(command), self._identity(command))
        self.lineage = Lineage(self.parameters, pipeline, catalog, command, git_commit(self.project))
        self.recorder = self.lineage.recorder
        self.lineage.require_inputs()
        # A slice of a retraining may read the description, and have no node of the experiment.
        read = [each for each in registered.experiments() if artifact(each.name, "run") in pipeline.inputs()]
        described = {artifact(each.name, "run"): each for each in (*experiments, *read)}
        for name, experiment in described.items():  # once: Kedro warns of what it replaces
            catalog[name] = RunDescription(experiment, self.lineage)

    def _identity(self, command: Command) -> str:
        """Return a digest that runs which write the same have in common: command, code, parameters."""
        text = json.dumps([str(command), software(), self.parameters.model_dump(mode="json")], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str, node: Node) -> None:
        if self.recorder is not None:
            self.lineage.reader.inputs = node.inputs

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Say beside a report that is there that one of the results beside it is about to change."""
        if self.recorder is not None:
            self.lineage.announce(dataset_name)

    @hook_impl
    def after_pipeline_run(self) -> None:
        self.release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        self.release()

    def release(self) -> None:
        """Let others write what this run wrote."""
        self.recorder = None
        if self.locks is not None:
            self.locks.release()


def written_by(pipeline: Pipeline, experiments: Iterable[Experiment]) -> set[str]:
    """Return what a run of these nodes needs to itself: each stage of each experiment or retraining, or a part's."""
    by_name = {RETRAIN, *(experiment.name for experiment in experiments)}
    return {f"{experiment}.{node.namespace}" for node in pipeline.nodes for experiment in node.tags & by_name}


class RunDescription(MemoryDataset):
    """What an experiment's stages are told of the run: its title, its settings, and where their inputs come from."""

    def __init__(self, experiment: Experiment, lineage: Lineage) -> None:
        super().__init__(copy_mode="assign")
        self._experiment, self._lineage = experiment, lineage

    def load(self) -> dict[str, Any]:
        experiment = self._experiment
        return {
            "experiment": experiment.name,
            "title": experiment.title,
            "settings": self._lineage.settings(experiment),
            "parts": {part.key: part.name for part in experiment.parts},
            "lineage": self._lineage.described(),
        }

    def _exists(self) -> bool:
        return True

    def _release(self) -> None:
        """Keep: the description is made when it is asked for."""
