"""Losses against torch and against their definitions, row by row."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from counterpoise.methods import cross_entropy, penalized
from counterpoise.methods.penalties import penalty

R, V, B = 2, 3, 40


@pytest.fixture
def batch(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logits = torch.randn(R, V, B, 2, generator=generator, dtype=torch.float64)
    y, s = torch.randint(0, 2, (R, B), generator=generator), torch.randint(0, 2, (R, B), generator=generator)
    return logits, y, s


def test_cross_entropy_is_torchs(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    logits, y, s = batch
    value = cross_entropy(logits, y, s)
    for r in range(R):
        for v in range(V):
            torch.testing.assert_close(value[r, v], nn.functional.cross_entropy(logits[r, v], y[r]))


def test_penalties_are_gaps_of_mean_scores(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    logits, y, s = batch
    dp = penalty(logits, y, s, constraint="dp", groups=2)
    eo = penalty(logits, y, s, constraint="eo", groups=2)
    for r in range(R):
        for v in range(V):
            p = logits[r, v].softmax(-1)[:, 1]
            torch.testing.assert_close(dp[r, v], (p[s[r] == 0].mean() - p[s[r] == 1].mean()).abs())
            gaps = [(p[(s[r] == 0) & (y[r] == c)].mean() - p[(s[r] == 1) & (y[r] == c)].mean()).abs() for c in (0, 1)]
            torch.testing.assert_close(eo[r, v], gaps[0] + gaps[1])


def test_more_groups_are_judged_by_the_largest_gap(generator: torch.Generator) -> None:
    logits, s = torch.randn(1, 1, 60, 2, generator=generator), torch.arange(60).remainder(4).unsqueeze(0)
    y = torch.zeros(1, 60, dtype=torch.int64)
    rates = [logits[0, 0].softmax(-1)[s[0] == group, 1].mean() for group in range(4)]
    torch.testing.assert_close(penalty(logits, y, s, constraint="dp", groups=4)[0, 0], max(rates) - min(rates))


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_a_missing_group_or_cell_leaves_value_and_gradient_finite(constraint: str, generator: torch.Generator) -> None:
    logits = torch.randn(1, 1, 8, 2, generator=generator, requires_grad=True)
    y = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]])
    for s in (torch.zeros(1, 8, dtype=torch.int64), torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1]])):
        value = penalty(logits, y, s, constraint=constraint, groups=2)  # type: ignore[arg-type]
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        assert value.isfinite().all()
        assert gradient.isfinite().all()


def test_strength_may_differ_by_variant(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    logits, y, s = batch
    strengths = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    value = penalized("eo", strengths, groups=2)(logits, y, s)
    torch.testing.assert_close(value[:, 0], cross_entropy(logits, y)[:, 0])
    for v, strength in enumerate(strengths.tolist()):
        torch.testing.assert_close(value[:, v], penalized("eo", strength, groups=2)(logits, y, s)[:, v])
