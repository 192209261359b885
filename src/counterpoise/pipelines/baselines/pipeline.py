"""pretrained networks → what the repairs are compared with."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.baselines.nodes import run_baselines
from counterpoise.pipelines.shared.repairs import node_inputs

OUTPUTS = ["baseline_networks", "baseline_predictions", "baseline_repairs", "baseline_curves"]


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the stage with unbound names."""
    return Pipeline([Node(run_baselines, node_inputs(images=images), OUTPUTS, name="run_baselines")])
