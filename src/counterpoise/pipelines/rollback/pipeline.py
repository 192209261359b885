"""history → the previous champion."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.rollback.nodes import point, put_back


def create_pipeline() -> Pipeline:
    """Return the pipeline of two nodes: the history first, which is the truth, then the registry."""
    return Pipeline(
        [
            Node(put_back, "retrain__history", "retrain__history_after", name="put_back"),
            Node(point, ["retrain__history_after", "retrain__registry"], "retrain__registered", name="point_aliases"),
        ],
        tags=["rollback"],
    )
