"""The second-order solver: its optima are those of scikit-learn and of autograd; heads do not notice each other."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import softplus

from counterpoise.methods.heads import newton
from counterpoise.methods.heads.newton import Goal, Newton, Rows, contrasts, plain, row_weights, solve
from counterpoise.methods.heads.penalties import penalty

SETTINGS = Newton(steps=40)


@pytest.fixture
def rows() -> Rows:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 5, generator=generator)
    s = (torch.rand(400, generator=generator) < 0.4).long()
    x[:, 0] += s
    y = ((x[:, 0] + 0.5 * x[:, 1] + torch.randn(400, generator=generator)) > 0.4).long()
    offset = 0.3 * torch.randn(400, generator=generator)
    return Rows(x, offset, y, s, row_weights(y))


def objective(head: torch.Tensor, rows: Rows, goal: Goal, settings: Newton = SETTINGS) -> torch.Tensor:
    """Independent of the solver: the loss as its docstring says it, in double precision, differentiable."""
    z = rows.offset.double() + rows.x.double() @ head[:-1] + head[-1]
    sign = (2 * rows.y - 1).double()
    value = (softplus(-z * sign) * rows.weights.double()).sum() + 0.5 * goal.pull * (head[:-1] ** 2).sum()
    if goal.constraint is None:
        return value
    soft = (z * settings.temperature).sigmoid()
    strata = [torch.ones_like(rows.y, dtype=torch.bool)] if goal.constraint == "dp" else [rows.y == 0, rows.y == 1]
    for stratum in strata:
        gap = soft[stratum & (rows.s == 0)].mean() - soft[stratum & (rows.s == 1)].mean()
        value = value + goal.strength * ((gap**2 + settings.smoothing**2).sqrt() - settings.smoothing)
    return value


@pytest.mark.parametrize("pull", [0.001, 0.1])
def test_plain_is_logistic_regression(rows: Rows, pull: float) -> None:
    head = plain(Rows(rows.x, torch.zeros(400), rows.y, rows.s, rows.weights), pull).head
    model = LogisticRegression(C=1 / (pull * 400), tol=1e-10, max_iter=10_000).fit(rows.x.numpy(), rows.y.numpy())
    np.testing.assert_allclose(head[:-1], model.coef_[0], atol=2e-4)
    assert float(head[-1]) == pytest.approx(float(model.intercept_[0]), abs=2e-4)


@pytest.mark.parametrize("constraint", ["dp", "eo"])
@pytest.mark.parametrize("strength", [0.05, 0.5])
def test_solutions_are_stationary(rows: Rows, constraint: newton.Constraint, strength: float) -> None:
    goal = Goal(constraint, strength, 0.01)
    solved = solve(rows, [goal], plain(rows, 0.01), groups=2, settings=SETTINGS)
    head = solved.heads[0].double().requires_grad_()
    value = objective(head, rows, goal)
    value.backward()
    assert head.grad is not None
    assert float(head.grad.norm()) < 2e-3 * (1 + strength)
    assert float(solved.objective[0, -1]) == pytest.approx(value.item(), abs=1e-5)


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_a_step_is_the_gradient_by_a_curvature_with_that_of_the_gaps(rows: Rows, constraint: newton.Constraint) -> None:
    """Dense, by autograd: of c = √(g² + δ²) − δ the curvature is c″ ∇g ∇gᵀ; what bends g itself is left out."""
    goal, base, settings = Goal(constraint, 0.3, 0.01), plain(rows, 0.01), Newton(steps=1, rounds=1, smoothing=0.05)
    start = base.head.double()

    def gaps(head: torch.Tensor) -> torch.Tensor:
        z = rows.offset.double() + rows.x.double() @ head[:-1] + head[-1]
        return contrasts(constraint, rows.y, rows.s, 2).double() @ (z * settings.temperature).sigmoid()

    slopes = torch.autograd.functional.jacobian(gaps, start)  # J, q + 1
    bent = goal.strength * 0.05**2 / (gaps(start).square() + 0.05**2) ** 1.5
    curvature = base.curvature + torch.diag(torch.tensor([goal.pull] * 5 + [0.0])) + slopes.T @ (bent[:, None] * slopes)
    gradient = torch.autograd.functional.jacobian(lambda head: objective(head, rows, goal, settings), start)
    solved = solve(rows, [goal], base, groups=2, settings=settings)
    assert solved.objective[0, 1] < solved.objective[0, 0], "the step is taken in full"
    step = torch.linalg.solve(curvature, gradient)
    assert step.norm() > 0.05
    torch.testing.assert_close(solved.heads[0], (start - step).float(), rtol=1e-3, atol=1e-4)


def test_objectives_never_rise_and_penalties_close_gaps(rows: Rows) -> None:
    goals = [Goal("eo", strength, 0.01) for strength in (0.0, 0.1, 1.0)]
    solved = solve(rows, goals, plain(rows, 0.01), groups=2, settings=SETTINGS)
    assert (solved.objective.diff(dim=1) <= 1e-6).all()
    margins = rows.offset + solved.heads[:, :-1] @ rows.x.T + solved.heads[:, -1:]
    logits = torch.stack([torch.zeros_like(margins), margins], dim=-1).unsqueeze(0)
    gaps = penalty(logits, rows.y[None], rows.s[None], constraint="eo", groups=2, temperature=2.0)[0]
    assert gaps[0] > gaps[1] > gaps[2]


def test_a_head_does_not_notice_the_others(rows: Rows) -> None:
    goals = [Goal(c, strength, pull) for c in ("dp", "eo") for strength in (0.1, 0.4) for pull in (0.01, 0.1)]
    base = plain(rows, 0.01)
    together = solve(rows, goals, base, groups=2, settings=Newton()).heads
    alone = torch.cat([solve(rows, [goal], base, groups=2, settings=Newton()).heads for goal in goals])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_zero_strength_is_the_unpenalised_head(rows: Rows) -> None:
    base = plain(rows, 0.01)
    solved = solve(rows, [Goal(None, 0.0, 0.01), Goal("dp", 0.0, 0.01)], base, groups=2, settings=Newton())
    torch.testing.assert_close(solved.heads, base.head.expand(2, -1), atol=1e-3, rtol=1e-3)
    assert solved.objective.shape == (2, 1 + Newton().steps), "what has arrived takes no second round"


def test_contrasts_are_gaps() -> None:
    generator = torch.Generator().manual_seed(1)
    y, s, p = torch.randint(2, (60,), generator=generator), torch.randint(3, (60,), generator=generator), torch.rand(60)
    two = s.clamp(max=1)
    difference = p[two == 0].mean() - p[two == 1].mean()
    torch.testing.assert_close(contrasts("dp", y, two, 2) @ p, difference.unsqueeze(0))
    rates = torch.stack([p[s == group].mean() for group in range(3)])
    torch.testing.assert_close(contrasts("dp", y, s, 3) @ p, rates - rates.mean())
    within = [p[(y == c) & (two == 0)].mean() - p[(y == c) & (two == 1)].mean() for c in (0, 1)]
    torch.testing.assert_close(contrasts("eo", y, two, 2) @ p, torch.stack(within))


def test_a_group_that_is_not_compared_has_no_gap() -> None:
    generator = torch.Generator().manual_seed(2)
    y, s, p = torch.randint(2, (60,), generator=generator), torch.randint(3, (60,), generator=generator), torch.rand(60)
    there = s != 1
    for constraint in ("dp", "eo"):
        weights = contrasts(constraint, y, s, 3, compared=(0, 2))  # type: ignore[arg-type]
        others = contrasts(constraint, y[there], s[there].clamp(max=1), 2)  # type: ignore[arg-type]
        torch.testing.assert_close(weights @ p, others @ p[there])
        assert not weights[:, ~there].any()


def test_an_absent_group_has_no_gap() -> None:
    assert contrasts("dp", torch.tensor([0, 1]), torch.tensor([0, 0]), 2).shape == (0, 2)


def test_balanced_weights_give_both_classes_half() -> None:
    y = torch.tensor([0, 0, 0, 1])
    weights = row_weights(y, balanced=True)
    assert float(weights[y == 0].sum()) == pytest.approx(0.5)
    assert float(weights[y == 1].sum()) == pytest.approx(0.5)


def test_numbers_that_overflow_are_no_heads(rows: Rows) -> None:
    broken = Rows(rows.x * torch.nan, rows.offset, rows.y, rows.s, rows.weights)
    solved = solve(broken, [Goal("dp", 0.1, 0.1)], plain(rows, 0.1), groups=2, settings=Newton(steps=2))
    assert solved.heads.shape == (1, 6)
    assert not bool((solved.objective[:, 1:] < solved.objective[:, :-1]).any())


@pytest.fixture
def wide() -> Rows:
    """More columns than a few steps can settle under a strong penalty; the class nearly tells the group."""
    generator = torch.Generator().manual_seed(3)
    s = (torch.rand(300, generator=generator) < 0.5).long()
    y = torch.where(torch.rand(300, generator=generator) < 0.85, s, 1 - s)
    x = torch.randn(300, 120, generator=generator)
    x[:, :10] += 0.8 * y.unsqueeze(1) + 0.5 * s.unsqueeze(1)
    return Rows(x, torch.zeros(300), y, s, row_weights(y))


def test_heads_whose_objective_still_falls_go_on_and_others_stay(wide: Rows) -> None:
    base = plain(wide, 0.01)
    goals = [Goal("eo", strength, 0.01) for strength in (0.02, 0.1, 1.0, 2.0)]
    once = solve(wide, goals, base, groups=2, settings=Newton(steps=5, rounds=1))
    full = solve(wide, goals, base, groups=2, settings=Newton(steps=5, rounds=12))
    fell = once.objective[:, -1 - newton.LAST] - once.objective[:, -1] > newton.FALLING
    assert fell.any()
    assert not fell.all()
    torch.testing.assert_close(full.heads[~fell], once.heads[~fell], rtol=0, atol=0)
    gain = (once.objective[:, -1] - full.objective[:, -1])[fell]
    assert (gain >= 0).all()
    assert gain.max() > 0.01
    assert (full.objective.diff(dim=1) <= 1e-6).all()
    assert full.objective.shape[1] % 5 == 1, "of each round its five steps, and once the start"
    assert full.objective.shape[1] > once.objective.shape[1]
    for head, goal, last in zip(full.heads, goals, full.objective[:, -1], strict=True):
        assert float(last) == pytest.approx(float(objective(head.double(), wide, goal, Newton())), abs=1e-5)


@pytest.mark.parametrize("pull", [1e-1, 1e-3, 1e-5, 1e-7])
def test_with_more_columns_than_rows_a_head_is_the_regression_and_no_noise(pull: float) -> None:
    """Features of few images, which tell the classes apart: what counts are rows that the head has not learnt from.

    Below the weakest pull that single precision resolves, the head is that of the weakest.
    """
    generator = torch.Generator().manual_seed(0)
    of_few = torch.randn(20, 500, generator=generator)
    x = torch.randn(400, 20, generator=generator) @ of_few + 0.3 * torch.randn(400, 500, generator=generator)
    y = ((x @ of_few[0]) / x.std() > 0).long()
    learnt = Rows(x[:200], torch.zeros(200), y[:200], y[:200], row_weights(y[:200]))
    head = newton.plain_head(learnt, pull)
    regression = LogisticRegression(C=1 / (max(pull, newton.WEAKEST) * 200), tol=1e-8, max_iter=10_000)
    regression.fit(learnt.x.double().numpy(), learnt.y.numpy())
    margins = (x[200:] @ head[:-1] + head[-1]).numpy()
    expected = regression.decision_function(x[200:].double().numpy())
    np.testing.assert_allclose(margins, expected, atol=0.05 * np.abs(expected).max())
