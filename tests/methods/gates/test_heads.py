"""Bias heads learn what can be learnt, as torch's optimiser would teach them, and stop at a plateau."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from counterpoise.fairness import information
from counterpoise.methods.gates.biases import biases_of
from counterpoise.methods.gates.heads import BiasHeads, HeadSettings, held_out_information
from counterpoise.methods.problem import Problem

Coloured = Callable[..., Problem]
N, D, VALUES = 240, 6, 3
CPU = torch.device("cpu")


def told(heads: BiasHeads, z: Tensor, b: Tensor, which: int = 0) -> Tensor:
    return information(heads.logits(z)[which].softmax(dim=-1), b)


@pytest.fixture
def biases(generator: torch.Generator) -> Tensor:
    return torch.randint(0, VALUES, (1, 1, 2 * N), generator=generator)


def features(b: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Features of which the first three say the bias, as clearly as `strength` says."""
    z = torch.randn(*b.shape[1:], D, generator=generator)
    z[..., :VALUES] += strength * one_hot(b[0], VALUES)
    return z


def test_what_is_there_is_read_and_nothing_else(biases: Tensor, generator: torch.Generator) -> None:
    """On rows that the head has not seen."""
    found = {}
    for strength in (0.0, 1.5, 12.0):
        z = features(biases, strength, generator)
        heads = BiasHeads(1, D, (VALUES,), HeadSettings(), CPU)
        heads.fit(z[:, :N], biases[..., :N])
        found[strength] = told(heads, z[:, N:], biases[0, :, N:]).item()
        right = heads.logits(z[:, N:])[0].argmax(dim=-1) == biases[0, :, N:]
        assert strength < 12 or right.all()
    assert found[0.0] < 0.03
    assert 0.15 < found[1.5] < 0.6
    assert found[12.0] > 0.9


def test_each_bias_has_a_head_of_its_own(biases: Tensor, generator: torch.Generator) -> None:
    """With values of its own number; what the first one learns is what it would learn alone."""
    z = features(biases, 8.0, generator)
    further = torch.randint(0, 2, biases.shape, generator=generator)
    z[..., 3:5] += 8.0 * one_hot(further[0], 2)
    both = BiasHeads(1, D, (VALUES, 2), HeadSettings(patience=60, most=60), CPU)
    alone = BiasHeads(1, D, (VALUES,), HeadSettings(patience=60, most=60), CPU)
    both.fit(z, torch.cat([biases, further]))
    alone.fit(z, biases)
    assert [logits.shape[-1] for logits in both.logits(z)] == [VALUES, 2]
    assert torch.equal(both.weights[0], alone.weights[0])
    assert told(both, z, further[0], which=1).item() > 0.9


def test_steps_are_those_of_stochastic_gradient_descent(biases: Tensor, generator: torch.Generator) -> None:
    """With momentum and weight decay, from zero; written out, as torch's own takes seconds to import."""
    z, b = features(biases, 1.0, generator), biases
    heads = BiasHeads(1, D, (VALUES,), HeadSettings(lr=0.2, momentum=0.8, weight_decay=0.01), CPU)
    known = [torch.zeros(D, VALUES), torch.zeros(VALUES)]
    speed = [torch.zeros(D, VALUES), torch.zeros(VALUES)]
    for number in range(7):
        weight, bias = (tensor.requires_grad_() for tensor in known)
        loss = cross_entropy(z[0] @ weight + bias, b[0, 0])
        assert heads.step(z, b).item() == pytest.approx(loss.item(), abs=1e-5), number
        slopes = torch.autograd.grad(loss, [weight, bias])
        for place, slope in enumerate(slopes):
            speed[place] = 0.8 * speed[place] + slope + 0.01 * known[place].detach()
            known[place] = known[place].detach() - 0.2 * speed[place]
    torch.testing.assert_close(heads.weights[0][0].detach(), known[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(heads.biases[0][0].detach(), known[1], rtol=1e-4, atol=1e-6)
    assert known[0][:VALUES].diagonal().min() > 0


def test_steps_reach_the_heads_alone_and_logits_the_features_alone(biases: Tensor, generator: torch.Generator) -> None:
    z = features(biases, 1.0, generator).requires_grad_()
    heads = BiasHeads(1, D, (VALUES,), HeadSettings(), CPU)
    heads.step(z, biases)
    assert heads.weights[0].any()
    assert z.grad is None
    before = [torch.zeros(0) if tensor.grad is None else tensor.grad.clone() for tensor in heads.parameters()]
    (slope,) = torch.autograd.grad(heads.logits(z)[0].square().sum(), z)
    assert slope.any()
    assert not any(logits.requires_grad for logits in heads.logits(z.detach()))
    after = [torch.zeros(0) if tensor.grad is None else tensor.grad for tensor in heads.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_fit_ends_where_the_loss_no_longer_falls(biases: Tensor, generator: torch.Generator) -> None:
    nothing, some = torch.zeros(1, 2 * N, D), features(biases, 1.5, generator)

    def steps(z: Tensor, patience: int = 4, gain: float = 0.01, most: int = 300) -> int:
        settings = HeadSettings(patience=patience, gain=gain, most=most)
        return BiasHeads(1, D, (VALUES,), settings, CPU).fit(z, biases)

    assert 5 <= steps(nothing) <= 9
    assert steps(nothing) < steps(some) < 300
    assert steps(some, gain=0.2) < steps(some)
    assert steps(some, patience=30) > steps(some) + 20
    assert steps(some, most=7) == 7
    assert steps(some, gain=0.999) == 1 + 4, "only the first step gains so much"


def test_going_on_from_a_state_changes_no_bit(biases: Tensor, generator: torch.Generator) -> None:
    """Momentum belongs to the state."""
    z = features(biases, 1.0, generator)
    straight, first, second = (BiasHeads(1, D, (VALUES,), HeadSettings(), CPU) for _ in range(3))
    for _ in range(5):
        straight.step(z, biases)
    for _ in range(2):
        first.step(z, biases)
    state = first.state()
    first.step(z, biases)
    second.load(state)
    for _ in range(3):
        second.step(z, biases)
    assert torch.equal(second.weights[0], straight.weights[0])
    assert torch.equal(second.biases[0], straight.biases[0])


class TestHeldOutInformation:
    settings = HeadSettings(most=150)

    def test_is_much_of_features_that_say_it_and_next_to_nothing_of_others(
        self, coloured: Coloured, generator: torch.Generator
    ) -> None:
        problem = coloured()
        b = biases_of(problem, problem.fit)
        z = torch.randn(1, 240, 6, generator=generator)
        assert held_out_information(problem, z, problem.fit, self.settings).item() < 0.05
        z[..., :3] += 9 * one_hot(b[0], 3)
        assert held_out_information(problem, z, problem.fit, self.settings).item() > 0.8

    def test_is_read_on_rows_that_the_head_was_not_fitted_to(self, coloured: Coloured) -> None:
        """Features that know each row apart say all of the rows that they were fitted to, and nothing of others."""
        problem = coloured()
        assert held_out_information(problem, 20 * torch.eye(240).unsqueeze(0), problem.fit, self.settings).item() < 0.02

    def test_is_the_mean_over_the_biases(self, coloured: Coloured, generator: torch.Generator) -> None:
        problem = coloured(biases=2)
        z = torch.randn(1, 240, 6, generator=generator)
        z[..., :3] += 9 * one_hot(biases_of(problem, problem.fit)[1], 3)
        assert 0.4 < held_out_information(problem, z, problem.fit, self.settings).item() < 0.55
