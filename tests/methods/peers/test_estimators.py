"""What peers stand on: against scikit-learn, and complexity that held-out rows ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from counterpoise.methods.peers.estimators import (
    Boosted,
    LinearModel,
    Logistic,
    choose_boosted,
    choose_logistic,
    log_loss,
    minimum_of,
)
from counterpoise.methods.peers.settings import Boosting

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def noisy() -> Arrays:
    """Few rows, many inputs of which one says something: a weak penalty learns noise by heart."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((160, 40))
    y = (x[:, 0] + generator.standard_normal(160) > 0).astype(np.int64)
    return x[:80], y[:80], x[80:], y[80:]


@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_is_scikit_learns(noisy: Arrays, classes: int) -> None:
    x, y, held, _ = noisy
    target = y if classes == 2 else y + 2 * (x[:, 1] > 0)
    weight = np.linspace(0.5, 2, len(y))
    expected = LogisticRegression(C=0.1, max_iter=1000).fit(x, target, sample_weight=weight).predict_proba(held)
    np.testing.assert_allclose(Logistic(0.1).fit(x, target, weight=weight, classes=classes)(held), expected, atol=1e-6)


@pytest.mark.parametrize("estimator", [Logistic(1.0), Boosted(4, 5, 0.1)])
def test_a_class_without_rows_is_not_expected(noisy: Arrays, estimator: Logistic | Boosted) -> None:
    x, y, held, _ = noisy
    probability = estimator.fit(x, y * 2, classes=4)(held)
    assert probability.shape == (80, 4)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert probability[:, [1, 3]].max() < 0.01
    assert probability[:, 0].std() > 0.01


class TestTheSearch:
    @pytest.mark.parametrize("exponent", [-7.0, -3.5, -2.0, 0.2, 6.0])
    def test_finds_the_minimum_wherever_it_lies(self, exponent: float) -> None:
        assert abs(math.log10(minimum_of(lambda number: (math.log10(number) - exponent) ** 2)) - exponent) <= 0.25

    def test_ends_where_the_loss_no_longer_falls(self) -> None:
        """Of inputs that say nothing, and of classes that are separable: the loss falls for ever, less and less."""
        assert minimum_of(lambda number: 0.5) < 0.01
        assert 1 < minimum_of(lambda number: 1 / number) < 1e9

    def test_more_noise_means_a_stronger_penalty(self, noisy: Arrays) -> None:
        x, y, held, held_y = noisy
        chosen = choose_logistic(x, y, held, held_y).C
        assert chosen < choose_logistic(x, y, x, y).C
        losses = [log_loss(Logistic(C).fit(x, y)(held), held_y) for C in (chosen / 10, chosen, chosen * 10)]
        assert losses[1] == min(losses), "the ends are worse"

    def test_rows_count_what_their_weights_say(self, noisy: Arrays) -> None:
        """Rows with a weight of zero may say anything."""
        x, y, held, held_y = noisy
        weight = (np.arange(80) < 40).astype(np.float64)
        flipped = np.where(weight > 0, held_y, 1 - held_y)
        assert choose_logistic(x, y, held, flipped, held_weight=weight) == choose_logistic(x, y, held[:40], held_y[:40])


class TestTrees:
    def test_are_the_same_to_the_bit(self, noisy: Arrays) -> None:
        x, y, held, held_y = noisy
        settings = Boosting(leaves=(3, 8), rounds=30, patience=5)
        first, second = (choose_boosted(x, y, held, held_y, settings) for _ in range(2))
        assert first == second
        np.testing.assert_array_equal(first.fit(x, y)(held), second.fit(x, y)(held))

    def test_stop_before_they_overfit(self, noisy: Arrays) -> None:
        x, y, held, held_y = noisy
        settings = Boosting(leaves=(2, 8), rounds=200, patience=10)
        chosen = choose_boosted(x, y, held, held_y, settings)
        assert chosen.rounds < 100
        assert choose_boosted(x, y, x, y, settings).rounds == 200, "on their own rows the loss always falls"
        longest = Boosted(8, 200, settings.learning_rate)
        assert log_loss(chosen.fit(x, y)(held), held_y) < log_loss(longest.fit(x, y)(held), held_y) - 0.1

    def test_have_as_many_leaves_as_do_best_on_held_out_rows(self, noisy: Arrays) -> None:
        """Of rows that they were not fitted to it is few, of their own more."""
        x, y, *held_out = noisy
        chosen = []
        for held, held_y in (held_out, (x, y)):
            each = [choose_boosted(x, y, held, held_y, Boosting(leaves=(leaves,), patience=5)) for leaves in (2, 5, 12)]
            losses = [log_loss(one.fit(x, y)(held), held_y) for one in each]
            chosen.append(choose_boosted(x, y, held, held_y, Boosting(leaves=(2, 5, 12), patience=5)))
            assert chosen[-1] == each[int(np.argmin(losses))]
        assert chosen[0].leaves < chosen[1].leaves

    def test_weights_are_used(self, noisy: Arrays) -> None:
        x, y, held, _ = noisy
        trees = Boosted(4, 10, 0.1)
        heavy = trees.fit(x, y, weight=np.where(y == 1, 5.0, 1.0))(held)[:, 1].mean()
        assert heavy > trees.fit(x, y)(held)[:, 1].mean() + 0.1


def test_log_loss_is_torchs(noisy: Arrays) -> None:
    *_, held, held_y = noisy
    probability = LinearModel.binary(np.linspace(-1, 1, 40), 0.3)(held)
    expected = torch.nn.functional.binary_cross_entropy(
        torch.from_numpy(probability[:, 1]), torch.from_numpy(held_y).double()
    )
    assert log_loss(probability, held_y) == pytest.approx(expected.item())
    assert log_loss(np.array([[1.0, 0.0]]), np.array([1])) > 100, "finite where the model was sure of the wrong class"
