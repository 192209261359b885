"""what a server did not take → MLflow."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.sync_tracking.nodes import log_unlogged


def create_pipeline() -> Pipeline:
    """Return the pipeline `sync_tracking`; it binds its own names, since no experiment owns it."""
    return Pipeline([Node(log_unlogged, "unlogged", "synced", name="log_unlogged")])
