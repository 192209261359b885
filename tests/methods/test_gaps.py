"""Soft gaps: those of certain predictions are the metrics', and gradients reach the scores."""

from __future__ import annotations

from itertools import combinations, product

import pytest
import torch

from counterpoise.fairness import confusion_counts
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.gaps import largest_gap, soft_bias, soft_rates

R, M, K = 3, 120, 4
TWO = ["spd", "eod", "aod"]


@pytest.mark.parametrize("bias", [*TWO, "mean_bias"])
def test_the_soft_bias_of_certain_predictions_is_the_hard_one(bias: str, generator: torch.Generator) -> None:
    k = K if bias == "mean_bias" else 1
    y = torch.randint(0, max(k, 2), (R, M), generator=generator)
    s = torch.randint(0, 2, (R, M), generator=generator)
    logits = torch.randn(R, M, k, generator=generator) + 0.8 * s.unsqueeze(-1) * torch.arange(1, k + 1)
    decisions = logits.argmax(-1) if k > 1 else (logits.squeeze(-1) > 0).long()
    hard = COUNT_METRICS[bias](confusion_counts(y, decisions, s, groups=2, classes=max(k, 2)))
    soft = soft_bias(bias, 1e6 * logits, y, s)  # type: ignore[arg-type]
    torch.testing.assert_close(soft.double(), hard, rtol=1e-5, atol=1e-5)
    assert (soft_bias(bias, logits, y, s) - soft).abs().min() > 1e-3  # type: ignore[arg-type]


def test_soft_rates_are_means_over_the_rows_of_each_cell(generator: torch.Generator) -> None:
    probability, cell = torch.rand(2, 3, 9, generator=generator), torch.tensor([[0, 0, 1, 1, 1, 3, 3, 3, 3], [2] * 9])
    rates, present = soft_rates(probability, cell, cells=4)
    assert present.tolist() == [[[True, True, False, True]], [[False, False, True, False]]]
    for r, c in present.squeeze(1).nonzero().tolist():
        torch.testing.assert_close(rates[r, :, c], probability[r][:, cell[r] == c].mean(dim=1))


def test_the_largest_gap_is_between_groups_that_are_present() -> None:
    rates = torch.tensor([0.3, 0.9, 0.1, 0.4])
    for there in product((False, True), repeat=4):
        pairs = combinations(rates[torch.tensor(there)].tolist(), 2)
        expected = max((abs(one - other) for one, other in pairs), default=0.0)
        assert largest_gap(rates, torch.tensor(there)).item() == pytest.approx(expected)


def test_a_term_without_rows_of_a_group_is_left_out() -> None:
    p = torch.tensor([[0.9, 0.8, 0.3, 0.1, 0.6]])
    logits = p.logit().unsqueeze(-1).requires_grad_()
    y, s = torch.tensor([[1, 1, 0, 0, 0]]), torch.tensor([[0, 0, 0, 1, 1]])  # no positive row of group 1
    negative = 0.3 - (0.1 + 0.6) / 2
    assert soft_bias("eod", logits, y, s).item() == 0.0
    assert soft_bias("aod", logits, y, s).item() == pytest.approx(negative / 2)
    assert soft_bias("spd", logits, y, s).item() == pytest.approx((0.9 + 0.8 + 0.3) / 3 - (0.1 + 0.6) / 2)
    assert soft_bias("spd", logits, y, torch.zeros_like(s)).item() == 0.0
    (gradient,) = torch.autograd.grad(soft_bias("aod", logits, y, s).sum(), logits)
    assert gradient.isfinite().all()
    assert not gradient[0, :2].any(), "nothing pulls at rows whose term is left out"


@pytest.mark.parametrize("bias", [*TWO, "mean_bias"])
def test_the_soft_bias_can_be_differentiated(bias: str, generator: torch.Generator) -> None:
    k = K if bias == "mean_bias" else 1
    y = torch.randint(0, max(k, 2), (2, 9), generator=generator)
    s = torch.randint(0, 2, (2, 9), generator=generator)
    logits = torch.randn(2, 9, k, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: soft_bias(bias, z, y, s), logits)  # type: ignore[arg-type]
