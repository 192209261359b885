"""Uniform confusion: its loss by hand, and its two turns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from counterpoise.methods.outputs import task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.inprocessing import Contested
from counterpoise.methods.weights.uniform_confusion import UniformConfusion, confusion, uniform_confusion
from counterpoise.nn.networks import evaluate


class TestConfusion:
    def test_is_lowest_where_the_guess_is_uniform(self, generator: torch.Generator) -> None:
        logits = torch.randn(2, 6, 2, generator=generator)
        by_hand = -(0.5 * logits.softmax(-1).log()).sum(-1).mean(1)
        torch.testing.assert_close(confusion(logits), by_hand)
        assert (confusion(logits) > math.log(2)).all()
        torch.testing.assert_close(confusion(torch.ones(1, 3, 2)), torch.tensor([math.log(2)]))

    def test_the_turns_are_separate(self, unfair: Callable[..., Problem]) -> None:
        """The guess moves the classifier alone; the networks' gradient is the loss's, the classifier still."""
        task = unfair()
        trainee = UniformConfusion(replace(task, method="confusion"), Contested(strength=3.0))
        x, y, s = task.examples.take(task.pretrain[:, :50])
        before, opponent = trainee.network.copied(), trainee.opponent.copied()
        trainee.network.train()
        trainee.value(x, y, s).sum().backward()
        for name, tensor in trainee.network.named_parameters():
            assert torch.equal(tensor, before[name]), name
        moved = trainee.opponent.copied()
        assert all((moved[name] != opponent[name]).any() for name in opponent)
        assert all(not tensor.grad.any() for tensor in trainee.opponent.parameters() if tensor.grad is not None)
        gradient = {name: tensor.grad.clone() for name, tensor in trainee.network.named_parameters()}  # type: ignore[union-attr]

        trainee.network.zero_grad(set_to_none=True)
        output = trainee.network(x, track=False)
        unsure = -0.5 * trainee.opponent(output.features).logits.log_softmax(-1).sum(-1).mean(1)
        (task_loss(output.logits, y) + 3 * unsure).sum().backward()
        for name, tensor in trainee.network.named_parameters():
            assert tensor.grad is not None
            torch.testing.assert_close(gradient[name], tensor.grad, rtol=1e-4, atol=1e-6)

    def test_the_group_is_harder_to_read_from_the_features(self, unfair: Callable[..., Problem]) -> None:
        task = replace(unfair(), method="confusion")
        settings = {"epochs": 12, "batch_size": 50, "lr": 0.01, "opponent_lr": 0.03}
        plain, fair = (
            readable(task, uniform_confusion(task, Contested(strength=strength, **settings), {})[1])
            for strength in (0.0, 10.0)
        )
        assert fair.mean() < plain.mean() - 0.05


def readable(task: Problem, outcome: Result) -> np.ndarray:
    """Return how often a linear classifier reads the group from the features of test rows, by replicate."""
    from sklearn.linear_model import LogisticRegression

    features = evaluate(task.network(outcome.part("network")), task.examples, task.test).features.numpy()
    _, s = task.labels(task.test)
    half = features.shape[1] // 2
    made = []
    for own, group in zip(features, s.numpy(), strict=True):
        own = (own - own.mean(axis=0)) / (own.std(axis=0) + 1e-6)
        made.append(LogisticRegression(max_iter=500).fit(own[:half], group[:half]).score(own[half:], group[half:]))
    return np.array(made)
