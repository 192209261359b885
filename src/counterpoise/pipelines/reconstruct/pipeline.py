"""pretrained networks and masks → reconstructed networks → compact networks."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.reconstruct.nodes import compact_networks, reconstruct
from counterpoise.pipelines.shared.repairs import node_inputs

OUTPUTS = ["reconstructed", "reconstructed_predictions", "reconstructed_repairs", "reconstructed_curves"]


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the stage with unbound names."""
    cut = [
        *("samples", "splits", "pretrained", "masked_networks", "reconstructed", "masked_repairs"),
        *("reconstructed_repairs", "params:dataset", "params:convnet" if images else "params:network", "params:seeds"),
        *(["pixels"] if images else []),
    ]
    return Pipeline(
        [
            Node(reconstruct, node_inputs(images=images, also=["masks"]), OUTPUTS, name="reconstruct"),
            Node(compact_networks, cut, ["compact_networks", "costs"], name="compact_networks"),
        ]
    )
