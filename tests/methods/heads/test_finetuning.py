"""What fine-tuning returns: heads that say what their results say, at the epochs that the curves prefer."""

from __future__ import annotations

from dataclasses import replace

import torch

from counterpoise.methods.heads import finetuning
from counterpoise.methods.heads.problem import HeadProblem, factors_of
from counterpoise.methods.repair import Result
from counterpoise.nn import Factors, Optimizer
from counterpoise.nn.settings import Training

TRAINING = Training(epochs=6, batch_size=40, optimizer=Optimizer(lr=0.1))


def said(head: Factors, problem: HeadProblem) -> torch.Tensor:
    """Return the probability of class 1 of each replicate's test rows, by softmax of x W + b."""
    weight = head.first if head.second is None else head.first @ head.second
    logits = problem.examples.x[problem.test] @ weight + head.bias.unsqueeze(1)
    return logits.softmax(dim=-1)[..., 1]


def test_a_result_is_what_its_head_says(problem: HeadProblem) -> None:
    results = finetuning.run(problem, TRAINING, {})
    assert [result.name for result in results] == list(problem.initial), "the order is that of the initial heads"
    for result in results:
        head = factors_of(result.part("head"))
        torch.testing.assert_close(result.score.squeeze(-1), said(head, problem))
        assert torch.equal(result.prediction, (result.score.squeeze(-1) > 0.5).long())
        assert head.rank == problem.initial[result.name].rank
        assert result.facts == problem.variants[result.name]


def test_the_epoch_is_the_first_with_the_lowest_validation_error(problem: HeadProblem) -> None:
    for result in finetuning.run(problem, TRAINING, {}):
        assert result.epoch is not None
        assert result.epochs == TRAINING.epochs
        errors = result.curves["validation_err"]
        assert torch.equal(result.epoch, errors.argmin(dim=1) + 1), "argmin takes the first of ties"
        assert (result.curves["loss"][:, -1] < result.curves["loss"][:, 0]).all()


def test_labels_of_test_rows_change_nothing(problem: HeadProblem) -> None:
    y = problem.examples.y.clone()
    y[problem.test[0]] = 1 - y[problem.test[0]]
    turned = replace(problem, examples=replace(problem.examples, y=y))

    def first(results: list[Result]) -> list[torch.Tensor]:
        return [tensor[0] for result in results for tensor in (result.score, *result.tensors.values())]

    before, after = (first(finetuning.run(each, TRAINING, {})) for each in (problem, turned))
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_the_pretrained_head_is_not_trained(problem: HeadProblem) -> None:
    assert problem.head is not None
    result = finetuning.pretrained(problem)
    torch.testing.assert_close(result.score.squeeze(-1), said(problem.head, problem))
    assert (result.epoch, result.epochs) == (None, None)
