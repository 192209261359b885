"""raw → table → features of every image that can be read."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.data_split.nodes import read_table
from counterpoise.pipelines.extract_features.nodes import extract


def create_pipeline() -> Pipeline:
    """Return the stage with unbound names."""
    return read_pipeline() + extract_pipeline()


def read_pipeline() -> Pipeline:
    """Return the part that several backbones share: which images there are."""
    return Pipeline([Node(read_table, ["raw", "params:dataset"], ["table", "left_out"], name="read_table")])


def extract_pipeline() -> Pipeline:
    """Return the part that each backbone needs of its own."""
    return Pipeline(
        [
            Node(
                extract,
                ["raw", "table", "feature_cache", "params:dataset", "params:backbone", "params:compute"],
                ["readable", "bad_images", "features", "backbone_head"],
                name="extract",
            )
        ]
    )
