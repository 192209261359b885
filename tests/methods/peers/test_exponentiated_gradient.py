"""A mixture of classifiers: against fairlearn, and the bound that it promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from fairlearn.reductions import EqualizedOdds, ExponentiatedGradient
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.support.peers import fit_peer
from torch import Tensor

from counterpoise.methods.peers.settings import Peer, Reduction, Reductions
from counterpoise.nn import Examples

from .conftest import SMALL, N, draw

SEED = 5
FEW = 3
FIFTEEN = replace(SMALL, exponentiated_gradient=Reductions(logistic=Reduction(max_iter=15)))


def test_keeps_its_bound_on_the_training_rows(generator: torch.Generator) -> None:
    """A group's rate lies within the tolerance of the overall rate, but for the gap that the iteration leaves; a wider
    tolerance costs fewer errors."""
    train = draw(generator, 2)
    assert away(fit_peer(Peer("plain"), train)(train.x, None).prediction, train) > 0.15
    errors = []
    for tolerance in (0.02, 0.1):
        peer = Peer("exponentiated_gradient", constraint="dp", strength=tolerance)
        score = fit_peer(peer, train, settings=FIFTEEN)(train.x, None).score
        assert tolerance / 2 < away(score, train) < tolerance + 0.02
        errors.append((score - train.y).abs().mean().item())
    assert errors[1] < errors[0] - 0.01


def test_is_fairlearns(train: Examples, test: Examples) -> None:
    """The same mixture, and the same draw."""
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model = ExponentiatedGradient(
        logistic,
        EqualizedOdds(difference_bound=0.05),
        max_iter=FEW,
        sample_weight_name="logisticregression__sample_weight",
    ).fit(train.x.numpy(), train.y.numpy(), sensitive_features=train.s.numpy())
    peer = Peer("exponentiated_gradient", constraint="eo", strength=0.05)
    outcome = fit_peer(peer, train, settings=SMALL, seed=SEED)(test.x, None)
    mixture = sum(w * h.predict(test.x.numpy()) for w, h in zip(model.weights_, model.predictors_, strict=True))
    assert (np.abs(outcome.score.numpy() - mixture) < 1e-6).mean() > 0.99, "ours rounds inputs to float32"
    assert (outcome.prediction.numpy() == model.predict(test.x.numpy(), random_state=SEED)).mean() > 0.99


def test_draws_predictions_with_the_probability_it_gives(train: Examples) -> None:
    peer = Peer("exponentiated_gradient", constraint="dp", strength=0.02)
    classify = [fit_peer(peer, train, settings=SMALL, seed=seed) for seed in range(2)]
    many = train.x.repeat(20, 1)
    first, second = (function(many, None) for function in classify)
    assert torch.equal(first.score, second.score)
    assert not torch.equal(first.prediction, second.prediction)
    drawn = first.prediction.double().unflatten(0, (20, N)).mean(dim=0)
    assert (drawn - first.score[:N]).abs().mean() < 0.05


def away(prediction: Tensor, data: Examples) -> float:
    """Return how far a group's rate lies from the overall rate."""
    rate = prediction.double()
    return max((rate[data.s == group].mean() - rate.mean()).abs().item() for group in data.s.unique())
