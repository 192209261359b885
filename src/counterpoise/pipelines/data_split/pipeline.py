"""raw → table → samples → splits."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.data_split.nodes import describe_data, encode_samples, read_table, split_samples


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the stage with unbound names. For images the table comes from the stage that has looked at every file."""
    reading = Node(read_table, ["raw", "params:dataset"], ["table", "left_out"], name="read_table")
    return Pipeline(
        [
            *([] if images else [reading]),
            Node(
                encode_samples, ["readable" if images else "table", "params:dataset"], "samples", name="encode_samples"
            ),
            Node(split_samples, ["samples", "params:dataset", "params:seeds"], "splits", name="split_samples"),
            Node(
                describe_data, ["samples", "splits", "left_out", "params:dataset"], "data_summary", name="describe_data"
            ),
        ]
    )
