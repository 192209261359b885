"""bases → every repair of every base, and scores of validation, test and, by other folds, training rows."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.frontier.nodes import train_frontier


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the stage with unbound names; of images features are read, of tables the columns."""
    read = ["samples", "splits", "bases", "params:dataset", "params:frontier", "params:compute", "params:seeds"]
    read += ["features"] if images else []
    return Pipeline([Node(train_frontier, read, ["frontier_models", "frontier_outcomes"], name="train_frontier")])
