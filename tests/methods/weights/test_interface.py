"""What every method on weights keeps to, tested by its row in the catalogue: also of a method that is added."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from counterpoise.catalogue import methods_of
from counterpoise.config.repairs import Repairs
from counterpoise.methods.objective import Objective
from counterpoise.methods.outputs import decide
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, run
from counterpoise.nn import Optimizer

METHODS = methods_of("weights")
QUICK = {
    "masks": {"lr": 0.5},
    "adversarial": {"warmup": 1},
    "external_graft": {"rounds": 2},
    "perturbation": {"trials": 3},
    "layerwise": {"tensors": 1, "calls": 2},
    "reject_option": {"thresholds": 10, "margins": 5},
}
ALONE = 1
"""The replicate that is also run without the others."""

Outcomes = Mapping[str, list[Result]]


def outcomes(problem: Problem) -> Outcomes:
    """Run all methods; return the results of each."""
    settings = Repairs(methods=tuple(METHODS), **QUICK).settings(epochs=2)
    results = run(problem, settings, ["weights"])
    longest_first = sorted(METHODS, key=len, reverse=True)
    by_method: dict[str, list[Result]] = {name: [] for name in METHODS}
    for result in results:
        by_method[next(name for name in longest_first if result.name.startswith(name))].append(result)
    return by_method


@pytest.fixture(scope="module")
def together(unfair: Callable[..., Problem]) -> Outcomes:
    return outcomes(unfair(dropout=0.2))


@pytest.fixture(scope="module")
def alone(unfair: Callable[..., Problem]) -> Outcomes:
    return outcomes(unfair(dropout=0.2).replicate(ALONE))


def test_schedules_end_with_the_last_step(unfair: Callable[..., Problem], monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate that falls along a cosine has to know how many there will be, with a last batch that is not full."""
    built: list[Any] = []
    build = Optimizer.build

    def recorded(self: Optimizer, *arguments: Any, **named: Any) -> Any:
        step = build(self, *arguments, **named)
        if self.schedule == "cosine":
            built.append(step)
        return step

    monkeypatch.setattr(Optimizer, "build", recorded)
    problem = unfair(dropout=0.2).replicate(ALONE)
    assert problem.fit.shape[1] % 64, "the last batch is not full"
    outcomes(problem)
    assert built
    assert [(step.taken, step.steps) for step in built if step.taken != step.steps] == []


@pytest.mark.parametrize("method", METHODS)
def test_results_are_of_the_test_rows_and_named_after_the_method(
    method: str, together: Outcomes, unfair: Callable[..., Problem]
) -> None:
    shape = unfair(dropout=0.2).test.shape
    assert together[method]
    for result in together[method]:
        assert result.score.shape == (*shape, 1)
        assert ((result.score >= 0) & (result.score <= 1)).all()
        assert result.prediction.shape == shape
        assert ((result.prediction == 0) | (result.prediction == 1)).all()
        assert result.epoch is None or ((result.epoch >= 1) & (result.epoch <= 2)).all()
        if not METHODS[method].needs_group:
            assert torch.equal(result.prediction, decide(result.score, result.facts["threshold"]))


@pytest.mark.parametrize("method", METHODS)
def test_how_a_model_was_chosen_is_what_the_objective_says(
    method: str, together: Outcomes, unfair: Callable[..., Problem]
) -> None:
    goal: Objective = unfair(dropout=0.2).goal
    for result in together[method]:
        facts = result.facts
        within = facts["bias"].abs() < goal.bound
        torch.testing.assert_close(facts["phi"], torch.where(within, facts["performance"], 0.0))


@pytest.mark.parametrize("method", METHODS)
def test_a_replicate_is_the_same_beside_others_and_alone(method: str, together: Outcomes, alone: Outcomes) -> None:
    for joined, single in zip(together[method], alone[method], strict=True):
        assert joined.name == single.name
        torch.testing.assert_close(joined.score[ALONE], single.score[0])
        assert torch.equal(joined.prediction[ALONE], single.prediction[0])
