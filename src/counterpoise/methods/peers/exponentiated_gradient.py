"""A mixture of weighted classifiers: the reduction of Agarwal et al. 2018, by fairlearn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from counterpoise.methods.peers.estimators import Model
from counterpoise.methods.peers.settings import Peer
from counterpoise.methods.peers.setup import HALFWAY, Decide, Setup


def fit(peer: Peer, setup: Setup) -> Decide:
    """Fit the mixture. The score is the probability with which it predicts 1; predictions are drawn with it.

    `peer.strength` is fairlearn's `difference_bound`: how far any group's rate may lie from the overall rate on the
    training rows, so that two groups may lie up to twice as far from each other.
    """
    from fairlearn.reductions import DemographicParity, EqualizedOdds, ExponentiatedGradient

    constraint, tolerance = peer.bound
    parity = DemographicParity if constraint == "dp" else EqualizedOdds
    reduction = getattr(setup.settings.exponentiated_gradient, peer.estimator)
    rows = setup.train
    model = ExponentiatedGradient(
        _Classifier(setup.estimator.fit), parity(difference_bound=tolerance), max_iter=reduction.max_iter
    )
    model.fit(rows.x, rows.y, sensitive_features=rows.s)

    def decide(x: np.ndarray, _: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        # fairlearn has no public name for the probability that `predict` draws with.
        score = model._pmf_predict(x)[:, 1]
        return score, score >= np.random.RandomState(setup.seed).rand(len(score))  # as fairlearn's `predict` draws

    return decide


class _Classifier:
    """An estimator as fairlearn wants it."""

    def __init__(self, estimate: Callable[..., Model]) -> None:
        self._estimate = estimate

    def fit(self, x: Any, y: Any, sample_weight: Any) -> _Classifier:
        self._model = self._estimate(np.asarray(x), np.asarray(y), weight=np.asarray(sample_weight))
        return self

    def predict(self, x: Any) -> np.ndarray:
        return (self._model(np.asarray(x))[:, 1] > HALFWAY).astype(np.int64)
