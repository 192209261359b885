"""Adversarial fine-tuning: what the critic is taught, what the actor follows, and that neither moves the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from counterpoise.methods.gaps import soft_bias
from counterpoise.methods.problem import Problem
from counterpoise.methods.weights.adversarial import Adversarial, AdversarialFinetuning
from counterpoise.methods.weights.finetuning import CRITIC_RATIO, adversarial_finetuning
from counterpoise.nn.networks import Masks, evaluate
from counterpoise.nn.optimizers import Optimizer

SETTINGS = Adversarial(epochs=2, warmup=0, batch_size=32)


def trainee(task: Problem, settings: Adversarial = SETTINGS, masks: Masks | None = None) -> AdversarialFinetuning:
    return AdversarialFinetuning(
        task.network(),
        task.goal,
        settings,
        task.examples,
        task.fit,
        generators=task.generators("noise"),
        critic_generators=task.generators("critic"),
        masks=masks,
    )


def batch(task: Problem) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = task.fit[:, :32]
    return *task.examples.take(rows), rows


@pytest.mark.parametrize("critic", ["published", "exact"])
def test_the_loss_is_weighted_up_while_the_bias_is_beyond_the_bound(
    critic: str, unfair: Callable[..., Problem]
) -> None:
    task = unfair()
    made = trainee(task, replace(SETTINGS, critic=critic))  # type: ignore[arg-type]
    made.begin_epoch(1)
    x, y, s, _ = batch(task)
    made.network.train()
    output = made.network(x, track=False)
    if critic == "exact":
        bias = soft_bias("spd", output.logits, y, s)
    else:
        assert made.critic is not None
        one = output.features.reshape(len(x), 1, -1)  # the whole batch, row after row, as one input
        bias = made.critic(one).logits.flatten()
    for r in range(len(x)):
        task_loss = binary_cross_entropy_with_logits(output.logits[r, :, 0], y[r].float())
        weight = max(1.0, 10 * (abs(bias[r].item()) - 0.06) + 1)
        assert made._weighted(output, y, s)[r].item() == pytest.approx(weight * task_loss.item(), rel=1e-5)
    assert bias.abs().max() > 0.06, "the test needs a batch that looks biased"


def test_the_actor_s_gradient_goes_through_a_critic_that_does_not_move(unfair: Callable[..., Problem]) -> None:
    task = unfair()
    made = trainee(task, replace(SETTINGS, pressure=50.0))
    made.begin_epoch(1)
    assert made.critic is not None
    critic = made.critic.copied()
    x, y, s, rows = batch(task)
    parameters = dict(made.network.named_parameters())
    made.network.train()
    value = made._weighted(made.network(x, generators=task.generators("noise"), track=False), y, s)
    expected = torch.autograd.grad(value.sum(), list(parameters.values()))
    seen: list[list[Tensor]] = []

    class Still:
        def __call__(self) -> None:
            seen.append([p.grad.clone() for p in parameters.values() if p.grad is not None])

    made.move = Still()  # type: ignore[assignment]
    figures = made.step(x, y, s, rows)
    torch.testing.assert_close(figures["loss"], value.detach())
    for name, own, other in zip(parameters, seen[0], expected, strict=True):
        torch.testing.assert_close(own, other, msg=name)
    assert all(torch.equal(critic[name], tensor) for name, tensor in made.critic.state().items())
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in made.critic.parameters())
    # through the critic indeed: with its estimate held fixed the gradient is another one
    output = made.network(x, generators=task.generators("noise"), track=False)
    held = made._weighted(output._replace(features=output.features.detach()), y, s)
    other = torch.autograd.grad(held.sum(), parameters["weight0"])[0]
    assert not torch.allclose(other, seen[0][list(parameters).index("weight0")], rtol=1e-3)


def test_the_actor_does_not_move_while_the_critic_learns(unfair: Callable[..., Problem]) -> None:
    task = unfair(dropout=0.2)
    made = trainee(task)
    before = made.network.copied()
    assert made.critic is not None
    critic = made.critic.copied()
    made.begin_epoch(1)
    assert all(torch.equal(before[name], tensor) for name, tensor in made.network.state().items())
    assert all(not parameter.grad.any() for parameter in made.network.parameters() if parameter.grad is not None)
    assert any(not torch.equal(critic[name], tensor) for name, tensor in made.critic.state().items())


def test_the_critic_s_ratio_is_its_error_over_the_variance_of_what_it_estimates(unfair: Callable[..., Problem]) -> None:
    """Of a critic that does not learn, and whose estimate is known, both are known."""
    task = unfair()
    made = trainee(task)
    made.move_critic = lambda: None  # type: ignore[assignment]
    assert made.critic is not None
    with torch.no_grad():  # the estimate is 0.25 whatever it sees
        for name, parameter in made.critic.named_parameters():
            parameter.fill_(0.25 if name == "bias4" else 0.0)
    order = [torch.randperm(task.fit.shape[1], generator=generator) for generator in task.generators("order")]
    made.rows = torch.stack([rows[own] for rows, own in zip(task.fit, order, strict=True)])
    parts = made.rows[:, : task.fit.shape[1] // 32 * 32]
    identity = [torch.arange(task.fit.shape[1])] * len(task.seeds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "counterpoise.methods.weights.adversarial.shuffled",
            lambda rows, generators: torch.stack([row[o] for row, o in zip(rows, identity, strict=True)]),
        )
        made.begin_epoch(1)
    logits = evaluate(task.network(), task.examples, parts).logits
    y, s = task.labels(parts)
    biases = torch.stack(
        [
            soft_bias("spd", *(tensor[:, start : start + 32] for tensor in (logits, y, s)))
            for start in range(0, parts.shape[1], 32)
        ]
    ).double()
    expected = (biases - 0.25).square().mean(dim=0) / biases.var(dim=0, correction=0)
    torch.testing.assert_close(made.ratio, expected, rtol=1e-4, atol=0)


def test_a_critic_learns_what_can_be_learned(unfair: Callable[..., Problem]) -> None:
    """Shown the same few batches over and over it comes to know their bias: the ratio falls far below 1."""
    task = unfair()
    made = trainee(task, replace(SETTINGS, critic_lr=3e-3))
    made.rows = task.fit[:, :32]
    for epoch in range(150):
        made.begin_epoch(epoch)
    assert made.critic is not None
    features = evaluate(task.network(), task.examples, made.rows)
    y, s = task.labels(made.rows)
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(32, generator=generator) for _ in range(8)]
    estimates = torch.stack([made._estimate(made._held_still(made.rows[:, order]).features) for order in orders])
    known = soft_bias("spd", features.logits, y, s)
    assert known.abs().min() > 0.3
    assert (estimates.mean(dim=0) - known).abs().max() < 0.08


def test_variants_of_a_run(unfair: Callable[..., Problem]) -> None:
    task = unfair()
    published = adversarial_finetuning(replace(task, method="published"), SETTINGS, {})
    exact = adversarial_finetuning(replace(task, method="exact"), replace(SETTINGS, critic="exact"), {})
    assert [made.name for made in published] == ["published", "published_last"]
    assert published[1].epoch is not None
    assert published[1].epoch.tolist() == [2] * len(task.seeds)
    assert torch.equal(published[0].facts[CRITIC_RATIO], published[0].curves[CRITIC_RATIO][:, -1])
    assert published[0].facts[CRITIC_RATIO].isfinite().all()
    assert CRITIC_RATIO not in exact[0].facts


def test_a_rate_falls_over_as_many_steps_as_are_taken(
    unfair: Callable[..., Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the actor and of the critic: a cosine over more steps would not end, one over fewer would rise again."""
    built: list[Any] = []
    build = Optimizer.build

    def noted(self: Optimizer, *arguments: Any, **further: Any) -> Any:
        built.append(build(self, *arguments, **further))
        return built[-1]

    task = unfair()
    monkeypatch.setattr(Optimizer, "build", noted)
    adversarial_finetuning(replace(task, method="published"), SETTINGS, {})
    assert len(built) == 2
    for move in built:
        assert move.taken == move.steps > 1


def test_the_exact_critic_brings_the_bias_down(unfair: Callable[..., Problem]) -> None:
    task = unfair()
    settings = replace(SETTINGS, critic="exact", epochs=12, lr=5e-3, batch_size=64, pressure=60.0)
    (_, last) = adversarial_finetuning(replace(task, method="exact"), settings, {})
    y, s = task.labels(task.fit)
    before, after = (
        soft_bias("spd", evaluate(task.network(state), task.examples, task.fit).logits, y, s).abs()
        for state in (None, last.part("network"))
    )
    assert (after < 0.6 * before).all()
