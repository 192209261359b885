"""bases → every repair of every base, and scores of validation, test and, by other folds, training rows."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.frontier.nodes import train_frontier


def create_pipeline(*, ready: bool) -> Pipeline:
    """Return the stage with unbound names; features that come `ready` are read, or the columns of a table."""
    read = ["samples", "splits", "bases", "params:dataset", "params:frontier", "params:compute", "params:seeds"]
    read += ["features"] if ready else []
    return Pipeline([Node(train_frontier, read, ["frontier_models", "frontier_outcomes"], name="train_frontier")])
