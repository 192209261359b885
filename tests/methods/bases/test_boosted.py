"""Directions of leaf values: orthonormal, and as good as all leaf values at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from counterpoise.methods.bases import boosted
from counterpoise.methods.bases.boosted import Boosted, BoostedBase, directions, fit
from counterpoise.methods.bases.dense import rows_of
from counterpoise.methods.heads.newton import Goal, Newton, plain, solve
from counterpoise.nn.trees import Boosting

BOOSTING = Boosting(rounds=15, num_leaves=6, min_data_in_leaf=10)
Data = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def data() -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(800, 4, generator=generator)
    s = (torch.rand(800, generator=generator) < 0.4).long()
    x[:, 0] += 0.8 * s
    return x, (x[:, 0] * x[:, 1].abs() + 0.7 * torch.randn(800, generator=generator) > 0.2).long(), s


@pytest.fixture(scope="module")
def base(data: Data) -> Boosted:
    return fit(BoostedBase(), BOOSTING, *data, groups=2, seed=0)


def test_directions_are_orthonormal_in_the_leaf_masses(data: Data, base: Boosted) -> None:
    leaf = base.trees.leaf_of(data[0]).long()
    mass = torch.bincount(leaf.flatten(), minlength=base.trees.leaves).double() / len(leaf)
    product = base.directions.double().T @ (mass.unsqueeze(1) * base.directions.double())
    torch.testing.assert_close(product, torch.eye(len(product), dtype=torch.float64), atol=1e-4, rtol=0)


def test_a_head_is_new_leaf_values(data: Data, base: Boosted) -> None:
    x = data[0]
    head = 0.3 * torch.randn(base.directions.shape[1] + 1, generator=torch.Generator().manual_seed(1))
    features, offset = base.view(x)
    expected = offset + features @ head[:-1] + head[-1]
    torch.testing.assert_close(base.with_head(head).margins(x).float(), expected, atol=1e-4, rtol=1e-4)
    shifted = base.with_head(head, threshold=0.4).margins(x) > 0
    clear = (expected - 0.4).abs() > 1e-4
    assert shifted[clear].equal((expected > 0.4)[clear])


def test_no_head_is_the_trees_as_they_are(data: Data, base: Boosted) -> None:
    _, offset = base.view(data[0])
    torch.testing.assert_close(offset.double(), base.trees.margins(data[0]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_directions_reach_what_all_leaf_values_reach(data: Data, base: Boosted, constraint: str) -> None:
    """L-BFGS on every leaf's value, from the trees' own: another formulation of the same problem."""
    x, y, s = data
    goal = Goal(constraint, 0.3, 5.0)  # type: ignore[arg-type]
    rows = rows_of(base.view(x), y, s)
    settings = Newton(steps=40)
    solved = solve(rows, [goal], plain(rows, 1.0, steps=0), groups=2, settings=settings)
    leaf = base.trees.leaf_of(x).long()
    mass = torch.bincount(leaf.flatten(), minlength=base.trees.leaves).float() / len(x)
    start = base.values.float()
    values, shift = start.clone().requires_grad_(), torch.zeros(1, requires_grad=True)

    def objective() -> Tensor:
        z = values[leaf].sum(dim=1) + shift
        value = softplus(-z * (2 * y - 1)).mean() + 0.5 * goal.pull * (mass * (values - start) ** 2).sum()
        for stratum in [torch.ones_like(y, dtype=torch.bool)] if constraint == "dp" else [y == 0, y == 1]:
            soft = (2 * z).sigmoid()
            gap = soft[stratum & (s == 0)].mean() - soft[stratum & (s == 1)].mean()
            value = value + goal.strength * ((gap**2 + settings.smoothing**2).sqrt() - settings.smoothing)
        return value

    before = float(objective().detach())
    for _ in range(400):
        value = objective()
        gradient = torch.autograd.grad(value, [values, shift])
        with torch.no_grad():
            values -= 2.0 * gradient[0] / (mass * goal.pull + 0.25 * mass + 1e-6) * 0.1
            shift -= 0.5 * gradient[1]
    free, ours = float(objective().detach()), float(solved.objective[0, -1])
    assert free < before
    assert ours - free < 0.1 * (before - free) + 1e-4


def test_a_base_survives_its_tensors(data: Data, base: Boosted) -> None:
    again = Boosted.from_tensors(base.tensors())
    for mine, other in zip(base.view(data[0]), again.view(data[0]), strict=True):
        assert mine.equal(other)


def test_validation_chooses_settings_and_rounds(data: Data) -> None:
    x, y, _ = data
    settings = BoostedBase(grid=(Boosting(rounds=1, num_leaves=2), Boosting(rounds=60, num_leaves=6)), patience=5)
    chosen = boosted.choose(settings, x[:600], y[:600], (x[600:], y[600:]), seed=0)
    assert chosen.num_leaves == 6
    assert 1 < chosen.rounds <= 60


def test_a_cell_without_rows_gives_no_direction() -> None:
    leaf = torch.tensor([[0, 2], [1, 2], [0, 3]], dtype=torch.int32)
    assert directions(leaf, torch.tensor([0, 0, 5]), 4).shape[1] <= 2


def test_directions_span_the_leaf_means_of_the_cells(generator: torch.Generator) -> None:
    """Counted leaf by leaf, one with a single row and one with none; projected in the leaf masses nothing is left."""
    leaf = torch.stack(
        [torch.randint(0, 4, (90,), generator=generator), torch.randint(6, 9, (90,), generator=generator)], 1
    )
    leaf[0, 0] = 4
    cells = torch.randint(0, 3, (90,), generator=generator)
    found = directions(leaf.int(), cells, 9).double()
    members = [(leaf == one).any(dim=1) for one in range(9)]
    mass = torch.stack([rows.double().mean() for rows in members]).unsqueeze(1)
    for cell in range(3):
        means = torch.stack([(cells[rows] == cell).double().sum() / max(1, int(rows.sum())) for rows in members])
        coefficients = found.T @ (mass.squeeze(1) * means)
        torch.testing.assert_close(found @ coefficients, means, atol=1e-5, rtol=0)
