"""How gates are learnt: the gradient, what stays frozen, what the information term does, and what is evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from counterpoise.errors import InputError
from counterpoise.methods.gates.biases import biases_of
from counterpoise.methods.gates.gating import (
    GateSettings,
    GateTraining,
    closed_share,
    evaluate_gated,
    gate_shapes,
)
from counterpoise.methods.gates.heads import HeadSettings, held_out_information
from counterpoise.methods.gates.information import readable_share
from counterpoise.methods.gates.schedules import Geometric, Stalling, StraightThrough
from counterpoise.methods.problem import Problem
from counterpoise.nn import generators
from counterpoise.nn.networks import evaluate

Coloured = Callable[..., Problem]
STEPS = 12
FEW = GateSettings(head=HeadSettings(most=15))
"""Defaults, but for a head that is fitted in few steps, each of which costs as much as a batch."""


def batch(problem: Problem, size: int = 40, start: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = problem.fit[:, start : start + size]
    return *problem.examples.take(rows), rows


def training(problem: Problem, settings: GateSettings) -> tuple[GateTraining, Callable[[], list[Tensor]]]:
    """A training with gates on both sides and a head that knows something, whose step moves nothing; its gradient."""
    trainee = GateTraining(problem, settings, steps=1)
    drawn = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for m in trainee.m.values():
            m.copy_(torch.rand(m.shape, generator=drawn) * 2 - 0.8)
        for tensor in trainee.heads.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=drawn))
    seen: list[list[Tensor]] = []

    def still() -> None:
        seen.append([m.grad.clone() for m in trainee.m.values() if m.grad is not None])

    trainee.move = still  # type: ignore[assignment]
    return trainee, lambda: seen[-1]


def told_by_hand(trainee: GateTraining, z: Tensor, biases: Tensor) -> Tensor:
    """I of METHODS.md part 3, 4, of the heads as they are; the mean over the biases."""
    found = []
    for weight, bias, b, values in zip(
        trainee.heads.weights, trainee.heads.biases, biases, trainee.problem.values, strict=True
    ):
        guess = (z[0] @ weight[0].detach() + bias[0].detach()).softmax(dim=-1)
        p = torch.einsum("nb,nc->bc", one_hot(b[0], values).float(), guess) / len(guess)
        apart = torch.outer(p.sum(dim=1), p.sum(dim=0))
        found.append((p * (p / apart).log()).sum() / math.log(values))
    return torch.stack(found).mean()


class TestTheGradient:
    @pytest.mark.parametrize("biases", [1, 2])
    @pytest.mark.parametrize(("alpha", "gamma"), [(1.0, 3.0), (0.5, 1.0), (0.0, 1.0), (1.0, 0.0)])
    def test_is_that_of_the_weighted_sum(self, alpha: float, gamma: float, biases: int, coloured: Coloured) -> None:
        """α CE + γ I, with respect to m alone and as if gates did not saturate; written without the trainee's code."""
        problem, temperature = coloured("plain", biases), 0.5
        settings = replace(FEW, task_weight=alpha, gamma=gamma, temperature=Geometric(first=temperature))
        trainee, gradient = training(problem, settings)
        m = [own.detach().clone().requires_grad_() for own in trainee.m.values()]
        soft = [2 * (own / temperature).sigmoid() for own in m]
        gates = [own + (own.clamp(max=1) - own).detach() for own in soft]
        network = problem.network().eval()
        x, y, s, rows = batch(problem)
        given = {name: network.weights()[name] * own for name, own in zip(trainee.m, gates, strict=True)}
        logits, z = network(x, given)
        told = told_by_hand(trainee, z, biases_of(problem, rows))
        loss = alpha * cross_entropy(logits[0], y[0]) + gamma * told
        expected = torch.autograd.grad(loss, m)
        figures = trainee.step(x, y, s, rows)
        for one, other in zip(gradient(), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
        assert figures["loss"].item() == pytest.approx(loss.item(), rel=1e-4)
        assert figures["information_in_training"].item() == pytest.approx(told.item() if gamma else 0.0, rel=1e-4)
        assert told.item() > 0.02
        assert all(one.any() for one in expected[: -1 if not alpha else None])  # I does not see the last layer

    @pytest.mark.parametrize("biases", [1, 2])
    def test_of_the_best_reader_too(self, biases: int, coloured: Coloured) -> None:
        problem = coloured(biases=biases)
        trainee, gradient = training(problem, replace(FEW, task_weight=0.0, gamma=2.0, reader="best"))
        m = [own.detach().clone().requires_grad_() for own in trainee.m.values()]
        soft = [2 * own.sigmoid() for own in m]
        network = problem.network().eval()
        x, y, s, rows = batch(problem)
        gates = [own + (own.clamp(max=1) - own).detach() for own in soft]
        given = {name: network.weights()[name] * own for name, own in zip(trainee.m, gates, strict=True)}
        z = network(x, given).features
        told = torch.stack([readable_share(z, own, 3) for own in biases_of(problem, rows)]).sum() / biases
        expected = torch.autograd.grad(2 * told, m[:-1])
        assert trainee.step(x, y, s, rows)["information_in_training"].item() == pytest.approx(told.item(), rel=1e-4)
        for one, other in zip(gradient(), expected, strict=False):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)

    @pytest.mark.parametrize("gamma", [0.0, 1.0])
    def test_of_channels_is_straight_through(self, gamma: float, coloured: Coloured) -> None:
        """The slope of the loss in a factor that may be anything, times 2σ′, while the forward pass is the step."""
        problem = coloured()
        settings = replace(FEW, granularity="channels", gamma=gamma, temperature=StraightThrough())
        trainee, gradient = training(problem, settings)
        m = list(trainee.m.values())
        factors = [(own.detach() >= 0).float().requires_grad_() for own in m]
        x, y, s, rows = batch(problem)
        logits, z = trainee.forward(x, dict(zip(trainee.m, factors, strict=True)))
        loss = cross_entropy(logits[0], y[0]) + gamma * told_by_hand(trainee, z, biases_of(problem, rows))
        slopes = torch.autograd.grad(loss, factors)
        trainee.step(x, y, s, rows)
        for one, slope, own in zip(gradient(), slopes, m, strict=True):
            known = own.detach().sigmoid()
            torch.testing.assert_close(one, slope * 2 * known * (1 - known), rtol=1e-3, atol=1e-6)


