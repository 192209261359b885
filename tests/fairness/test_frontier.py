"""The frontier against its definition, the area against counting cells of a grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterpoise.errors import InputError
from counterpoise.fairness import hypervolume, non_dominated

GRID = 6
few = settings(deadline=None, max_examples=60, derandomize=True)
on_grid = st.integers(1, 12).flatmap(lambda m: arrays(np.int64, (m, 2), elements=st.integers(0, GRID + 1)))


def dominates(a, b):
    return (a <= b).all() and (a < b).any()


@few
@given(on_grid)
def test_a_point_is_on_the_frontier_unless_another_dominates_it(points):
    expected = [not any(dominates(other, point) for other in points) for point in points]
    assert non_dominated(torch.from_numpy(points).double()).tolist() == expected


@few
@given(on_grid)
def test_the_area_is_the_dominated_cells_of_a_grid(points):
    """With whole-numbered points, a unit cell lies in the dominated area just if its lower left corner is dominated."""
    cells = [(x, y) for x in range(GRID) for y in range(GRID) if any(px <= x and py <= y for px, py in points)]
    area = hypervolume(torch.from_numpy(points).double(), torch.tensor([float(GRID), float(GRID)]))
    assert area.item() == len(cells)


@few
@given(on_grid)
def test_only_the_frontier_makes_the_area(points):
    points = torch.from_numpy(points).double()
    corner = torch.tensor([7.0, 6.5])
    assert hypervolume(points[non_dominated(points)], corner) == hypervolume(points, corner)


def test_area_by_monte_carlo(generator):
    points = torch.rand(15, 2, generator=generator, dtype=torch.float64)
    corner = torch.tensor([0.9, 0.8], dtype=torch.float64)
    shots = torch.rand(40_000, 1, 2, generator=generator, dtype=torch.float64) * corner
    share = (points <= shots).all(-1).any(-1).double().mean() * corner.prod()
    assert hypervolume(points, corner).item() == pytest.approx(share.item(), abs=0.01)


def test_lower_is_better_in_both_coordinates():
    points = torch.tensor([[1.0, 3.0], [2.0, 2.0], [3.0, 3.0], [3.0, 1.0]])
    assert non_dominated(points).tolist() == [True, True, False, True]
    assert hypervolume(points, torch.tensor([4.0, 4.0])).item() == 6


def test_duplicates_share_their_fate():
    points = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 2.0], [1.0, 2.0]])
    assert non_dominated(points).tolist() == [True, True, False, False]


def test_batch_axes_equal_a_loop(generator):
    points = torch.randint(8, (3, 2, 9, 2), generator=generator).double()
    corner = torch.tensor([7.0, 8.0])
    on_frontier, areas = non_dominated(points), hypervolume(points, corner)
    for index in np.ndindex(3, 2):
        assert torch.equal(on_frontier[index], non_dominated(points[index]))
        assert areas[index] == hypervolume(points[index], corner)
    corners = torch.tensor([[[7.0, 8.0]], [[5.0, 5.0]], [[1.0, 9.0]]])  # one for each entry of the first axis
    assert hypervolume(points, corners)[1, 1] == hypervolume(points[1, 1], corners[1, 0])


def test_missing_and_infinite_points():
    nan, inf = torch.nan, torch.inf
    points = torch.tensor([[nan, 0.0], [2.0, 2.0], [0.0, nan], [inf, 1.0], [3.0, inf]])
    assert non_dominated(points).tolist() == [False, True, False, True, False]
    assert hypervolume(points, torch.tensor([4.0, 4.0])).item() == 4
    assert non_dominated(points[[0, 2]]).tolist() == [False, False]
    assert non_dominated(torch.tensor([[1.0, inf], [2.0, 2.0]])).tolist() == [True, True]
    assert hypervolume(points[[0, 2]], torch.tensor([4.0, 4.0])).item() == 0


def test_no_points():
    nothing = torch.empty(2, 0, 2)
    assert non_dominated(nothing).shape == (2, 0)
    assert hypervolume(nothing, torch.tensor([1.0, 1.0])).tolist() == [0, 0]


def test_a_reference_that_is_no_point_is_refused():
    with pytest.raises(InputError, match="reference point"):
        hypervolume(torch.zeros(1, 2), torch.tensor([1.0, torch.nan]))
