"""Domain-independent and domain-discriminative training: inference against independent formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from counterpoise.errors import InputError
from counterpoise.methods.outputs import task_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.weights.domains import (
    domain_discriminative,
    domain_independent,
    of_group,
    summed,
    without_prior,
)
from counterpoise.methods.weights.inprocessing import InProcessing
from counterpoise.nn.networks import evaluate

SHORT = {"epochs": 3, "batch_size": 50, "lr": 0.01}


class TestDomains:
    def test_independent_inference_sums_logits(self, unfair: Callable[..., Problem]) -> None:
        task = replace(unfair(), method="independent")
        outcome = domain_independent(task, InProcessing(**SHORT), {})[1]
        network = task.build(outputs=2)
        network.load(outcome.part("network"))
        logits = evaluate(network, task.examples, task.test).logits
        torch.testing.assert_close(outcome.score, (logits[..., :1] + logits[..., 1:]).sigmoid())

    def test_with_many_classes_the_heads_stand_behind_one_another(self) -> None:
        logits = torch.tensor([[[1.0, 2, 3, 10, 20, 30]]])
        assert summed(logits).tolist() == [[[11, 22, 33]]]
        assert of_group(logits, torch.tensor([[0]])).tolist() == [[[1, 2, 3]]]
        assert of_group(logits, torch.tensor([[1]])).tolist() == [[[10, 20, 30]]]

    def test_a_head_learns_from_its_group_alone(self, generator: torch.Generator) -> None:
        logits = torch.randn(2, 6, 4, generator=generator, requires_grad=True)
        s = torch.tensor([[0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0]])
        task_loss(of_group(logits, s), torch.randint(0, 2, (2, 6), generator=generator)).sum().backward()
        assert logits.grad is not None
        heads = logits.grad.unflatten(-1, (2, 2))
        for group in (0, 1):
            assert heads[s == group][:, group].any(dim=-1).all()
            assert not heads[s == group][:, 1 - group].any()

    @pytest.mark.parametrize("classes", [2, 3])
    def test_the_prior_is_taken_out(self, classes: int, generator: torch.Generator) -> None:
        """Bayes: what was learned with one prior is, without it, the likelihoods, normalised."""
        likelihood = torch.rand(2, 7, 2, classes, generator=generator)  # R, m, group, class
        prior = torch.rand(2, 2 * classes, generator=generator).softmax(dim=-1)
        joint = likelihood.flatten(2) * prior.unsqueeze(1)
        fair = likelihood.sum(dim=2) / likelihood.sum(dim=(2, 3)).unsqueeze(-1)
        made = without_prior(joint.log() + 3, prior)  # logits are known up to a constant
        torch.testing.assert_close(made, fair[..., 1:] if classes == 2 else fair)

    def test_the_prior_is_that_of_each_replicates_training_rows(self, unfair: Callable[..., Problem]) -> None:
        task = replace(unfair(), method="discriminative")
        outcome = domain_discriminative(task, InProcessing(**SHORT), {})[0]
        network = task.build(outputs=4)
        network.load(outcome.part("network"))
        logits = evaluate(network, task.examples, task.test).logits
        y, s = task.labels(task.pretrain)
        shares = torch.stack(
            [((y == label) & (s == group)).float().mean(dim=1) for group in (0, 1) for label in (0, 1)], 1
        )
        weighed = logits.softmax(-1) / shares.unsqueeze(1)
        expected = (weighed[..., 1] + weighed[..., 3]) / weighed.sum(-1)
        torch.testing.assert_close(outcome.score.squeeze(-1), expected)

    def test_a_cell_without_rows_has_no_prior(self, unfair: Callable[..., Problem]) -> None:
        task = replace(unfair(), method="discriminative")
        rows = task.pretrain[:, :20]
        y = task.examples.y.clone()
        y[rows.flatten()] = 0
        with pytest.raises(InputError, match="training part has no row of y"):
            domain_discriminative(
                replace(task, pretrain=rows, examples=replace(task.examples, y=y)), InProcessing(**SHORT), {}
            )
