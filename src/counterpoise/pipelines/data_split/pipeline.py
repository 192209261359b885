"""raw → table → samples → splits."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.data_split.nodes import describe_data, encode_samples, read_table, split_samples


def create_pipeline() -> Pipeline:
    """Return the stage with unbound names."""
    return Pipeline(
        [
            Node(read_table, ["raw", "params:dataset"], "table", name="read_table"),
            Node(encode_samples, ["table", "params:dataset"], "samples", name="encode_samples"),
            Node(split_samples, ["samples", "params:dataset", "params:seeds"], "splits", name="split_samples"),
            Node(describe_data, ["samples", "splits", "params:dataset"], "data_summary", name="describe_data"),
        ]
    )