class TestWhatIsFrozen:
    @pytest.mark.parametrize("granularity", ["weights", "channels", "kernels"])
    def test_nothing_but_gates_and_heads_moves(self, granularity: Any, coloured: Coloured) -> None:
        """Weights, biases and the statistics of batch norm, to the bit; gradients reach none of them."""
        problem = coloured("plain")
        kept = {name: tensor.clone() for name, tensor in problem.base.items()}
        trainee = GateTraining(problem, replace(FEW, granularity=granularity, lr=0.2), steps=STEPS)
        trainee.begin_epoch(1)
        for step in range(STEPS):
            trainee.step(*batch(problem, start=20 * step % 200))
        trainee.judge()
        for name, tensor in trainee.network.state().items():
            assert torch.equal(tensor, kept[name]), name
            assert torch.equal(problem.base[name], kept[name]), name
        assert any(name.endswith("running_var") for name in kept)
        assert not trainee.network.training
        assert all(parameter.grad is None for parameter in trainee.network.parameters())
        assert all((m != 0).any() for m in trainee.m.values())
        assert all(tensor.any() for tensor in trainee.heads.parameters())

    def test_before_the_first_step_it_is_the_vanilla_network(self, coloured: Coloured) -> None:
        problem = coloured("plain")
        plain = evaluate(problem.network(), problem.examples, problem.test)
        straight = replace(FEW, granularity="channels", temperature=StraightThrough())
        for settings in (FEW, straight, replace(FEW, granularity="kernels")):
            trainee = GateTraining(problem, settings, steps=1)
            for hard in (False, True):
                found = trainee.evaluate(problem.test, hard=hard)
                assert torch.equal(found.logits, plain.logits)
                assert torch.equal(found.features, plain.features)
            assert all(mask.all() for mask in trainee.outcome().values())


