"""raw → table → pixels of every image that can be read."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.data_split.nodes import read_table
from counterpoise.pipelines.read_pixels.nodes import decode_images


def create_pipeline() -> Pipeline:
    """Return the stage with unbound names."""
    return Pipeline(
        [
            Node(read_table, ["raw", "params:dataset"], ["table", "left_out"], name="read_table"),
            Node(
                decode_images,
                ["raw", "table", "params:dataset", "params:compute"],
                ["readable", "bad_images", "pixels"],
                name="decode_images",
            ),
        ]
    )
