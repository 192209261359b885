"""features → scores and predictions of common methods on the validation and test rows."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.peers.nodes import fit_peers


def create_pipeline(*, ready: bool) -> Pipeline:
    """Return the stage with unbound names; features that come `ready` are read, or columns and a base's features."""
    read = ["samples", "splits", "bases", "params:dataset", "params:peers", "params:compute", "params:seeds"]
    read += ["features"] if ready else []
    return Pipeline([Node(fit_peers, read, "peer_outcomes", name="fit_peers")])
