"""features, initial heads → heads under every penalty of the grid, and their scores of validation and test rows."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.frontier.nodes import train_bank


def create_pipeline() -> Pipeline:
    """Return the stage with unbound names."""
    read = [
        *("samples", "splits", "features", "head_bank", "params:dataset", "params:frontier"),
        *("params:epochs", "params:compute", "params:seeds"),
    ]
    return Pipeline([Node(train_bank, read, ["frontier_heads", "frontier_outcomes"], name="train_bank")])
