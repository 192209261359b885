"""A small problem of heads, whose class shows in the first feature and whose group in the second."""

from __future__ import annotations

import pytest
import torch

from counterpoise.methods.heads.problem import HeadProblem
from counterpoise.nn import Examples, Factors

N, D, R = 240, 4, 2


@pytest.fixture
def problem(generator: torch.Generator) -> HeadProblem:
    """Two replicates with rows of their own, and three initial heads, low-rank and dense."""
    x = torch.randn(N, D, generator=generator)
    noise = 0.5 * torch.randn(2, N, generator=generator)
    rows = torch.stack([torch.randperm(N, generator=generator) for _ in range(R)])
    train, validation, test = rows.split([120, 60, 60], dim=1)

    def draw(*shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(*shape, generator=generator)

    return HeadProblem(
        title="invented",
        examples=Examples(x, (x[:, 0] + x[:, 1] + noise[0] > 0).long(), (x[:, 1] + noise[1] > 0).long()),
        train=train,
        validation=validation,
        test=test,
        seeds=(3, 8),
        groups=("a", "b"),
        classes=("no", "yes"),
        head=Factors(draw(R, D, 2), draw(R, 2)),
        initial={
            "win_r1": Factors(draw(R, D, 1), draw(R, 2), draw(R, 1, 2)),
            "tl": Factors(draw(R, D, 2), draw(R, 2)),
            "svd_r2": Factors(draw(R, D, 2), draw(R, 2), draw(R, 2, 2)),
        },
        variants={"win_r1": {"method": "win", "rank": 1}, "tl": {"method": "tl"}, "svd_r2": {"method": "svd"}},
    )
