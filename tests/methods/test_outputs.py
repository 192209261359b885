"""Losses, scores and decisions: one logit says what two do, of which the first is 0."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from counterpoise.methods.outputs import binary_cross_entropy, decide, decisions, scores, task_loss


@pytest.fixture
def logits(generator: torch.Generator) -> Tensor:
    return 2 * torch.randn(3, 40, 1, generator=generator)


def test_one_logit_speaks_for_class_1(logits: Tensor, generator: torch.Generator) -> None:
    two = torch.cat([torch.zeros_like(logits), logits], dim=-1)
    y = torch.randint(0, 2, (3, 40), generator=generator)
    torch.testing.assert_close(task_loss(logits, y), task_loss(two, y))
    torch.testing.assert_close(scores(logits), scores(two)[..., 1:])
    assert decisions(logits).equal(decisions(two))
    half = torch.full((3,), 0.5, dtype=torch.float64)
    assert decide(scores(logits), half).equal(decisions(logits))
    assert decide(scores(two), half).equal(decisions(two))


def test_the_loss_is_the_mean_surprise_of_each_replicate(generator: torch.Generator) -> None:
    logits = torch.randn(2, 30, 4, generator=generator)
    y = torch.randint(0, 4, (2, 30), generator=generator)
    surprise = -scores(logits).log()
    expected = [sum(float(surprise[r, n, y[r, n]]) for n in range(30)) / 30 for r in (0, 1)]
    assert task_loss(logits, y).tolist() == pytest.approx(expected, rel=1e-5)


def test_a_class_may_be_wanted_by_half(logits: Tensor) -> None:
    z = logits.squeeze(-1)
    both = [binary_cross_entropy(z, torch.full_like(z, label)) for label in (0.0, 1.0)]
    torch.testing.assert_close(binary_cross_entropy(z, torch.full_like(z, 0.25)), 0.75 * both[0] + 0.25 * both[1])


def test_class_1_is_what_is_above_each_replicates_threshold() -> None:
    score = torch.tensor([[0.25, 0.5, 0.75]] * 2).unsqueeze(-1)
    threshold = torch.tensor([0.5, 0.2], dtype=torch.float64)
    assert decide(score, threshold).tolist() == [[0, 0, 1], [1, 1, 1]]
    assert decisions(torch.tensor([[[-0.1], [0.0], [0.1]]])).tolist() == [[0, 0, 1]]
