"""features, pretrained head → importance of each feature to each group."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.group_fisher.nodes import compute_importance


def create_pipeline() -> Pipeline:
    """Return the stage with unbound names."""
    read = ["samples", "splits", "features", "pretrained", "params:dataset"]
    return Pipeline([Node(compute_importance, read, "importance", name="compute_importance")])
