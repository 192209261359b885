"""Tables: samples, splits → pretrained networks → features. Images: features → pretrained heads."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.pretrain.nodes import compute_features, fit_heads, train_networks


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the stage with unbound names: a network trained here for tables, a head on a ready backbone for images."""
    return _images() if images else _tables()


def _images() -> Pipeline:
    return Pipeline(
        [
            Node(
                fit_heads,
                [
                    "samples",
                    "splits",
                    "features",
                    "backbone_head",
                    "params:dataset",
                    "params:backbone",
                    "params:pretrain",
                    "params:epochs",
                    "params:seeds",
                ],
                "pretrained",
                name="fit_heads",
            )
        ]
    )


def _tables() -> Pipeline:
    return Pipeline(
        [
            Node(
                train_networks,
                [
                    "samples",
                    "splits",
                    "params:dataset",
                    "params:network",
                    "params:penalty",
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