class TestGates:
    def test_there_is_one_per_weight_or_one_per_channel_and_weight_of_the_last_layer(self, coloured: Coloured) -> None:
        problem = coloured("plain")
        network = problem.network()
        own = gate_shapes(problem, network, "weights")
        assert own == {name: tuple(weight.shape) for name, weight in network.weights().items()}
        assert not any("bias" in name or "bn" in name for name in own)
        assert gate_shapes(problem, network, "channels") == {
            "channels0": (1, 8),
            "channels1": (1, 16),
            "fc.weight": (1, 3, 16),
        }
        kernels = gate_shapes(problem, network, "kernels")
        assert kernels["conv1.weight"] == tuple(network.weights()["conv1.weight"].shape)
        assert kernels["conv2.weight"] == (1, 16, 8, 1, 1)
        assert {name: kernels[name] for name in ("channels1", "fc.weight")} == {
            "channels1": (1, 16),
            "fc.weight": (1, 3, 16),
        }

    def test_hard_ones_are_as_if_the_weights_were_zero(self, coloured: Coloured) -> None:
        problem = coloured("plain")
        opened = {
            name: torch.rand(weight.shape, generator=torch.Generator().manual_seed(5)) > 0.4
            for name, weight in problem.network().weights().items()
        }
        found = evaluate_gated(problem, problem.network().train(), problem.test, opened)
        pruned = problem.base | {name: problem.base[name] * mask for name, mask in opened.items()}
        known = evaluate(problem.network(pruned), problem.examples, problem.test)
        assert torch.equal(found.logits, known.logits)
        assert torch.equal(found.features, known.features)

    def test_closed_channels_reach_no_reader(self, coloured: Coloured) -> None:
        problem = coloured()
        channels = torch.arange(16).unsqueeze(0) % 3 > 0
        opened = {"channels0": torch.ones(1, 24, dtype=torch.bool), "channels1": channels}
        opened["fc.weight"] = torch.ones(1, 3, 16, dtype=torch.bool)
        found = evaluate_gated(problem, problem.network(), problem.test, opened)
        known = evaluate(problem.network(), problem.examples, problem.test)
        assert (found.features[..., ~channels[0]] == 0).all()
        assert torch.equal(found.features[..., channels[0]], known.features[..., channels[0]])
        assert not torch.equal(found.logits, known.logits)

    def test_the_closed_share_counts_gates_and_not_layers(self) -> None:
        opened = {
            "first": torch.tensor([[[1, 0], [0, 1]], [[1, 1], [1, 1]]]).bool(),
            "second": torch.tensor([[1], [0]]).bool(),
        }
        assert closed_share(opened).tolist() == pytest.approx([2 / 5, 1 / 5])

    def test_sparsity_and_outcome_are_those_of_the_step_at_zero(self, coloured: Coloured) -> None:
        trainee, _ = training(coloured(), FEW)
        flat = torch.cat([m.detach().flatten() for m in trainee.m.values()])
        assert 0.3 < (flat < 0).double().mean() < 0.5
        assert trainee.judge()["sparsity"].item() == pytest.approx((flat < 0).double().mean().item())
        assert all(torch.equal(mask, trainee.m[name] >= 0) for name, mask in trainee.outcome().items())


class TestTheInformationTerm:
    @pytest.mark.parametrize("reader", ["head", "best"])
    def test_takes_out_what_is_said_of_the_bias(
        self, reader: Any, coloured: Coloured, settings: dict[str, GateSettings]
    ) -> None:
        """Of the hard gates, to readers that are fitted afterwards; the task is kept."""
        problem, found = coloured("plain"), {}
        for gamma in (0.0, 5.0):
            own = replace(settings["ffw"], gamma=gamma, reader=reader, lr=0.05)
            trainee = GateTraining(problem, own, steps=60)
            for epoch in range(1, 11):
                trainee.begin_epoch(epoch)
                for start in range(0, 240, 40):
                    trainee.step(*batch(problem, start=start))
                trainee.temperature *= 0.7
            found[gamma] = trainee.judge()
        before = GateTraining(problem, settings["ffw"], steps=1).judge()
        assert before["information"].item() > 0.4
        assert found[5.0]["information"].item() < 0.5 * found[0.0]["information"].item()
        assert found[5.0]["accuracy"].item() > before["accuracy"].item()
        assert found[0.0]["accuracy"].item() > 0.9


