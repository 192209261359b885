"""The base as it is and with another threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.baseline import baseline, threshold
from counterpoise.nn.networks import evaluate


def test_both_are_the_base_at_a_threshold_that_all_of_dval_chooses(unfair: Callable[..., Problem]) -> None:
    problem = unfair()
    score = problem.read(evaluate(problem.network(), problem.examples, problem.test).logits)
    results = (run(problem, method, function) for method, function in (("a", baseline), ("b", threshold)))
    for result, aim in zip(results, ("performance", "phi"), strict=True):
        judged = problem.judged(problem.network(), problem.dval, aim=aim)
        assert torch.equal(result.score, score)
        assert torch.equal(result.facts["threshold"], judged.threshold)
        assert torch.equal(result.prediction, (score[..., 0].double() > judged.threshold.unsqueeze(1)).long())
        assert result.facts["chosen_on"] == problem.dval.shape[1]
        assert result.epoch is None


def test_the_threshold_is_fairer_and_the_baseline_right_more_often(unfair: Callable[..., Problem]) -> None:
    """On the rows that chose both."""
    problem = unfair()
    plain, moved = run(problem, "baseline", baseline), run(problem, "threshold", threshold)
    assert (moved.facts["bias"].abs() < problem.goal.bound).all()
    assert (plain.facts["bias"].abs() > problem.goal.bound).any()
    assert (plain.facts["performance"] >= moved.facts["performance"]).all()


def run(problem: Problem, method: str, function: Callable[..., list[Result]]) -> Result:
    (result,) = function(replace(problem, method=method), None, {})
    assert result.name == method
    return result
