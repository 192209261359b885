"""Randomised thresholds: against fairlearn on the same scores, and the rates that it promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.linear_model import LogisticRegression
from tests.support.peers import fit_peer

from counterpoise.errors import InputError
from counterpoise.methods.heads.penalties import Constraint
from counterpoise.methods.peers import threshold_optimizer
from counterpoise.methods.peers.settings import Peer
from counterpoise.methods.peers.threshold_optimizer import random_thresholds
from counterpoise.nn import Examples

from .conftest import setup_of


@pytest.mark.parametrize(("constraint", "name"), [("dp", "demographic_parity"), ("eo", "equalized_odds")])
def test_is_fairlearns(train: Examples, constraint: Constraint, name: str) -> None:
    x, y, s = (value.numpy() for value in (train.x.double(), train.y, train.s))
    logistic = LogisticRegression(max_iter=1000).fit(x, y)
    model = ThresholdOptimizer(estimator=logistic, constraints=name, prefit=True, predict_method="predict_proba")
    model.fit(x, y, sensitive_features=s)
    scores = logistic.predict_proba(x)[:, 1]
    np.testing.assert_allclose(
        random_thresholds(scores, y, s, constraint=constraint)(scores, s),
        model._pmf_predict(x, sensitive_features=s)[:, 1],
        atol=1e-9,
    )


def test_equal_rates_on_the_rows_it_is_set_on(train: Examples) -> None:
    scores = setup_of(train).held_out
    chance = random_thresholds(scores, train.y.numpy(), train.s.numpy(), constraint="dp")(scores, train.s.numpy())
    rates = [chance[train.s.numpy() == group].mean() for group in train.s.unique()]
    plain = [(scores > 0.5)[train.s.numpy() == group].mean() for group in train.s.unique()]
    assert max(rates) - min(rates) < 0.01
    assert max(plain) - min(plain) > 0.3


def test_decisions_are_drawn_with_the_score_as_their_chance(train: Examples) -> None:
    shared = setup_of(train)
    decide = threshold_optimizer.fit(Peer("threshold_optimizer", constraint="dp"), shared)
    score, prediction = decide(np.tile(shared.train.x, (20, 1)), np.tile(shared.train.s, 20))
    assert prediction[score == 1].all()
    assert not prediction[score == 0].any()
    drawn = (score > 0) & (score < 1)
    assert drawn.sum() > 100
    deviation = np.sqrt((score * (1 - score)).sum())
    assert abs((prediction - score).sum()) < 4 * deviation
    assert 0 < prediction[drawn].mean() < 1


def test_needs_groups_that_it_has_seen(train: Examples) -> None:
    classify = fit_peer(Peer("threshold_optimizer", constraint="dp"), train)
    with pytest.raises(InputError, match="optimizer_features_logistic_dp: the rows come without their groups"):
        classify(train.x, None)
    with pytest.raises(InputError, match=r"logistic_dp: found s = 7, expected one of \[0, 1"):
        classify(train.x, torch.full_like(train.s, 7))
    with pytest.raises(InputError, match="has no constraint, expected dp or eo"):
        fit_peer(Peer("threshold_optimizer"), train)
