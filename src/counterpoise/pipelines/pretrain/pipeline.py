"""samples, splits → pretrained networks → the features their heads see."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.pretrain.nodes import compute_features, train_networks


def create_pipeline() -> Pipeline:
    """Return the stage with unbound names."""
    return Pipeline(
        [
            Node(
                train_networks,
                [
                    "samples",
                    "splits",
                    "params:dataset",
                    "params:network",
                    "params:pretrain",
                    "params:epochs",
                    "params:seeds",
                ],
                "pretrained",
                name="train_networks",
            ),
            Node(compute_features, ["samples", "pretrained"], "features", name="compute_features"),
        ]
    )
