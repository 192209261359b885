"""Names of pipelines cost little; Kedro-Viz shows a pipeline's layers only if none leads back to one before it."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from kedro.io import CatalogConfigResolver
from kedro.pipeline import Pipeline

from counterpoise.experiments import DEFAULT, EXPERIMENTS
from counterpoise.pipeline_registry import Deferred, register_pipelines
from counterpoise.pipelines.assemble import assemble
from counterpoise.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS

CONF = Path(__file__).parents[1] / "conf"
ORDER = ("raw", "intermediate", "feature", "model_input", "pretrained", "models", "model_output", "reporting")
PIPELINES = register_pipelines()


@dataclass(frozen=True)
class Shown:
    """As much of a node of Kedro-Viz as its layers depend on."""

    layer: str | None = None


@pytest.fixture(scope="module")
def layer() -> Callable[[str], str | None]:
    """Find a data set's layer; parameters and what stays in memory have none."""
    resolver = CatalogConfigResolver(CONFIG_LOADER_CLASS(str(CONF), "base", **CONFIG_LOADER_ARGS)["catalog"])

    @cache
    def find(name: str) -> str | None:
        if name.startswith("params:") or (resolver.match_dataset_pattern(name) is None and name not in resolver.config):
            return None
        entry: Mapping[str, Any] = resolver.resolve_pattern(name)
        return entry.get("metadata", {}).get("kedro-viz", {}).get("layer")

    return find


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_kedro_viz_sorts_the_layers(layer: Callable[[str], str | None], pipeline: Pipeline) -> None:
    """Its function returns nothing, and logs a warning, if there is a cycle."""
    from kedro_viz.services.layers import sort_layers

    shown = {name: Shown(layer(name)) for name in pipeline.datasets()}
    dependents: dict[str, set[str]] = {name: set() for name in shown}
    for node in pipeline.nodes:
        shown[node.name], dependents[node.name] = Shown(), set(node.outputs)
        for name in node.inputs:
            dependents[name].add(node.name)
    layers = {each.layer for each in shown.values()} - {None}
    assert sort_layers(shown, dependents) == [name for name in ORDER if name in layers]
    assert layers or pipeline is PIPELINES["sync_tracking"]  # which works on the tracking server


LISTING = """
import sys
from pathlib import Path
from kedro.framework.startup import bootstrap_project
from kedro.framework.project import pipelines
bootstrap_project(Path.cwd())
names = sorted(pipelines)
heavy = {"torch", "scipy", "sklearn", "plotly", "pandera", "mlflow", "lightgbm", "sqlalchemy", "fairlearn"}
nodes = [name for name in sys.modules if name.startswith("counterpoise.") and name.endswith(".nodes")]
print(len(names), *sorted(heavy & set(sys.modules)), *nodes)
"""


def test_a_list_of_pipelines_imports_neither_nodes_nor_what_they_compute_with() -> None:
    environment = os.environ | {"KEDRO_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", LISTING]
    listed = subprocess.run(command, cwd=CONF.parent, env=environment, capture_output=True, text=True, check=True)
    count, *imported = listed.stdout.split()
    assert int(count) >= len(register_pipelines())  # conf/local may add some
    assert imported == []


def test_a_pipeline_is_put_together_when_it_is_looked_into_and_once() -> None:
    calls = []
    experiment = next(each for each in EXPERIMENTS if each.name == DEFAULT)

    def make() -> Pipeline:
        calls.append(experiment.name)
        return assemble(experiment)

    deferred = Deferred(make)
    assert isinstance(deferred, Pipeline)
    assert not calls
    assert [node.name for node in deferred.nodes] == [node.name for node in assemble(experiment).nodes]
    assert deferred.only_nodes_with_tags("finetune").nodes
    assert (deferred + Pipeline([])).all_outputs() == (Pipeline([]) + deferred).all_outputs() == deferred.all_outputs()
    assert len(copy.deepcopy(deferred).nodes) == len(deferred.nodes)
    assert calls == [DEFAULT]
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        deferred.absent  # noqa: B018


def test_a_fault_in_a_stage_is_not_hidden() -> None:
    def make() -> Pipeline:
        raise AttributeError("of the stage")

    with pytest.raises(AttributeError, match="of the stage"):
        _ = Deferred(make).nodes
