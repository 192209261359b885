"""What people use today: against the formulas, against fairlearn itself, and what each promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fairlearn.metrics import demographic_parity_difference
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import EqualizedOdds, ExponentiatedGradient
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.methods.heads.peers import (
    PEERS,
    Peer,
    choose_regularization,
    fit_peer,
    peer_grid,
    require_rows,
    reweighing,
)
from counterpoise.nn import Examples

N, D = 400, 4
GRID = peer_grid(PEERS, (0.05,))
FEW = 3  # iterations of exponentiated_gradient, each of which is several regressions
SEED = 5


def draw(generator: torch.Generator, groups: int, n: int = N) -> Examples:
    """Return rows whose class depends on the features, which depend on the group: an unfair classifier is the best."""
    s = torch.arange(n) % groups
    x = torch.randn(n, D, generator=generator)
    x[:, 0] += 2 * s
    noisy = x.sum(dim=1) + torch.randn(n, generator=generator)
    return Examples(100 + 7 * x, (noisy > 1).long(), s)


@pytest.fixture(params=[2, 3], ids=["two groups", "three groups"])
def train(request: pytest.FixtureRequest, generator: torch.Generator) -> Examples:
    return draw(generator, request.param)


@pytest.fixture
def test(train: Examples, generator: torch.Generator) -> Examples:
    return draw(generator, int(train.s.max()) + 1, 300)


def gap(prediction: Tensor, data: Examples) -> float:
    return demographic_parity_difference(data.y, prediction, sensitive_features=data.s)


def standardised(train: Examples, x: Tensor) -> np.ndarray:
    """Standardise without scikit-learn, in float64."""
    exact = train.x.double()
    return ((x.double() - exact.mean(dim=0)) / exact.std(dim=0, correction=0)).numpy()


def test_the_grid_has_a_name_for_each_setting() -> None:
    assert [peer.name for peer in GRID] == [
        *("logistic", "reweighing", "leace"),
        *("exponentiated_gradient_dp_0.05", "exponentiated_gradient_eo_0.05"),
        *("threshold_optimizer_dp", "threshold_optimizer_eo"),
    ]
    asking = [peer.name for peer in GRID if peer.needs_group_at_prediction]
    assert asking == ["threshold_optimizer_dp", "threshold_optimizer_eo"]


@pytest.mark.parametrize("peer", GRID, ids=lambda peer: peer.name)
def test_every_peer_classifies_better_than_the_majority(peer: Peer, train: Examples, test: Examples) -> None:
    """Turned-round classes or scores would be worse than chance. The same rows get the same answer again."""
    classify = fit_peer(peer, train, seed=SEED, max_iter=FEW)
    outcome, again = (classify(test.x, test.s) for _ in range(2))
    assert torch.equal(outcome.score, again.score)
    assert torch.equal(outcome.prediction, again.prediction)
    majority = max(test.y.double().mean().item(), 1 - test.y.double().mean().item())
    assert (outcome.prediction == test.y).double().mean() > majority
    assert outcome.score[test.y == 1].mean() > outcome.score[test.y == 0].mean() + 0.1
    assert ((outcome.score >= 0) & (outcome.score <= 1)).all()


def test_logistic_is_scikit_learns(train: Examples, test: Examples) -> None:
    model = LogisticRegression(C=0.1, max_iter=1000).fit(standardised(train, train.x), train.y)
    outcome = fit_peer(Peer("logistic"), train, C=0.1)(test.x, None)
    expected = model.predict_proba(standardised(train, test.x))[:, 1]
    np.testing.assert_allclose(outcome.score, expected, atol=1e-3)
    assert torch.equal(outcome.prediction, (outcome.score > 0.5).to(torch.uint8))


class TestReweighing:
    def test_is_the_formula(self, train: Examples) -> None:
        y, s = train.y.numpy(), train.s.numpy()
        expected = [(s == g).mean() * (y == c).mean() / ((s == g) & (y == c)).mean() for g, c in zip(s, y, strict=True)]
        np.testing.assert_allclose(reweighing(train.y, train.s), expected)

    def test_makes_group_and_class_independent(self, train: Examples) -> None:
        weight = reweighing(train.y, train.s)
        for group in train.s.unique():
            own = train.s == group
            assert weight[own].sum().item() == pytest.approx(own.sum().item())
            rate = (weight[own] * train.y[own]).sum() / weight[own].sum()
            assert rate.item() == pytest.approx(train.y.double().mean().item())

    def test_is_used(self, train: Examples, test: Examples) -> None:
        """The weighted regression is the one fitted on rows that are repeated as often as their weights say."""
        counts = (reweighing(train.y, train.s) * 20).round().long()
        repeated = Examples(*(value.repeat_interleave(counts, dim=0) for value in (train.x, train.y, train.s)))
        expected = fit_peer(Peer("logistic"), repeated, C=1 / 20)(test.x, None)
        outcome = fit_peer(Peer("reweighing"), train)(test.x, None)
        torch.testing.assert_close(outcome.score, expected.score, atol=0.02, rtol=0)
        assert (outcome.score - fit_peer(Peer("logistic"), train)(test.x, None).score).abs().max() > 0.05

    def test_an_empty_cell_has_no_weight_to_give(self) -> None:
        """Nobody of group 1 is of class 1."""
        weight = reweighing(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 0, 0, 1]))
        torch.testing.assert_close(weight, torch.tensor([1.5, 0.75, 0.75, 0.5], dtype=torch.float64))


def test_leace_leaves_the_score_without_group(train: Examples) -> None:
    """The decision function is linear in erased features: its mean is the same in every group."""
    spread = {}
    for method in ("logistic", "leace"):
        score = fit_peer(Peer(method), train)(train.x, None).score.double()
        means = torch.stack([score.logit()[train.s == group].mean() for group in train.s.unique()])
        spread[method] = (means.max() - means.min()).item()
    assert spread["logistic"] > 1
    assert spread["leace"] < 1e-4


class TestExponentiatedGradient:
    def test_keeps_its_bound_on_the_training_rows(self, generator: torch.Generator) -> None:
        """A group's rate lies within the tolerance of the overall rate, but for the gap that the iteration leaves; a
        wider tolerance costs fewer errors."""
        train = draw(generator, 2)
        assert _away(fit_peer(Peer("logistic"), train)(train.x, None).prediction, train) > 0.15
        errors = []
        for tolerance in (0.02, 0.1):
            score = fit_peer(Peer("exponentiated_gradient", "dp", tolerance), train, max_iter=15)(train.x, None).score
            assert tolerance / 2 < _away(score, train) < tolerance + 0.02
            errors.append((score - train.y).abs().mean().item())
        assert errors[1] < errors[0] - 0.01

    def test_is_fairlearns(self, train: Examples, test: Examples) -> None:
        """The same mixture, and the same draw."""
        logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model = ExponentiatedGradient(
            logistic,
            EqualizedOdds(difference_bound=0.05),
            max_iter=FEW,
            sample_weight_name="logisticregression__sample_weight",
        ).fit(train.x.numpy(), train.y.numpy(), sensitive_features=train.s.numpy())
        outcome = fit_peer(Peer("exponentiated_gradient", "eo", 0.05), train, max_iter=FEW, seed=SEED)(test.x, None)
        mixture = sum(w * h.predict(test.x.numpy()) for w, h in zip(model.weights_, model.predictors_, strict=True))
        np.testing.assert_allclose(outcome.score, mixture, atol=1e-6)
        np.testing.assert_array_equal(outcome.prediction, model.predict(test.x.numpy(), random_state=SEED))

    def test_draws_predictions_with_the_probability_it_gives(self, train: Examples) -> None:
        peer = Peer("exponentiated_gradient", "dp", 0.02)
        classify = [fit_peer(peer, train, max_iter=FEW, seed=seed) for seed in range(2)]
        many = train.x.repeat(20, 1)
        first, second = (function(many, None) for function in classify)
        assert torch.equal(first.score, second.score)
        assert not torch.equal(first.prediction, second.prediction)
        drawn = first.prediction.double().unflatten(0, (20, N)).mean(dim=0)
        assert (drawn - first.score[:N]).abs().mean() < 0.05


def _away(prediction: Tensor, data: Examples) -> float:
    """Return how far a group's rate lies from the overall rate."""
    rate = prediction.double()
    return max((rate[data.s == group].mean() - rate.mean()).abs().item() for group in data.s.unique())


