"""vanilla networks → their unbiased sub-networks → small networks of their own, and what they look at."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.subnetwork.leaving import compact_subnetworks, explain_subnetworks
from counterpoise.pipelines.subnetwork.nodes import extract_subnetworks

INPUTS = [
    *("samples", "splits", "pretrained", "pixels", "params:dataset", "params:convnet", "params:subnetworks"),
    *("training_states", "params:compute", "params:epochs", "params:seeds"),
]
OUTPUTS = ["subnetworks", "predictions", "extractions", "closed_layers", "curves"]
FOUND = ["samples", "splits", "pretrained", "subnetworks", "pixels", "params:dataset", "params:convnet"]


def create_pipeline() -> Pipeline:
    """Return the stage with unbound names."""
    return Pipeline(
        [
            Node(extract_subnetworks, INPUTS, OUTPUTS, name="extract_subnetworks"),
            Node(
                compact_subnetworks,
                [*FOUND, "params:seeds"],
                ["compact_networks", "costs"],
                name="compact_subnetworks",
            ),
            Node(
                explain_subnetworks,
                [*FOUND, "training_states", "params:seeds"],
                "explanations",
                name="explain_subnetworks",
            ),
        ]
    )
