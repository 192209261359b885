"""Losses against torch and against their definitions, row by row."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from counterpoise.methods import cross_entropy, penalized
from counterpoise.methods.heads.penalties import Constraint, penalty

R, V, B = 2, 3, 40


@pytest.fixture
def batch(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logits = torch.randn(R, V, B, 2, generator=generator, dtype=torch.float64)
    y, s = torch.randint(0, 2, (R, B), generator=generator), torch.randint(0, 2, (R, B), generator=generator)
    return logits, y, s


def test_cross_entropy_is_torchs(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    logits, y, s = batch
    value = cross_entropy(logits, y, s)
    for r in range(R):
        for v in range(V):
            torch.testing.assert_close(value[r, v], nn.functional.cross_entropy(logits[r, v], y[r]))


def test_penalties_are_gaps_of_mean_scores(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    logits, y, s = batch
    dp = penalty(logits, y, s, constraint="dp", groups=2)
    eo = penalty(logits, y, s, constraint="eo", groups=2)
    for r in range(R):
        for v in range(V):
            p = logits[r, v].softmax(-1)[:, 1]
            torch.testing.assert_close(dp[r, v], (p[s[r] == 0].mean() - p[s[r] == 1].mean()).abs())
            gaps = [(p[(s[r] == 0) & (y[r] == c)].mean() - p[(s[r] == 1) & (y[r] == c)].mean()).abs() for c in (0, 1)]
            torch.testing.assert_close(eo[r, v], gaps[0] + gaps[1])


def test_more_groups_are_judged_by_the_largest_gap(generator: torch.Generator) -> None:
    logits, s = torch.randn(1, 1, 60, 2, generator=generator), torch.arange(60).remainder(4).unsqueeze(0)
    y = torch.zeros(1, 60, dtype=torch.int64)
    rates = [logits[0, 0].softmax(-1)[s[0] == group, 1].mean() for group in range(4)]
    torch.testing.assert_close(penalty(logits, y, s, constraint="dp", groups=4)[0, 0], max(rates) - min(rates))


@pytest.mark.parametrize("constraint", ["dp", "eo"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_group_that_is_not_compared_is_not_penalised(
    generator: torch.Generator, constraint: Constraint, classes: int
) -> None:
    logits, s = torch.randn(1, 2, 90, classes, generator=generator), torch.arange(90).remainder(3).unsqueeze(0)
    y, there = torch.randint(classes, (1, 90), generator=generator), s[0] != 1
    gap = penalty(logits, y, s, constraint=constraint, groups=3, compared=(0, 2))
    others = penalty(logits[:, :, there], y[:, there], s[:, there].clamp(max=1), constraint=constraint, groups=2)
    torch.testing.assert_close(gap, others)
    value = penalized({constraint: 0.5}, groups=3, compared=(0, 2))(logits, y, s)
    torch.testing.assert_close(value, cross_entropy(logits, y) + 0.5 * gap)


def test_more_classes_are_judged_each_by_its_own_score(generator: torch.Generator) -> None:
    logits = torch.randn(1, 6, 90, 3, generator=generator, dtype=torch.float64)
    y, s = torch.randint(3, (1, 90), generator=generator), torch.randint(2, (1, 90), generator=generator)
    parity, odds = (penalty(logits, y, s, constraint=constraint, groups=2)[0] for constraint in ("dp", "eo"))
    for v in range(6):
        p = logits[0, v].softmax(-1)
        differences = torch.stack([p[s[0] == 0, c].mean() - p[s[0] == 1, c].mean() for c in range(3)])
        torch.testing.assert_close(parity[v], differences.abs().sum() / 2)
        cells = [[p[(y[0] == c) & (s[0] == group), c].mean() for group in (0, 1)] for c in range(3)]
        torch.testing.assert_close(odds[v], sum((a - b).abs() for a, b in cells))


@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_a_missing_group_or_cell_leaves_value_and_gradient_finite(constraint: str, generator: torch.Generator) -> None:
    logits = torch.randn(1, 1, 8, 2, generator=generator, requires_grad=True)
    y = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]])
    for s in (torch.zeros(1, 8, dtype=torch.int64), torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1]])):
        value = penalty(logits, y, s, constraint=constraint, groups=2)  # type: ignore[arg-type]
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        assert value.isfinite().all()
        assert gradient.isfinite().all()


def plain(logits: torch.Tensor, y: torch.Tensor, s: torch.Tensor, strengths: dict, temperature: float) -> torch.Tensor:
    """The penalised loss from its parts, for autograd to differentiate."""
    value = cross_entropy(logits, y)
    for name, strength in strengths.items():
        value = value + strength * penalty(logits, y, s, constraint=name, groups=2, temperature=temperature)
    return value


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("names", [("dp",), ("eo",), ("dp", "eo")])
def test_the_closed_gradient_is_autograds(
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], names: tuple[str, ...], temperature: float
) -> None:
    logits, y, s = batch
    logits.requires_grad_()
    strengths = {name: torch.tensor([0.0, 0.3, 2.0], dtype=torch.float64) for name in names}
    upstream = torch.arange(1.0, R * V + 1, dtype=torch.float64).view(R, V)
    value = penalized(strengths, groups=2, temperature=temperature)(logits, y, s)
    expected = plain(logits, y, s, strengths, temperature)
    torch.testing.assert_close(value, expected)
    (gradient,) = torch.autograd.grad((value * upstream).sum(), logits)
    (wanted,) = torch.autograd.grad((expected * upstream).sum(), logits)
    torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("missing", ["group", "cell", "all but one row of a cell"])
def test_the_closed_gradient_ignores_what_a_batch_lacks(
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], missing: str
) -> None:
    logits, y, s = batch
    s = torch.zeros_like(s) if missing == "group" else torch.where(y == 1, 0, s)
    if missing.startswith("all"):
        s = s.scatter(1, y.argmax(dim=1, keepdim=True), 1)
    logits.requires_grad_()
    strengths = {"dp": 0.7, "eo": 0.4}
    value, expected = penalized(strengths, groups=2)(logits, y, s), plain(logits, y, s, strengths, 1.0)
    torch.testing.assert_close(value, expected)
    for found, wanted in zip(
        torch.autograd.grad(value.sum(), logits), torch.autograd.grad(expected.sum(), logits), strict=True
    ):
        assert found.isfinite().all()
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("rows", [1, 3, 6, 39])
def test_any_number_of_rows_has_the_mean_loss(
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], rows: int
) -> None:
    logits, y, s = batch[0][:, :, :rows], batch[1][:, :rows], batch[2][:, :rows]
    torch.testing.assert_close(penalized({}, groups=2)(logits, y, s), cross_entropy(logits, y))


def test_rows_that_are_hopelessly_wrong_have_a_finite_loss_and_their_gradient() -> None:
    margins = torch.tensor([-300.0, -90.0, -1.0, 2.0, 250.0, -300.0, 0.0]).view(1, 1, -1, 1).requires_grad_()
    y = torch.ones(1, 7, dtype=torch.int64)
    value = penalized({}, groups=2)(margins, y, y)
    assert value.isfinite().all()
    (gradient,) = torch.autograd.grad(value.sum(), margins)
    torch.testing.assert_close(gradient, (margins.detach().sigmoid() - 1) / 7)


def test_more_groups_and_classes_take_the_general_way(generator: torch.Generator) -> None:
    logits = torch.randn(R, V, B, 3, generator=generator)
    y, s = torch.randint(0, 3, (R, B), generator=generator), torch.randint(0, 3, (R, B), generator=generator)
    value = penalized({"dp": 0.5}, groups=3)(logits, y, s)
    torch.testing.assert_close(value, cross_entropy(logits, y) + 0.5 * penalty(logits, y, s, constraint="dp", groups=3))


@pytest.mark.parametrize("groups", [2, 3])
def test_one_logit_is_the_difference_of_two(generator: torch.Generator, groups: int) -> None:
    margins = torch.randn(R, V, B, 1, generator=generator)
    y, s = torch.randint(2, (R, B), generator=generator), torch.randint(groups, (R, B), generator=generator)
    loss = penalized({"eo": 0.5}, groups=groups)
    shift = torch.randn(R, V, B, 1, generator=generator)
    torch.testing.assert_close(loss(margins, y, s), loss(torch.cat([shift, shift + margins], dim=-1), y, s))


def test_classes_weigh_as_in_torch(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    logits, y, s = batch
    weights = torch.tensor([0.3, 1.9], dtype=torch.float64)
    expected = torch.stack(
        [torch.stack([nn.functional.cross_entropy(own, y[r], weights) for own in logits[r]]) for r in range(R)]
    )
    torch.testing.assert_close(cross_entropy(logits, y, class_weights=weights), expected)
    torch.testing.assert_close(penalized({"dp": 0.0}, groups=2, class_weights=weights)(logits, y, s), expected)


def test_strength_may_differ_by_variant(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    logits, y, s = batch
    strengths = torch.tensor([0.0, 0.5, 3.0], dtype=torch.float64)
    value = penalized({"eo": strengths}, groups=2)(logits, y, s)
    torch.testing.assert_close(value[:, 0], cross_entropy(logits, y)[:, 0])
    for v, strength in enumerate(strengths.tolist()):
        torch.testing.assert_close(value[:, v], penalized({"eo": strength}, groups=2)(logits, y, s)[:, v])


@pytest.mark.parametrize("variants", [1, 3, 17])
def test_no_bit_depends_on_how_many_variants_there_are(generator: torch.Generator, variants: int) -> None:
    logits = torch.randn(1, 100, 999, 2, generator=generator)
    y, s = torch.randint(0, 2, (1, 999), generator=generator), torch.randint(0, 2, (1, 999), generator=generator)

    def value_and_gradient(some: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        some = some.clone().requires_grad_()
        value = penalized({"dp": 0.3, "eo": 0.7}, groups=2, temperature=2.0)(some, y, s)
        return value, torch.autograd.grad(value.sum(), some)[0]

    for found, everything in zip(value_and_gradient(logits[:, :variants]), value_and_gradient(logits), strict=True):
        assert torch.equal(found, everything[:, :variants])