class TestThresholdOptimizer:
    @pytest.mark.parametrize(("constraint", "name"), [("dp", "demographic_parity"), ("eo", "equalized_odds")])
    def test_is_fairlearns(self, train: Examples, test: Examples, constraint: str, name: str) -> None:
        x = standardised(train, train.x)
        logistic = LogisticRegression(max_iter=1000).fit(x, train.y)
        model = ThresholdOptimizer(estimator=logistic, constraints=name, prefit=True, predict_method="predict_proba")
        model.fit(x, train.y.numpy(), sensitive_features=train.s.numpy())
        expected = model.predict(standardised(train, test.x), sensitive_features=test.s.numpy(), random_state=SEED)
        outcome = fit_peer(Peer("threshold_optimizer", constraint), train, seed=SEED)(test.x, test.s)
        assert (outcome.prediction.numpy() == expected).mean() > 0.99, "ours starts from float32 features"

    def test_equal_rates_on_the_training_rows(self, train: Examples) -> None:
        outcome = fit_peer(Peer("threshold_optimizer", "dp"), train)(train.x, train.s)
        rates = [outcome.score[train.s == group].mean().item() for group in train.s.unique()]
        assert max(rates) - min(rates) < 0.01
        assert gap(fit_peer(Peer("logistic"), train)(train.x, None).prediction, train) > 0.3

    def test_needs_groups_that_it_knows(self, train: Examples) -> None:
        classify = fit_peer(Peer("threshold_optimizer", "dp"), train)
        with pytest.raises(InputError, match="threshold_optimizer_dp: the rows come without their groups"):
            classify(train.x, None)
        with pytest.raises(InputError, match=r"threshold_optimizer_dp: found s = 7, expected one of \[0, 1"):
            classify(train.x, torch.full_like(train.s, 7))


