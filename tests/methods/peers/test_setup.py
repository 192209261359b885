"""What peers of one replicate share: models that see no row which they score, and rules that read probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from counterpoise.errors import InputError
from counterpoise.methods.peers.setup import Setup, decide_by, require_groups
from counterpoise.nn import Examples

from .conftest import setup_of


class Remembers:
    """An estimator that says how many of the rows that it is asked about it has learnt from."""

    @property
    def complexity(self) -> dict[str, float]:
        return {}

    def fit(self, x: Any, y: Any, *, weight: Any = None, classes: int = 2) -> Any:
        seen = {row.tobytes() for row in x}

        def model(asked: np.ndarray) -> np.ndarray:
            known = np.array([float(row.tobytes() in seen) for row in asked])
            return np.repeat(known[:, None], classes, axis=1)

        return model


def remembering(train: Examples) -> Setup:
    setup = setup_of(train)
    return Setup(setup.train, None, Remembers(), setup.settings, setup.groups, setup.seed)


def test_rows_are_scored_by_what_the_other_folds_taught(train: Examples) -> None:
    setup = remembering(train)
    assert setup.held_out.shape == (len(train.y),)
    assert not setup.held_out.any()
    assert setup.joint_held_out.shape == (len(train.y), setup.groups, 2)
    assert not setup.joint_held_out.any()
    assert setup.plain(setup.train.x).all(), "the plain model has seen all rows"


def test_rows_that_belong_together_are_in_one_fold(train: Examples) -> None:
    """Each person has two rows that are the same but for their class."""
    half = len(train.y) // 2
    twice = Examples(train.x[:half].repeat(2, 1), train.y, train.s[:half].repeat(2), torch.arange(half).repeat(2))
    assert not remembering(twice).held_out.any()
    assert remembering(Examples(twice.x, twice.y, twice.s)).held_out.any()


def test_cells_and_their_probabilities_agree(train: Examples) -> None:
    setup = setup_of(train)
    assert (setup.cells // 2 == setup.train.s).all()
    assert (setup.cells % 2 == setup.train.y).all()
    shares = np.bincount(setup.cells, minlength=2 * setup.groups) / len(setup.cells)
    said = setup.joint_held_out
    np.testing.assert_allclose(said.sum(axis=(1, 2)), 1, atol=1e-6)
    np.testing.assert_allclose(said.mean(axis=0).ravel(), shares, atol=0.02)


def test_a_rule_takes_the_most_probable_class() -> None:
    two = np.array([[0.6, 0.4], [0.4, 0.6], [0.5, 0.5]])
    score, prediction = decide_by(lambda x: two)(np.zeros((3, 1)), None)
    assert score.tolist() == [0.4, 0.6, 0.5]
    assert prediction.tolist() == [False, True, False]
    three = np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]])
    score, prediction = decide_by(lambda x: three)(np.zeros((2, 1)), None)
    assert (score.tolist(), prediction.tolist()) == ([0.5, 0.4], [1, 0])


def test_groups_that_nobody_has_seen_are_refused() -> None:
    seen = np.array([0, 1, 1])
    assert require_groups(np.array([1, 1]), "error_parity", seen).tolist() == [1, 1]
    with pytest.raises(InputError, match="error_parity: the rows come without their groups"):
        require_groups(None, "error_parity", seen)
    with pytest.raises(InputError, match=r"error_parity: found s = 2, expected one of \[0, 1\]"):
        require_groups(np.array([0, 2]), "error_parity", seen)