class TestTheJudge:
    def test_judges_hard_gates_on_rows_to_choose_on(self, coloured: Coloured) -> None:
        problem = coloured("plain")
        trainee, _ = training(problem, replace(FEW, task_weight=0.5, gamma=2.0))
        output = evaluate_gated(problem, problem.network(), problem.select, trainee.outcome())
        y, _ = problem.labels(problem.select)
        known = trainee.judge()
        assert known["validation_loss"].item() == pytest.approx(cross_entropy(output.logits[0], y[0]).item(), rel=1e-5)
        assert known["accuracy"].item() == (output.logits.argmax(dim=-1) == y).double().mean().item()
        told = held_out_information(problem, output.features, problem.select, trainee.settings.head).item()
        assert known["information"].item() == pytest.approx(told)
        expected = -(0.5 * known["validation_loss"].item() + 2.0 * told)
        assert known["judgement"].item() == pytest.approx(expected, rel=1e-5)
        assert known["soft_accuracy"].item() != known["accuracy"].item()
        hard = GateTraining(problem, replace(FEW, temperature=StraightThrough()), steps=1)
        assert "soft_accuracy" not in hard.judge()

    def test_the_temperature_falls_when_the_information_stalls(self, coloured: Coloured) -> None:
        """More than two epochs without 5% less, counted anew after each fall."""
        schedule = Stalling(factor=0.5, patience=2)
        trainee = GateTraining(coloured(), replace(FEW, temperature=schedule), steps=1)
        seen = []
        for told in (0.8, 0.7, 0.69, 0.68, 0.67, 0.9, 0.85, 0.85, 0.85, 0.85):
            trainee._follow(told)
            seen.append(trainee.temperature)
        assert seen == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25]
        assert not trainee.ended()
        trainee.temperature = 0.9e-8
        assert trainee.ended()

    def test_no_training_ends_before_its_temperature_says_so(self, coloured: Coloured) -> None:
        trainee = GateTraining(coloured(), replace(FEW, temperature=Geometric(factor=0.1, end=0.05)), steps=1)
        temperatures = [trainee.judge()["temperature"].item() for _ in range(3)]
        assert temperatures == pytest.approx([1.0, 0.1, 0.05])
        assert not trainee.ended()


def test_going_on_from_a_state_changes_no_bit(coloured: Coloured) -> None:
    """Gates, heads, both optimisers and the temperature."""
    problem = coloured()
    settings = replace(FEW, lr=0.1, schedule="cosine", temperature=Stalling(patience=1, factor=0.5))

    def epoch(trainee: GateTraining, number: int) -> None:
        trainee.begin_epoch(number)
        for start in (0, 40, 80):
            trainee.step(*batch(problem, start=start))
        trainee._follow(0.5)

    straight, first, second = (GateTraining(problem, settings, steps=12) for _ in range(3))
    for number in range(1, 5):
        epoch(straight, number)
    for number in (1, 2):
        epoch(first, number)
    state = first.state()
    epoch(first, 3)
    second.load(state)
    for number in (3, 4):
        epoch(second, number)
    assert straight.temperature == second.temperature == 0.5
    assert all(torch.equal(m, straight.m[name]) for name, m in second.m.items())
    assert torch.equal(second.heads.weights[0], straight.heads.weights[0])


@pytest.mark.parametrize("name", ["task_weight", "gamma", "initial"])
def test_negative_settings_are_refused(name: str) -> None:
    wrong: dict[str, Any] = {name: -0.5}
    right: dict[str, Any] = {name: 0.0}
    with pytest.raises(InputError, match=f"gates: {name} is -0.5, expected 0 or more"):
        replace(GateSettings(), **wrong)
    assert getattr(replace(GateSettings(), **right), name) == 0


def test_batches_are_drawn_by_the_seed_and_the_name_alone(coloured: Coloured) -> None:
    problem = coloured()
    (ours,), (theirs,) = problem.generators("ffw: batches"), generators([0], "ffw: batches")
    assert torch.equal(torch.rand(3, generator=ours), torch.rand(3, generator=theirs))
