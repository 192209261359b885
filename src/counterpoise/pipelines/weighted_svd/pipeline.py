"""pretrained head, importance → the initial factors of every variant."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.weighted_svd.nodes import build_head_bank


def create_pipeline() -> Pipeline:
    """Return the stage with unbound names."""
    return Pipeline(
        [Node(build_head_bank, ["pretrained", "importance", "params:variants"], "head_bank", name="build_head_bank")]
    )
