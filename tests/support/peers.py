"""One peer on rows at hand, fitted as `run` fits it on every replicate."""

from __future__ import annotations

from counterpoise.methods.peers import run
from counterpoise.methods.peers.estimators import Boosted, Estimator, Logistic
from counterpoise.methods.peers.run import Classifier
from counterpoise.methods.peers.settings import Peer, Peers
from counterpoise.methods.peers.setup import Setup
from counterpoise.nn import Examples


def fit_peer(
    peer: Peer,
    train: Examples,
    validation: Examples | None = None,
    *,
    settings: Peers | None = None,
    estimator: Estimator | None = None,
    seed: int = 0,
) -> Classifier:
    """Fit one peer on training rows (x [n, d]).

    Without an estimator, validation rows choose one; without these it is `Logistic(1.0)`, or 100 trees.
    """
    settings = settings or Peers()
    groups, classes = int(train.s.max()) + 1, max(2, int(train.y.max()) + 1)
    run._require_rows([peer], train.y, train.s, groups=groups, classes=classes)
    scale = run._Scale.of(train.x) if peer.estimator == "logistic" else None
    rows = run._rows(train, scale)
    held = None if validation is None else run._rows(validation, scale)
    if estimator is None:
        estimator = (
            _default(peer, settings) if held is None else run._chosen(peer.estimator, rows, held, settings, classes)
        )
    return run._classifier(peer, Setup(rows, held, estimator, settings, groups, seed, classes), scale)


def _default(peer: Peer, settings: Peers) -> Estimator:
    if peer.estimator == "logistic":
        return Logistic(settings.C or 1.0)
    return Boosted(settings.boosting.leaves[-1], min(100, settings.boosting.rounds), settings.boosting.learning_rate)
