"""features → scores and predictions of common methods on the validation and test rows."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.peers.nodes import fit_peers


def create_pipeline() -> Pipeline:
    """Return the stage with unbound names."""
    read = ["samples", "splits", "features", "params:dataset", "params:peers", "params:compute", "params:seeds"]
    return Pipeline([Node(fit_peers, read, "peer_outcomes", name="fit_peers")])
