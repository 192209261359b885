"""What a repair of weights leaves: judged on dval, deciding test rows, with its best epoch and its last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from counterpoise.methods.objective import Judged, Objective
from counterpoise.methods.outputs import decide
from counterpoise.methods.problem import Problem
from counterpoise.methods.weights.judging import LAST, both_epochs, repaired, validation_figures
from counterpoise.nn.epochs import Trained
from counterpoise.nn.networks import evaluate


@pytest.fixture
def problem(unfair: Callable[..., Problem]) -> Problem:
    return replace(unfair(), method="method")


def scaled(problem: Problem, factor: float) -> dict[str, Tensor]:
    """The base with other last weights, which score otherwise."""
    last = list(problem.network().weights())[-1]
    return problem.base | {last: factor * problem.base[last]}


@pytest.mark.parametrize("part", ["select", "dval"])
def test_a_network_is_judged_on_rows_of_dval_and_decides_the_test_rows(part: str, problem: Problem) -> None:
    state, rows = scaled(problem, -0.5), getattr(problem, part)
    result = repaired(problem, state, rows=None if part == "select" else rows, facts={"trial": 3})
    judged = problem.judged(problem.network(state), rows)
    score = problem.read(evaluate(problem.network(state), problem.examples, problem.test).logits)
    assert result.name == "method"
    assert torch.equal(result.score, score)
    assert torch.equal(result.prediction, decide(score, judged.threshold))
    for name in ("phi", "performance", "bias", "threshold"):
        assert torch.equal(result.facts[name], getattr(judged, name))
    assert result.facts["chosen_on"] == rows.shape[1]
    assert result.facts["trial"] == 3
    assert all(torch.equal(tensor, state[name]) for name, tensor in result.part("network").items())
    assert result.part("masks") == {}


def test_weights_that_stand_in_for_others_leave_with_the_network(problem: Problem) -> None:
    last = list(problem.network().weights())[-1]
    weights = {last: -problem.base[last]}
    standing, stored = repaired(problem, weights=weights, name="other"), repaired(problem, problem.base | weights)
    assert standing.name == "other"
    assert torch.equal(standing.score, stored.score)
    assert all(torch.equal(tensor, stored.part("network")[name]) for name, tensor in standing.part("network").items())


def test_the_best_epoch_and_the_last_are_two_variants(problem: Problem) -> None:
    best, last = scaled(problem, 0.5), scaled(problem, -1.0)
    epochs = torch.tensor([1, 3, 2])
    curves = {"judgement": torch.rand(3, 4, dtype=torch.float64)}
    first, second = both_epochs(problem, Trained(best, last, epochs, curves), rows=problem.dval)
    assert (first.name, second.name) == ("method", f"method{LAST}")
    for result, state in ((first, best), (second, last)):
        alone = repaired(problem, state, rows=problem.dval)
        assert torch.equal(result.score, alone.score)
        assert torch.equal(result.facts["phi"], alone.facts["phi"])
    assert torch.equal(first.epoch, epochs)  # type: ignore[arg-type]
    assert second.epoch.tolist() == [4, 4, 4]  # type: ignore[union-attr]
    assert (first.epochs, dict(second.curves)) == (4, {}), "curves are not stored twice"


def test_an_epoch_is_chosen_by_preference() -> None:
    objective = Objective("spd", tolerance=0.1, margin=0.0)
    figures = [
        torch.tensor(values, dtype=torch.float64) for values in ([0.8, 0.0], [0.8, 0.9], [0.05, 0.3], [0.5, 0.5])
    ]
    judged = Judged(*figures)
    followed = validation_figures(objective, judged)
    assert torch.equal(followed["judgement"], judged.preference(objective))
    assert torch.equal(followed["performance"], judged.performance)
    assert torch.equal(followed["bias"], judged.bias)
