"""What is provable about WIN's factorisation (docs/method.md), as properties."""

from __future__ import annotations

import pytest
import torch

from counterpoise.methods import weighted_svd

R, D, K = 2, 9, 5


@pytest.fixture
def weight(generator: torch.Generator) -> torch.Tensor:
    return torch.randn(R, D, K, generator=generator, dtype=torch.float64)


@pytest.fixture
def importance(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(R, D, generator=generator, dtype=torch.float64) * 3 + 0.05


def weighted_error(weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor, importance: torch.Tensor) -> torch.Tensor:
    return (importance.unsqueeze(-1) * (weight - a @ b)).square().sum((-2, -1))


def test_is_the_papers_formula(weight: torch.Tensor, importance: torch.Tensor) -> None:
    """A = diag(I)⁻¹ U_r S_r, B = V_rᵀ (Eq. 4), up to the signs of the singular vectors."""
    for rank in range(1, K + 1):
        a, b = weighted_svd(weight, importance, rank)
        u, s, vh = torch.linalg.svd(torch.diag_embed(importance) @ weight, full_matrices=False)
        inverse = torch.diag_embed(importance.reciprocal())
        expected_a = inverse @ u[..., :rank] @ torch.diag_embed(s[..., :rank])
        signs = (b * vh[..., :rank, :]).sum(-1).sign()
        torch.testing.assert_close(a, expected_a * signs.unsqueeze(-2))
        torch.testing.assert_close(b, vh[..., :rank, :] * signs.unsqueeze(-1))


def test_importance_only_chooses_directions(weight: torch.Tensor, importance: torch.Tensor) -> None:
    """A = W V_r whatever the weights are, and the rows of B are orthonormal."""
    for rank in range(1, K + 1):
        a, b = weighted_svd(weight, importance, rank)
        torch.testing.assert_close(a, weight @ b.mT)
        torch.testing.assert_close(b @ b.mT, torch.eye(rank, dtype=b.dtype).expand(R, rank, rank))


@pytest.mark.parametrize("rank", range(1, K + 1))
def test_is_optimal_in_the_weighted_norm(
    weight: torch.Tensor, importance: torch.Tensor, rank: int, generator: torch.Generator
) -> None:
    """Eckart and Young: the error is the tail of the singular values, and no other factors of that rank do better."""
    a, b = weighted_svd(weight, importance, rank)
    error = weighted_error(weight, a, b, importance)
    values = torch.linalg.svdvals(importance.unsqueeze(-1) * weight)
    torch.testing.assert_close(error, values[..., rank:].square().sum(-1))
    for size in (1e-3, 1e-1, 1.0):
        other_a = a + size * torch.randn(a.shape, generator=generator, dtype=a.dtype)
        other_b = b + size * torch.randn(b.shape, generator=generator, dtype=b.dtype)
        assert (weighted_error(weight, other_a, other_b, importance) >= error).all()
    plain_a, plain_b = weighted_svd(weight, None, rank)
    assert (weighted_error(weight, plain_a, plain_b, importance) >= error - 1e-12).all()


def test_importance_changes_truncated_factors(weight: torch.Tensor, importance: torch.Tensor) -> None:
    weighted, plain = weighted_svd(weight, importance, 2), weighted_svd(weight, None, 2)
    assert (weighted[0] @ weighted[1] - plain[0] @ plain[1]).abs().max() > 1e-2


def test_full_rank_reproduces_the_head(weight: torch.Tensor, importance: torch.Tensor) -> None:
    """At r ≥ rank(W), A B = W exactly: WIN, f+SVD and TL start as the same function."""
    for weights in (importance, None):
        a, b = weighted_svd(weight, weights, K)
        torch.testing.assert_close(a @ b, weight)
    thin = weight[..., :2] @ torch.ones(R, 2, K, dtype=weight.dtype).triu()
    a, b = weighted_svd(thin, importance, 2)
    torch.testing.assert_close(a @ b, thin)


def test_full_rank_factors_differ_by_a_rotation(weight: torch.Tensor, importance: torch.Tensor) -> None:
    (a, b), (plain_a, plain_b) = weighted_svd(weight, importance, K), weighted_svd(weight, None, K)
    rotation = b @ plain_b.mT
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(K, dtype=b.dtype).expand(R, K, K))
    torch.testing.assert_close(a @ rotation, plain_a)
    assert (rotation.abs() - torch.eye(K)).abs().max() > 1e-2, "the rotation must not be trivial"


def test_equal_importances_are_none(weight: torch.Tensor) -> None:
    for constant in (1.0, 7.0):
        weighted = weighted_svd(weight, torch.full((R, D), constant, dtype=weight.dtype), 2)
        for got, expected in zip(weighted, weighted_svd(weight, None, 2), strict=True):
            torch.testing.assert_close(got, expected)


def test_a_dead_unit_stays_finite(weight: torch.Tensor, importance: torch.Tensor) -> None:
    importance[:, 3] = 0.0
    weight[:, 4] = 0.0
    for factor in weighted_svd(weight, importance, 2):
        assert factor.isfinite().all()


def test_signs_are_fixed(weight: torch.Tensor, importance: torch.Tensor) -> None:
    _, b = weighted_svd(weight, importance, K)
    peak = b.gather(-1, b.abs().argmax(-1, keepdim=True))
    assert (peak > 0).all()


@pytest.mark.parametrize("rank", [0, -1, K + 1])
def test_ranks_that_no_head_has(weight: torch.Tensor, rank: int) -> None:
    with pytest.raises(ValueError, match=rf"rank {rank} is outside 1 … min\(d, k\) = {K}"):
        weighted_svd(weight, None, rank)
