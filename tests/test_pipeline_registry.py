"""Kedro-Viz shows a pipeline's layers only if none leads back to one before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from kedro.io import CatalogConfigResolver
from kedro.pipeline import Pipeline

from counterpoise.pipeline_registry import register_pipelines
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
    assert layers
