"""pretrained networks → masks → masked networks."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.mask_discovery.nodes import describe_masks, discover
from counterpoise.pipelines.shared.repairs import node_inputs

OUTPUTS = ["masks", "masked_networks", "masked_predictions", "masked_repairs", "masked_curves"]


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the stage with unbound names."""
    return Pipeline(
        [
            Node(discover, node_inputs(images=images), OUTPUTS, name="discover_masks"),
            Node(describe_masks, "masks", ["pruned_layers", "mask_agreement"], name="describe_masks"),
        ]
    )
