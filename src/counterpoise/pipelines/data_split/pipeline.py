"""raw → table → samples and how they were encoded → splits."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.data_split.nodes import (
    describe_data,
    encode_samples,
    encode_table,
    read_table,
    split_samples,
    split_to_compare,
)


def create_pipeline(*, images: bool, compares: bool = True) -> Pipeline:
    """Return the stage with unbound names. For images the table comes from the stage that has looked at every file.

    Args:
        compares: whether gaps between groups will be measured, for which it takes two groups that are large enough.
    """
    split = split_to_compare if compares else split_samples
    name = "encode_samples"
    encoding = Node(encode_samples, ["readable", "params:dataset"], "samples", name=name)
    tables = [
        Node(read_table, ["raw", "params:dataset"], ["table", "left_out"], name="read_table"),
        Node(encode_table, ["table", "params:dataset"], ["samples", "encoding"], name=name),
    ]
    return Pipeline(
        [
            *([encoding] if images else tables),
            Node(split, ["samples", "params:dataset", "params:seeds"], "splits", name="split_samples"),
            Node(
                describe_data, ["samples", "splits", "left_out", "params:dataset"], "data_summary", name="describe_data"
            ),
        ]
    )
