"""pretrained networks and masks → reconstructed networks."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.reconstruct.nodes import reconstruct
from counterpoise.pipelines.repairs import node_inputs

OUTPUTS = ["reconstructed", "reconstructed_predictions", "reconstructed_repairs", "reconstructed_curves"]


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the stage with unbound names."""
    return Pipeline([Node(reconstruct, node_inputs(images=images, also=["masks"]), OUTPUTS, name="reconstruct")])
