"""Closed-form Fisher information against gradients of single samples."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from counterpoise.methods import group_fisher, importance

N, D, K = 40, 6, 4


@pytest.fixture
def head(generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {
        "features": torch.randn(N, D, generator=generator, dtype=torch.float64),
        "weight": torch.randn(D, K, generator=generator, dtype=torch.float64),
        "bias": torch.randn(K, generator=generator, dtype=torch.float64),
        "y": torch.randint(0, K, (N,), generator=generator),
        "s": torch.randint(0, 3, (N,), generator=generator),
    }


def test_agrees_with_gradients_of_single_samples(head: dict[str, torch.Tensor]) -> None:
    expected = torch.zeros(3, D, K, dtype=torch.float64)
    for group in range(3):
        members = (head["s"] == group).nonzero().flatten()
        for n in members:
            weight = head["weight"].clone().requires_grad_()
            logits = head["features"][n] @ weight + head["bias"]
            (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(logits, head["y"][n]), weight)
            expected[group] += gradient.square() / len(members)
    torch.testing.assert_close(group_fisher(**head, groups=3), expected)


def test_single_precision_is_close_to_double(head: dict[str, torch.Tensor]) -> None:
    single = {name: value.float() if value.is_floating_point() else value for name, value in head.items()}
    exact = group_fisher(**head, groups=3)
    error = (group_fisher(**single, groups=3) - exact).abs().max() / exact.max()
    assert error < 1e-6


def test_chunks_of_rows_do_not_matter(head: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = group_fisher(**head, groups=3)
    monkeypatch.setattr("counterpoise.methods.heads.fisher.ROWS_PER_CHUNK", 4)
    torch.testing.assert_close(group_fisher(**head, groups=3), whole)


def test_one_group_of_all_rows_is_the_plain_fisher(head: dict[str, torch.Tensor]) -> None:
    everyone = {**head, "s": torch.zeros(N, dtype=torch.int64)}
    parts = group_fisher(**head, groups=3)
    shares = torch.bincount(head["s"], minlength=3).double() / N
    torch.testing.assert_close(group_fisher(**everyone, groups=1)[0], torch.einsum("gdk,g->dk", parts, shares))


def test_importance_is_the_root_of_the_row_sums(head: dict[str, torch.Tensor]) -> None:
    fisher = group_fisher(**head, groups=3)
    residual = (head["features"] @ head["weight"] + head["bias"]).softmax(1)
    residual[torch.arange(N), head["y"]] -= 1
    for group in range(3):
        own = head["s"] == group
        squares = head["features"][own].square() * residual[own].square().sum(1, keepdim=True)
        torch.testing.assert_close(importance(fisher)[group], squares.mean(0).sqrt())


def test_features_count_by_their_size(head: dict[str, torch.Tensor]) -> None:
    """Scaling a feature by c and its weights by 1/c leaves the function and multiplies the importance by |c|."""
    scaled = {**head, "features": head["features"].clone(), "weight": head["weight"].clone()}
    scaled["features"][:, 2] *= -3
    scaled["weight"][2] /= -3
    ratio = importance(group_fisher(**scaled, groups=3)) / importance(group_fisher(**head, groups=3))
    expected = torch.ones(3, D, dtype=torch.float64)
    expected[:, 2] = 3
    torch.testing.assert_close(ratio, expected)


def test_an_absent_group_has_no_importance_rather_than_none(head: dict[str, torch.Tensor]) -> None:
    fisher = group_fisher(**head, groups=4)
    assert fisher[3].isnan().all()
    assert fisher[:3].isfinite().all()


def test_of_leaves_it_is_that_of_their_indicators(head: dict[str, torch.Tensor], generator: torch.Generator) -> None:
    leaf = (torch.randint(0, 3, (N, 2), generator=generator) + torch.tensor([0, 3])).int()
    indicators = torch.zeros(N, D, dtype=torch.float64).scatter_(1, leaf.long(), 1.0)
    sparse, dense = (group_fisher(**{**head, "features": x}, groups=4) for x in (leaf, indicators))
    torch.testing.assert_close(sparse, dense, equal_nan=True)
