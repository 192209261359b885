"""A randomised threshold for each group (Hardt et al. 2016), by fairlearn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from counterpoise.errors import InputError
from counterpoise.methods.heads.penalties import Constraint
from counterpoise.methods.peers.settings import Peer
from counterpoise.methods.peers.setup import Decide, Setup, require_groups


def fit(peer: Peer, setup: Setup) -> Decide:
    """Set the thresholds on scores of training rows by models that have not seen them.

    The score is the probability with which it predicts 1; predictions are drawn with it.
    """
    if peer.constraint is None:
        raise InputError(f"peer {peer.name}: has no constraint, expected dp or eo")
    randomise = random_thresholds(setup.held_out, setup.train.y, setup.train.s, constraint=peer.constraint)

    def decide(x: np.ndarray, s: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        score = randomise(setup.plain(x)[:, 1], require_groups(s, peer.name, setup.train.s))
        # As fairlearn's `predict` draws.
        return score, score >= np.random.RandomState(setup.seed).rand(len(score))

    return decide


def random_thresholds(
    probability: Float[np.ndarray, "n"], y: Int[np.ndarray, "n"], s: Int[np.ndarray, "n"], *, constraint: Constraint
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the function from probabilities of class 1 and groups to probabilities of predicting 1."""
    from fairlearn.postprocessing import ThresholdOptimizer
    from sklearn.base import BaseEstimator

    class Scores(BaseEstimator):
        """A fitted classifier whose inputs are the scores."""

        def fit(self, x: np.ndarray, y: np.ndarray) -> Scores:
            self.fitted_ = True  # by this scikit-learn knows
            return self

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.asarray(x)[:, 0]

    parity = "demographic_parity" if constraint == "dp" else "equalized_odds"
    model = ThresholdOptimizer(estimator=Scores(), constraints=parity, predict_method="predict")
    # float64: fairlearn fails on float32 scores with pandas 3.
    model.fit(probability.astype(np.float64)[:, None], y, sensitive_features=s)

    def randomise(probability: np.ndarray, s: np.ndarray) -> np.ndarray:
        # fairlearn has no public name for the probability that `predict` draws with.
        return np.asarray(model._pmf_predict(probability.astype(np.float64)[:, None], sensitive_features=s)[:, 1])

    return randomise
