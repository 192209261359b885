"""vanilla networks → their unbiased sub-networks, and what those are compared with."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.subnetwork.nodes import extract_subnetworks

INPUTS = [
    *("samples", "splits", "pretrained", "pixels", "params:dataset", "params:convnet", "params:subnetworks"),
    *("training_states", "params:compute", "params:epochs", "params:seeds"),
]
OUTPUTS = ["subnetworks", "predictions", "extractions", "closed_layers", "curves"]


def create_pipeline() -> Pipeline:
    """Return the stage with unbound names."""
    return Pipeline([Node(extract_subnetworks, INPUTS, OUTPUTS, name="extract_subnetworks")])
