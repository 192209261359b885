"""The estimator as it is: what the others are measured against."""

from __future__ import annotations

from counterpoise.methods.peers.settings import Peer
from counterpoise.methods.peers.setup import Decide, Setup, decide_by


def fit(peer: Peer, setup: Setup) -> Decide:
    """Predict the more probable class."""
    return decide_by(setup.plain)
