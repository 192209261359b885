"""The bank of penalised heads against heads trained one by one, and what a penalty is for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from counterpoise.errors import InputError
from counterpoise.methods.heads.penalized_bank import GridPoint, TrainedBank, penalty_grid, train_bank
from counterpoise.methods.heads.penalties import penalty
from counterpoise.nn import Examples, Factors, Optimizer, generators

N, D, R = 240, 5, 2
TRAIN, TEST = torch.arange(180).expand(R, -1), torch.arange(180, N).expand(R, -1)
ADAM = Optimizer(lr=0.05, schedule="cosine")


@pytest.fixture
def data(generator: torch.Generator) -> Examples:
    """Rows whose class and group both show in the first feature, so that a plain classifier is unfair."""
    x = torch.randn(N, D, generator=generator)
    s = (x[:, 0] + 0.5 * torch.randn(N, generator=generator) > 0.2).long()
    y = (x[:, 0] + x[:, 1] + 0.5 * torch.randn(N, generator=generator) > 0.4).long()
    return Examples(x, y, s)


@pytest.fixture
def heads(generator: torch.Generator) -> dict[str, Factors]:
    def draw(*shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(*shape, generator=generator)

    return {
        "win_r1": Factors(draw(R, D, 1), draw(R, 2), draw(R, 1, 2)),
        "tl": Factors(draw(R, D, 2), draw(R, 2)),
        "svd_r2": Factors(draw(R, D, 2), draw(R, 2), draw(R, 2, 2)),
    }


def train(heads: dict[str, Factors], points: list[GridPoint], data: Examples, **options: Any) -> TrainedBank:
    settings: dict[str, Any] = {"groups": 2, "optimizer": ADAM, "epochs": 30, "temperature": 1.0} | options
    return train_bank(heads, points, data, TRAIN, {"train": TRAIN, "test": TEST}, **settings)


def gap(grid: TrainedBank, data: Examples, constraint: Any) -> torch.Tensor:
    """Return the soft gap [R, V] that the penalty sees, on the training rows."""
    margins = grid.scores["train"].logit()
    logits = torch.stack([torch.zeros_like(margins), margins], dim=-1)
    return penalty(logits, data.y[TRAIN], data.s[TRAIN], constraint=constraint, groups=2)


class TestGrid:
    def test_strength_zero_is_one_point_whatever_the_constraint(self) -> None:
        grid = penalty_grid(["tl", "win_r2_a0.5"], ["dp", "eo"], [0.0, 0.05, 2.0], [0.0, 0.01])
        assert [point.name for point in grid] == [
            *("tl", "tl_dp_0.05", "tl_dp_2", "tl_eo_0.05", "tl_eo_2"),
            *("tl_wd0.01", "tl_dp_0.05_wd0.01", "tl_dp_2_wd0.01", "tl_eo_0.05_wd0.01", "tl_eo_2_wd0.01"),
            *("win_r2_a0.5", "win_r2_a0.5_dp_0.05", "win_r2_a0.5_dp_2", "win_r2_a0.5_eo_0.05", "win_r2_a0.5_eo_2"),
            *(f"win_r2_a0.5{penalty}_wd0.01" for penalty in ("", "_dp_0.05", "_dp_2", "_eo_0.05", "_eo_2")),
        ]
        assert grid[8] == GridPoint("tl", "eo", 0.05, 0.01)

    def test_no_point_without_penalty_unless_asked_for(self) -> None:
        assert penalty_grid(["tl"], ["eo"], [0.1], [0.0]) == [GridPoint("tl", "eo", 0.1)]

    def test_strengths_of_one_name_are_refused(self) -> None:
        with pytest.raises(InputError, match=r"tl_eo_0\.3 2 times"):
            penalty_grid(["tl"], ["eo"], [0.3, 0.1 + 0.2], [0.0])


def test_axis_v_is_in_the_order_of_the_points(heads: dict[str, Factors], data: Examples) -> None:
    """Dense and low-rank heads mixed: the bank sorts them by rank, the result does not."""
    points = penalty_grid(list(heads), ["dp", "eo"], [0.0, 0.4], [0.0, 0.02])
    together = train(heads, points, data)
    backwards = train(heads, points[::-1], data)
    assert len(points) == together.weight.shape[1] == 18
    for v, point in enumerate(points):
        alone = train({point.head: heads[point.head]}, [point], data)
        for kind in ("weight", "bias"):
            assert torch.equal(getattr(alone, kind)[:, 0], getattr(together, kind)[:, v]), point.name
            assert torch.equal(getattr(backwards, kind)[:, -1 - v], getattr(together, kind)[:, v])
        assert torch.equal(alone.scores["test"][:, 0], together.scores["test"][:, v])
    assert torch.unique(together.scores["test"][0], dim=0).shape[0] == 18, "the test needs heads that differ"


def test_scores_are_those_of_the_dense_heads(heads: dict[str, Factors], data: Examples) -> None:
    grid = train(heads, penalty_grid(list(heads), ["eo"], [0.0, 0.4], [0.0]), data)
    for part, rows in (("train", TRAIN), ("test", TEST)):
        logits = torch.einsum("rnd,rvdk->rvnk", data.x[rows], grid.weight) + grid.bias.unsqueeze(2)
        torch.testing.assert_close(grid.scores[part], logits.softmax(dim=-1)[..., 1])


def alone_in_torch(head: Factors, r: int, data: Examples, loss: Any, weight_decay: float = 0.0) -> torch.Tensor:
    """Return the class-1 probabilities of the test rows after 30 full-batch steps of torch's own optimiser."""
    tensors = [head.first, head.bias] if head.second is None else [head.first, head.bias, head.second]
    parameters = [nn.Parameter(tensor[r].clone()) for tensor in tensors]
    step = torch.optim.Adam(parameters, lr=0.05, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(step, 30)

    def logits(rows: torch.Tensor) -> torch.Tensor:
        hidden = data.x[rows] @ parameters[0]
        return (hidden if head.second is None else hidden @ parameters[2]) + parameters[1]

    for _ in range(30):
        step.zero_grad()
        loss(logits(TRAIN[r])).backward()
        step.step()
        schedule.step()
    return logits(TEST[r]).detach().softmax(dim=-1)[:, 1]


@pytest.mark.parametrize("name", ["tl", "svd_r2", "win_r1"])
@pytest.mark.parametrize(("decay", "weights"), [(0.0, None), (0.03, None), (0.0, [0.4, 2.5])])
def test_strength_zero_is_plain_training(
    heads: dict[str, Factors], data: Examples, name: str, decay: float, weights: list[float] | None
) -> None:
    """Cross-entropy by torch; weight decay and class weights as there."""
    weight = None if weights is None else torch.tensor(weights)
    grid = train(heads, [GridPoint(name, None, 0.0, decay), GridPoint(name, "dp", 1.0)], data, class_weights=weight)
    for r in range(R):
        y = data.y[TRAIN[r]]
        expected = alone_in_torch(
            heads[name], r, data, lambda z, y=y: nn.functional.cross_entropy(z, y, weight), weight_decay=decay
        )
        torch.testing.assert_close(grid.scores["test"][r, 0], expected, rtol=1e-3, atol=1e-4)
        assert (grid.scores["test"][r, 1] - expected).abs().max() > 0.05, "the penalty must change something"


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_a_penalty_is_differentiated_as_autograd_does(
    heads: dict[str, Factors], data: Examples, constraint: str
) -> None:
    grid = train(heads, [GridPoint("svd_r2", constraint, 0.3)], data, temperature=2.0)  # type: ignore[arg-type]

    def loss(r: int, z: torch.Tensor) -> torch.Tensor:
        y, s, p = data.y[TRAIN[r]], data.s[TRAIN[r]], (2 * z).softmax(dim=-1)[:, 1]
        cells = [y >= 0] if constraint == "dp" else [y == 0, y == 1]
        gaps = [(p[cell & (s == 0)].mean() - p[cell & (s == 1)].mean()).abs() for cell in cells]
        return nn.functional.cross_entropy(z, y) + 0.3 * sum(gaps)

    for r in range(R):
        expected = alone_in_torch(heads["svd_r2"], r, data, lambda z, r=r: loss(r, z))
        torch.testing.assert_close(grid.scores["test"][r, 0], expected, rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_stronger_penalties_leave_smaller_gaps(heads: dict[str, Factors], data: Examples, constraint: str) -> None:
    strengths = [0.0, 0.1, 0.3, 1.0]
    for name in heads:
        points = penalty_grid([name], [constraint], strengths, [0.0])  # type: ignore[list-item]
        gaps = gap(train(heads, points, data, epochs=120), data, constraint)
        assert (gaps.diff(dim=1) < 0.01).all(), name
        assert (gaps[:, -1] < 0.5 * gaps[:, 0]).all(), name


def test_three_groups(heads: dict[str, Factors], data: Examples) -> None:
    three = replace(data, s=(data.x[:, 0] > -0.3).long() + (data.x[:, 0] > 0.6).long())
    points = penalty_grid(["tl", "win_r1"], ["dp", "eo"], [0.0, 1.0], [0.0])
    grid = train(heads, points, three, groups=3, epochs=120)
    assert not grid.diverged.any()
    for plain, penalised in ((0, 1), (3, 4)):
        rates = torch.stack(
            [
                torch.stack([grid.scores["train"][r, :, three.s[TRAIN[r]] == g].mean(dim=-1) for g in range(3)])
                for r in range(R)
            ]
        )
        spread = rates.amax(dim=1) - rates.amin(dim=1)
        assert (spread[:, penalised] < 0.7 * spread[:, plain]).all()


def test_class_weights_are_of_the_cross_entropy(heads: dict[str, Factors], data: Examples) -> None:
    points = [GridPoint("tl", None, 0.0)]
    rates = [
        train(heads, points, data, class_weights=torch.tensor([1.0, weight])).scores["test"].mean()
        for weight in (0.2, 1.0, 5.0)
    ]
    assert rates[0] < rates[1] < rates[2], "the heavier class 1, the more often it is predicted"


def test_mini_batches_are_drawn_by_the_replicates_generators(heads: dict[str, Factors], data: Examples) -> None:
    points = [GridPoint("tl", "dp", 0.3)]

    def scores(seeds: list[int]) -> torch.Tensor:
        return train(heads, points, data, batch_size=64, epochs=3, generators=generators(seeds, "batches")).scores[
            "test"
        ]

    first = scores([0, 1])
    assert torch.equal(first, scores([0, 1]))
    assert torch.equal(first[0], scores([0, 7])[0])
    assert not torch.equal(first[1], scores([0, 7])[1])


class TestDivergence:
    """A head whose factors overflow, and one under an infinite penalty."""

    def test_it_is_nan_and_flagged_and_disturbs_no_other(self, heads: dict[str, Factors], data: Examples) -> None:
        huge = replace(heads["win_r1"], first=1e25 * heads["win_r1"].first, second=1e25 * torch.ones(R, 1, 2))
        huge.first[1] = heads["win_r1"].first[1]
        assert huge.second is not None
        huge.second[1] = 1.0
        points = [
            GridPoint("tl", "eo", 0.2),
            GridPoint("huge", None, 0.0),
            GridPoint("svd_r2", "dp", math.inf),
            GridPoint("win_r1", "dp", 0.2),
        ]
        grid = train(heads | {"huge": huge}, points, data)
        assert grid.diverged.tolist() == [[False, True, True, False], [False, False, True, False]]
        for tensor in (grid.weight, grid.bias, *grid.scores.values()):
            assert torch.equal(tensor.isnan().flatten(2).all(dim=-1), grid.diverged)
            assert torch.equal(tensor.isnan().flatten(2).any(dim=-1), grid.diverged)
        quiet = train(heads, [points[0], points[3]], data)
        assert torch.equal(quiet.weight, grid.weight[:, [0, 3]])
        assert torch.equal(quiet.scores["test"], grid.scores["test"][:, [0, 3]])

    def test_a_last_step_that_overflows_is_noticed(self, heads: dict[str, Factors], data: Examples) -> None:
        """A loss is computed before each step; of the last one only the weights tell."""
        lost = train(heads, [GridPoint("tl", None, 0.0)], data, optimizer=Optimizer("sgd", lr=math.inf), epochs=1)
        assert lost.diverged.all()
        assert lost.scores["test"].isnan().all()
