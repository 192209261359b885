"""Logistic regression on erased inputs."""

from __future__ import annotations

from tests.support.peers import fit_peer

from counterpoise.methods.peers.settings import Peer
from counterpoise.nn import Examples


def test_leaves_the_score_without_group(train: Examples) -> None:
    """The decision function is linear in erased inputs: its mean is the same in every group."""
    spread = {}
    for method in ("plain", "leace"):
        score = fit_peer(Peer(method), train)(train.x, None).score.double()
        means = [score.logit()[train.s == group].mean().item() for group in train.s.unique()]
        spread[method] = max(means) - min(means)
    assert spread["plain"] > 1
    assert spread["leace"] < 1e-4
