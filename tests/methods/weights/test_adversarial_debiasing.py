"""Adversarial debiasing: its step against the paper's formula, and what the adversary reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from counterpoise.methods.problem import Problem
from counterpoise.methods.weights.adversarial_debiasing import AdversarialDebiasing, adversarial_debiasing, opposed
from counterpoise.methods.weights.inprocessing import Contested
from counterpoise.nn.networks import evaluate


class TestAdversary:
    def test_the_step_is_the_papers(self, generator: torch.Generator) -> None:
        """Independently: each replicate's weights as one vector, in numpy."""
        shapes, strength = [(2, 3, 4), (2, 5), (2, 1, 1)], 0.7
        wanted, helping = ([torch.randn(shape, generator=generator) for shape in shapes] for _ in range(2))
        made = opposed(wanted, helping, strength, replicates=2)
        for r in range(2):
            g, a, m = (
                np.concatenate([part[r].double().numpy().ravel() for part in parts])
                for parts in (wanted, helping, made)
            )
            unit = a / np.linalg.norm(a)
            np.testing.assert_allclose(m, g - (g @ unit) * unit - strength * a, atol=1e-5)
            assert m @ a == pytest.approx(-strength * a @ a, rel=1e-4)  # never to the adversary's help

    def test_an_adversary_that_learns_nothing_leaves_the_task_alone(self, generator: torch.Generator) -> None:
        wanted = [torch.randn(2, 3, generator=generator)]
        (made,) = opposed(wanted, [torch.zeros(2, 3)], 1.0, replicates=2)
        assert torch.equal(made, wanted[0])

    @pytest.mark.parametrize(("bias", "sees"), [("spd", 1), ("aod", 3), ("eod", 3)])
    def test_sees_the_class_where_odds_are_to_be_equal(
        self, bias: str, sees: int, unfair: Callable[..., Problem]
    ) -> None:
        trainee = AdversarialDebiasing(replace(unfair(bias=bias), method="debiasing"), Contested())
        y = torch.tensor([[0, 1]] * 3)
        shown = trainee.shown(torch.zeros(3, 2, 1), y)
        assert shown.shape[-1] == sees
        assert (shown[:, 0] != shown[:, 1]).any() == (sees > 1)

    def test_the_logits_tell_less_of_the_group(self, unfair: Callable[..., Problem]) -> None:
        task = unfair()
        best, last = adversarial_debiasing(
            replace(task, method="adversarial"), Contested(epochs=12, batch_size=50, lr=0.01, opponent_lr=0.03), {}
        )
        told = separation(task, task.network(last.part("network")))
        assert told.abs().mean() < 0.4 * separation(task, task.network()).abs().mean()
        assert (best.facts["phi"] > task.judged(task.network(), task.select).phi).all()


def separation(task: Problem, network: torch.nn.Module) -> Tensor:
    """Return how far apart the groups' mean logits are on test, in standard deviations, for each replicate."""
    logits = evaluate(network, task.examples, task.test).logits.squeeze(-1)  # type: ignore[arg-type]
    _, s = task.labels(task.test)
    means = [(logits * (s == group)).sum(dim=1) / (s == group).sum(dim=1) for group in (0, 1)]
    return (means[1] - means[0]) / logits.std(dim=1)