def test_groups_are_asked_for_only_where_a_peer_says_so(train: Examples, generator: torch.Generator) -> None:
    shuffled = train.s[torch.randperm(N, generator=generator)]
    for peer in GRID:
        classify = fit_peer(peer, train, max_iter=FEW)
        same = torch.equal(classify(train.x, train.s).score, classify(train.x, shuffled).score)
        assert same != peer.needs_group_at_prediction, peer.name


def test_regularization_is_chosen_where_validation_rows_are_predicted_best(generator: torch.Generator) -> None:
    """Class and features of the training rows say little: a weak penalty learns their noise by heart."""
    x = torch.randn(140, 60, generator=generator)
    y = (x[:, 0] + 2 * torch.randn(140, generator=generator) > 0).long()
    few, many = (Examples(x[rows], y[rows], y[rows] * 0) for rows in (slice(0, 70), slice(70, None)))
    assert choose_regularization(few, many, [0.01, 100.0]) == 0.01
    assert choose_regularization(few, few, [0.01, 100.0]) == 100.0
    assert choose_regularization(few, many, [100.0]) == 100.0


class TestRowsThatCannotBeFitted:
    @pytest.mark.parametrize("method", PEERS)
    def test_a_single_class(self, train: Examples, method: str) -> None:
        ones = Examples(train.x, torch.ones_like(train.y), train.s)
        with pytest.raises(InputError, match=r"the classes \[1\] in column y, expected both 0 and 1"):
            fit_peer(Peer(method, "dp", 0.1), ones)

    def test_an_empty_cell(self, train: Examples) -> None:
        """Nobody of the last group is of class 1: only the thresholds cannot be set."""
        last = int(train.s.max())
        y = torch.where(train.s == last, 0, train.y)
        for peer in peer_grid(PEERS, (0.1,)):
            if peer.needs_group_at_prediction:
                with pytest.raises(InputError, match=rf"y = 1 among s = {last}, expected .* {peer.name}"):
                    fit_peer(peer, Examples(train.x, y, train.s))
            else:
                outcome = fit_peer(peer, Examples(train.x, y, train.s), max_iter=FEW)(train.x, None)
                assert outcome.score.isfinite().all()

    def test_a_group_that_has_no_rows(self, train: Examples) -> None:
        groups = int(train.s.max()) + 2
        require_rows([Peer("leace")], train.y, train.s, groups=groups)
        with pytest.raises(InputError, match=rf"training part has no row of y = 0 among s = {groups - 1}"):
            require_rows([Peer("threshold_optimizer", "eo")], train.y, train.s, groups=groups)
