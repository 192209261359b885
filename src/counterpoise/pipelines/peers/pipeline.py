"""features → scores and predictions of common methods on the validation and test rows."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from counterpoise.pipelines.peers.nodes import fit_peers


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the stage with unbound names; of images features are read, of tables columns and a base's features."""
    read = ["samples", "splits", "bases", "params:dataset", "params:peers", "params:compute", "params:seeds"]
    read += ["features"] if images else []
    return Pipeline([Node(fit_peers, read, "peer_outcomes", name="fit_peers")])
