"""The optimal rule that does not see the group: against every classifier on a small discrete distribution."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from counterpoise.methods.heads.penalties import Constraint
from counterpoise.methods.peers import linear_postprocessing
from counterpoise.methods.peers.linear_postprocessing import PERTURBATION, advantage, find_multipliers, margin
from counterpoise.methods.peers.settings import Peer
from counterpoise.nn import Examples

from .conftest import setup_of

POINTS = 10


@pytest.fixture(params=[2, 3], ids=["two groups", "three groups"])
def joint(request: pytest.FixtureRequest) -> np.ndarray:
    return distribution(request.param)


def distribution(groups: int) -> np.ndarray:
    """Return p(s, y | x) at ten equally likely points [10, G, 2], in which group and class depend on one another."""
    generator = np.random.default_rng(groups)
    positive = np.linspace(0.05, 0.95, POINTS)[:, None]
    member = generator.dirichlet(np.ones(groups), POINTS) * np.exp(2 * positive * np.arange(groups))
    member /= member.sum(axis=1, keepdims=True)
    return np.stack([member * (1 - positive), member * positive], axis=2)


def errors_and_gap(shares: np.ndarray, joint: np.ndarray, constraint: Constraint) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected errors and gaps [M] of predicting 1 with these probabilities [M, n], by their definitions."""
    errors = (shares * joint[:, :, 0].sum(1) + (1 - shares) * joint[:, :, 1].sum(1)).mean(axis=-1)
    cells = joint.sum(axis=2, keepdims=True) if constraint == "dp" else joint
    rates = np.einsum("...n,ngc->...gc", shares, cells) / cells.sum(axis=0)
    pairs = combinations(range(joint.shape[1]), 2)
    return errors, np.max([np.abs(rates[..., g, :] - rates[..., h, :]).sum(axis=-1) for g, h in pairs], axis=0)


def rule(joint: np.ndarray, constraint: Constraint, tolerance: float) -> np.ndarray:
    """Return the margins of the rule that is found."""
    difference = joint[:, :, 1].sum(1) - joint[:, :, 0].sum(1)
    found = find_multipliers(joint, difference, constraint=constraint, tolerance=tolerance)
    return margin(joint, difference, found)


EVERY = np.array(list(product((0.0, 1.0), repeat=POINTS)))
"""All 1,024 classifiers."""


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_no_classifier_within_the_tolerance_errs_less(joint: np.ndarray, constraint: Constraint) -> None:
    """Where the rule's margin is zero, the optimum divides a point; elsewhere it goes by the sign."""
    errors, gaps = errors_and_gap(EVERY, joint, constraint)
    (widest,) = errors_and_gap(rule(joint, constraint, 9.0)[None] > 0, joint, constraint)[1]
    for tolerance in np.linspace(0.05, 0.9, 6) * widest:
        margins = rule(joint, constraint, tolerance)
        divided = np.flatnonzero(np.abs(margins) < 1e-6)
        assert 0 < len(divided) <= 4
        steps = np.array(list(product(np.linspace(0, 1, int(50_000 ** (1 / len(divided)))), repeat=len(divided))))
        shares = np.repeat((margins > 0).astype(float)[None], len(steps), axis=0)
        shares[:, divided] = steps
        error, gap = errors_and_gap(shares, joint, constraint)
        near = gap <= tolerance + 0.03  # the width of the grid
        assert error[near].min() <= errors[gaps <= tolerance].min() + 1e-9


def test_the_rule_is_the_best_with_its_gap() -> None:
    """With two groups and demographic parity, where there is one multiplier, whichever side the divided points take."""
    two = distribution(2)
    errors, gaps = errors_and_gap(EVERY, two, "dp")
    reached = set()
    (widest,) = errors_and_gap(rule(two, "dp", 9.0)[None] > 0, two, "dp")[1]
    for tolerance in np.linspace(0.05, 0.9, 6) * widest:
        margins = rule(two, "dp", tolerance)
        for side in (-1e-6, 1e-6):
            (error,), (gap,) = errors_and_gap((margins[None] > side).astype(float), two, "dp")
            assert error <= errors[gaps <= gap + 1e-9].min() + 1e-9
            reached.add(round(gap, 6))
    assert len(reached) > 2


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_a_tolerance_that_binds_nobody_leaves_the_plain_rule(joint: np.ndarray, constraint: Constraint) -> None:
    difference = joint[:, :, 1].sum(1) - joint[:, :, 0].sum(1)
    gap = float(errors_and_gap((difference > 0).astype(float), joint, constraint)[1])
    np.testing.assert_allclose(
        find_multipliers(joint, difference, constraint=constraint, tolerance=gap + 1e-6), 0, atol=1e-9
    )
    assert np.abs(find_multipliers(joint, difference, constraint=constraint, tolerance=gap / 2)).max() > 0.01


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_the_expected_gap_of_many_rows_is_the_tolerance(constraint: Constraint) -> None:
    """With scores that differ, what the rule does not divide as the optimum does is a row or two."""
    generator = np.random.default_rng(0)
    positive = generator.uniform(size=2000)
    member = 1 / (1 + np.exp(2 - 4 * positive + generator.standard_normal(2000)))
    joint = (
        np.stack([[1 - member, member]] * 2, axis=-1).transpose(1, 0, 2)
        * np.stack([1 - positive, positive], axis=1)[:, None]
    )
    for tolerance in (0.05, 0.2):
        error, gap = errors_and_gap((rule(joint, constraint, tolerance) > 0).astype(float), joint, constraint)
        assert gap == pytest.approx(tolerance, abs=0.005)
        assert error > errors_and_gap((positive > 0.5).astype(float), joint, constraint)[0]


def test_equal_probabilities_are_told_apart_by_the_inputs() -> None:
    joint = np.full((50, 2, 2), 0.25)
    x = np.random.default_rng(3).standard_normal((50, 2))
    values = advantage(joint, x)
    assert len(set(values)) == 50
    assert np.abs(values).max() <= PERTURBATION
    np.testing.assert_array_equal(values, advantage(joint, x))
    uneven = distribution(3)
    difference = [sum(positive - negative for negative, positive in point) for point in uneven]
    np.testing.assert_allclose(advantage(uneven, x[:POINTS]), difference, atol=PERTURBATION)


def test_scores_say_the_prediction(train: Examples) -> None:
    shared = setup_of(train)
    for constraint in ("dp", "eo"):
        peer = Peer("linear_postprocessing", constraint=constraint, strength=0.05)
        score, prediction = linear_postprocessing.fit(peer, shared)(shared.train.x, None)
        np.testing.assert_array_equal(prediction, score > 0.5)
        assert ((score >= 0) & (score <= 1)).all()
        rates = [prediction[train.s.numpy() == group].mean() for group in train.s.unique()]
        plain = [(shared.held_out > 0.5)[train.s.numpy() == group].mean() for group in train.s.unique()]
        assert max(rates) - min(rates) < max(plain) - min(plain) - 0.1
