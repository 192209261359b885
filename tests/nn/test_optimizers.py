"""The optimisers' rules against torch's, their schedules, and going on from a state."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from counterpoise.nn import Optimizer

STEPS = 12
RULES = [Optimizer(lr=0.05, fused=True), Optimizer(lr=0.05), Optimizer("sgd", lr=0.05)]


def parameters() -> list[Tensor]:
    drawn = torch.Generator().manual_seed(4)
    return [torch.randn(shape, generator=drawn).requires_grad_() for shape in ((3, 5), (7,), (2, 33))]


def gradients(step: int) -> list[Tensor]:
    drawn = torch.Generator().manual_seed(100 + step)
    return [torch.randn(parameter.shape, generator=drawn) for parameter in parameters()]


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("rule", RULES, ids=["fused", "adam", "sgd"])
def test_steps_are_those_of_torch(rule: Optimizer, decay: float) -> None:
    own, theirs = parameters(), parameters()
    move = replace(rule, weight_decay=decay).build(own, STEPS)
    settings = {"lr": 0.05, "weight_decay": decay}
    reference = (
        torch.optim.SGD(theirs, momentum=0.9, **settings)
        if rule.name == "sgd"
        else torch.optim.Adam(theirs, **settings)
    )
    for step in range(STEPS):
        for one, other, gradient in zip(own, theirs, gradients(step), strict=True):
            assert one.grad is not None
            assert not one.grad.any(), "the step leaves no gradient behind"
            one.grad.copy_(gradient)
            other.grad = gradient
        move()
        reference.step()
    for one, other in zip(own, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_fused_step_has_the_same_bits_wherever_a_parameter_lies() -> None:
    whole, alone = parameters(), parameters()
    builds = [Optimizer(lr=0.05, fused=True).build(whole, STEPS)]
    builds += [Optimizer(lr=0.05, fused=True).build([parameter], STEPS) for parameter in alone]
    for step in range(STEPS):
        for one, other, gradient in zip(whole, alone, gradients(step), strict=True):
            for parameter in (one, other):
                assert parameter.grad is not None
                parameter.grad.copy_(gradient)
        for move in builds:
            move()
    assert all(torch.equal(one, other) for one, other in zip(whole, alone, strict=True))


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_rate_rises_linearly_to_its_schedule(schedule: str) -> None:
    plain = Optimizer(lr=0.4, schedule=schedule)  # type: ignore[arg-type]
    warmed = Optimizer(lr=0.4, schedule=schedule, warmup=0.3)  # type: ignore[arg-type]
    steps = 20
    for step in range(steps):
        expected = 0.4 if schedule == "constant" else 0.2 * (1 + math.cos(math.pi * step / steps))
        assert plain.rate(step, steps) == pytest.approx(expected)
        assert warmed.rate(step, steps) == pytest.approx(expected * min(1, (step + 1) / 6))


def test_the_warm_up_reaches_the_parameters() -> None:
    parameter = torch.zeros(3, requires_grad=True)
    move = Optimizer("sgd", lr=1.0, momentum=0.0, warmup=0.5).build([parameter], 8)
    places = []
    for _ in range(8):
        assert parameter.grad is not None
        parameter.grad.fill_(-1.0)
        move()
        places.append(parameter[0].item())
    torch.testing.assert_close(
        torch.tensor(places).diff(prepend=torch.zeros(1)), torch.tensor([0.25, 0.5, 0.75] + [1.0] * 5)
    )


@pytest.mark.parametrize("rule", RULES, ids=["fused", "adam", "sgd"])
def test_going_on_from_a_state_changes_no_bit(rule: Optimizer) -> None:
    settings = Optimizer(rule.name, lr=rule.lr, schedule="cosine", warmup=0.4, fused=rule.fused)

    def advance(own: list[Tensor], move: object, steps: range) -> None:
        for step in steps:
            for parameter, gradient in zip(own, gradients(step), strict=True):
                assert parameter.grad is not None
                parameter.grad.copy_(gradient)
            move()  # type: ignore[operator]

    straight = parameters()
    advance(straight, settings.build(straight, STEPS), range(STEPS))
    broken = parameters()
    first = settings.build(broken, STEPS)
    advance(broken, first, range(5))
    state, values = first.state(), [parameter.detach().clone() for parameter in broken]
    advance(broken, first, range(5, 7))  # what the state is a copy of moves on
    resumed = parameters()
    second = settings.build(resumed, STEPS)
    second.load(state)
    for parameter, value in zip(resumed, values, strict=True):
        parameter.data.copy_(value)
    advance(resumed, second, range(5, STEPS))
    assert all(torch.equal(one, other) for one, other in zip(straight, resumed, strict=True))
