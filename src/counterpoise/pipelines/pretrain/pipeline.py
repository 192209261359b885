"""Tables: samples, splits → pretrained networks → features. Images: features → pretrained heads."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.pretrain.nodes import compute_features, fit_heads, train_networks
from counterpoise.pipelines.pretrain.whole import train_base
from counterpoise.pipelines.repairs import node_inputs


def create_pipeline(*, images: bool, whole: bool = False) -> Pipeline:
    """Return the stage with unbound names: a network trained here for tables, a head on a ready backbone for images.

    Args:
        whole: whole networks are trained here, of images too, because whole networks are repaired.
    """
    if whole:
        read = node_inputs(images=images)
        del read["pretrained"], read["altering"]
        made = ["pretrained", "pretraining_curves"]
        return Pipeline([Node(train_base, read | {"pretrain": "params:pretrain"}, made, name="train_base")])
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
