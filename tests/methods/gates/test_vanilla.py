"""The frozen network as it is, and evaluated once for all methods that begin with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from counterpoise.methods.gates import vanilla
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, run
from counterpoise.nn.networks import evaluate

Coloured = Callable[..., Problem]


def test_it_is_the_network_as_it_is(ran: Callable[..., dict[str, Result]], coloured: Coloured) -> None:
    problem, result = coloured("plain"), ran()["vanilla"]
    logits = evaluate(problem.network(), problem.examples, problem.test).logits
    assert torch.equal(result.prediction, logits.argmax(dim=-1))
    torch.testing.assert_close(result.score, logits.softmax(dim=-1))
    assert not result.tensors
    assert result.epoch is None


def test_it_is_evaluated_once_for_all_methods_of_one_problem(
    coloured: Coloured,
    few_rows: Callable[[Problem], Problem],
    settings: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem, evaluated = few_rows(coloured()), []

    def watched(problem: Problem, network: object, rows: torch.Tensor, gates: object) -> object:
        evaluated.append(rows)
        return evaluate(problem.network(), problem.examples, rows)

    monkeypatch.setattr(vanilla, "evaluate_gated", watched)
    run(problem, {name: settings[name] for name in ("vanilla", "refit")}, ("gates",))
    parts = (problem.fit, problem.select, problem.test)
    assert all(torch.equal(rows, part) for rows, part in zip(evaluated, parts, strict=True))
    run(replace(problem, test=problem.fit), {"vanilla": settings["vanilla"]}, ("gates",))
    assert len(evaluated) == 2 * len(parts), "another problem has outputs of its own"
