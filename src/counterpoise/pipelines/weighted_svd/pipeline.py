"""pretrained head, importance → the initial factors of every variant; of a network that came trained, other layers."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.weighted_svd.layers import factor_layers
from counterpoise.pipelines.weighted_svd.nodes import build_head_bank


def create_pipeline(*, trained: bool = False) -> Pipeline:
    """Return the stage with unbound names.

    Args:
        trained: whether a network of the user's came trained, whose other layers can be looked at too.
    """
    nodes = [
        Node(build_head_bank, ["pretrained", "importance", "params:variants"], "head_bank", name="build_head_bank")
    ]
    if trained:
        read = ["samples", "splits", "table", "model_files", "params:dataset", "params:model"]
        nodes.append(Node(factor_layers, read, "layer_factors", name="factor_layers"))
    return Pipeline(nodes)
