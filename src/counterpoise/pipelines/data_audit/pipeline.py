"""table, samples, splits → what the data say before any model; alone also as a page."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.data_audit.nodes import audit_data, write_page


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the stage with unbound names. Of images the rows are those whose file could be read."""
    rows = "readable" if images else "table"
    inputs = [rows, "samples", "splits", "left_out", "raw", "params:dataset"]
    return Pipeline([Node(audit_data, inputs, "data_audit", name="audit_data")])


def page_pipeline() -> Pipeline:
    """Return what follows where the audit stands alone: its page."""
    return Pipeline([Node(write_page, ["data_audit", "run"], "audit_page", name="write_page")])
