"""Partitions that the champion was not trained on → alarms."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.monitor.nodes import watch_champion


def create_pipeline(*, raw: str, dataset: str) -> Pipeline:
    """Return the pipeline of one node.

    Args:
        raw: name of the experiment's own raw files in the catalog. dataset: of its block of data.
    """
    inputs = ["retrain__partitions", "retrain__history", "retrain__past_reports", "retrain__models", raw]
    return Pipeline(
        [
            Node(
                watch_champion,
                [*inputs, f"params:datasets.{dataset}", "params:retraining", "retrain__registry"],
                ["monitor__pages", "monitor__result"],
                name="watch_champion",
            )
        ],
        tags=["monitor"],
    )
