"""Neutralizers: their definitions, their limits, their order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.methods import neutralize
from counterpoise.methods.heads.neutralize import Neutralizer


@pytest.fixture
def importances(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(3, 2, 5, generator=generator, dtype=torch.float64) + 0.1


def test_alpha_weighs_the_first_group(importances: torch.Tensor) -> None:
    first, second = importances[:, 0], importances[:, 1]
    assert torch.equal(neutralize(importances, alpha=1.0), first)
    assert torch.equal(neutralize(importances, alpha=0.0), second)
    torch.testing.assert_close(neutralize(importances, alpha=0.8), 0.8 * first + 0.2 * second)


@given(st.floats(0, 1))
def test_swapping_groups_is_swapping_alpha(alpha: float) -> None:
    groups = torch.tensor([[1.0, 2.0, 0.5], [3.0, 0.1, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(neutralize(groups, alpha=alpha), neutralize(groups.flip(0), alpha=1 - alpha))


def test_means_are_ordered(importances: torch.Tensor) -> None:
    """minimum ≤ harmonic ≤ arithmetic mean, all equal where the groups agree."""
    minimum, harmonic, mean = (neutralize(importances, neutralizer=name) for name in ("minimum", "harmonic", "mean"))  # type: ignore[arg-type]
    assert (minimum < harmonic).all()
    assert (harmonic < mean).all()
    agreed = importances[:, :1].expand(3, 2, 5)
    for name in ("minimum", "harmonic", "mean"):
        torch.testing.assert_close(neutralize(agreed, neutralizer=name), agreed[:, 0])  # type: ignore[arg-type]


def test_only_the_mean_lets_one_group_decide() -> None:
    """A feature that matters to one group only: the paper's text says it is ignored; its Eq. 2 keeps half of it."""
    groups = torch.tensor([[1.0, 4.0], [1.0, 0.0]], dtype=torch.float64)
    assert neutralize(groups)[1] == 2.0
    assert neutralize(groups, neutralizer="minimum")[1] == 1e-6
    assert neutralize(groups, neutralizer="harmonic")[1] == 1e-6


def test_more_than_two_groups_weigh_the_same(generator: torch.Generator) -> None:
    groups = torch.rand(4, 5, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(neutralize(groups, alpha=0.9), groups.mean(0))


def test_dead_units_are_raised_to_the_floor() -> None:
    groups = torch.tensor([[[2.0, 0.0], [4.0, 0.0]]], dtype=torch.float64)
    assert neutralize(groups, floor=1e-3).tolist() == [[3.0, 3e-3]]


@pytest.mark.parametrize("neutralizer", ["mean", "harmonic", "minimum"])
@pytest.mark.parametrize("groups", [2, 3, 27])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_a_group_without_rows_is_left_out(
    generator: torch.Generator, neutralizer: Neutralizer, groups: int, alpha: float
) -> None:
    importances = torch.rand(2, groups, 5, generator=generator, dtype=torch.float64) + 0.1
    importances[0, -1] = torch.nan
    found = neutralize(importances, alpha=alpha, neutralizer=neutralizer)
    others = neutralize(importances[0, :-1], neutralizer=neutralizer)
    torch.testing.assert_close(found[0], others)
    torch.testing.assert_close(found[1], neutralize(importances[1], alpha=alpha, neutralizer=neutralizer))
