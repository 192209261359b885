"""Why WIN and f+SVD cannot differ at full rank under SGD, and where they can (docs/method.md)."""

from __future__ import annotations

import pytest
import torch

from counterpoise.methods import Variant, cross_entropy, head_bank
from counterpoise.nn import Examples, HeadBank, Optimizer, fit, generators, predict_logits

N, D, K, SEEDS = 200, 8, 3, [0, 1]


def logits_after_training(optimizer: Optimizer, rank: int, alphas: tuple[float, float] = (0.5, 0.9)) -> torch.Tensor:
    """Train f+SVD and two WINs of one rank in float64; return the logits on all rows, [R, V, N, K]."""
    generator = torch.Generator().manual_seed(8)
    x = torch.randn(len(SEEDS), N, D, generator=generator, dtype=torch.float64)
    y, s = torch.randint(0, K, (N,), generator=generator), torch.randint(0, 2, (N,), generator=generator)
    weight = torch.randn(len(SEEDS), D, K, generator=generator, dtype=torch.float64)
    bias = torch.randn(len(SEEDS), K, generator=generator, dtype=torch.float64)
    importance = torch.rand(len(SEEDS), 2, D, generator=generator, dtype=torch.float64) * 5 + 0.05
    variants = [Variant("svd", rank), *(Variant("win", rank, alpha) for alpha in alphas)]
    bank = HeadBank(head_bank(variants, weight, bias, importance))
    examples = Examples(x, y, s)
    fit(
        bank,
        examples,
        torch.arange(N).repeat(len(SEEDS), 1),
        loss=cross_entropy,
        optimizer=optimizer,
        epochs=5,
        batch_size=20,
        generators=generators(SEEDS, "batches"),
    )
    return predict_logits(bank, examples, torch.arange(N).repeat(len(SEEDS), 1))


@pytest.mark.parametrize(
    "optimizer",
    [
        Optimizer("sgd", lr=0.05, momentum=0.0),
        Optimizer("sgd", lr=0.05, momentum=0.9),
        Optimizer("sgd", lr=0.05, momentum=0.9, weight_decay=0.05),
    ],
    ids=["plain", "momentum", "weight decay"],
)
def test_at_full_rank_sgd_gives_identical_trajectories(optimizer: Optimizer) -> None:
    svd, win, other_alpha = logits_after_training(optimizer, rank=K).unbind(1)
    torch.testing.assert_close(win, svd, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(other_alpha, svd, rtol=1e-9, atol=1e-9)


def test_adam_is_not_equivariant_so_importance_acts() -> None:
    svd, win, other_alpha = logits_after_training(Optimizer("adam", lr=0.01), rank=K).unbind(1)
    assert (win - svd).abs().max() > 1e-3
    assert (win - other_alpha).abs().max() > 1e-5


def test_below_full_rank_importance_acts_under_sgd_too() -> None:
    svd, win, _ = logits_after_training(Optimizer("sgd", lr=0.05), rank=K - 1).unbind(1)
    assert (win - svd).abs().max() > 1e-2
