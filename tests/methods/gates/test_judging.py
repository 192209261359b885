"""What a method on gates is judged by: test rows, and readers that were fitted to others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from counterpoise.fairness import information, leakage_elsewhere
from counterpoise.methods.gates.biases import biases_of
from counterpoise.methods.gates.gating import evaluate_gated
from counterpoise.methods.gates.heads import BiasHeads, HeadSettings
from counterpoise.methods.gates.judging import result_of
from counterpoise.methods.gates.lastlayer import fit_erasers
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, run
from counterpoise.nn.networks import Output, evaluate

Coloured = Callable[..., Problem]
Ran = Callable[..., dict[str, Result]]


@pytest.mark.parametrize("name", ["vanilla", "ffw", "leace"])
def test_figures_are_of_test_rows_and_of_readers_that_were_fitted_to_others(
    name: str, ran: Ran, coloured: Coloured, settings: dict[str, Any]
) -> None:
    problem, result = coloured("plain"), ran()[name]
    network, opened = problem.network(), result.part("masks")
    fitted, tested = (evaluate_gated(problem, network, rows, opened).features for rows in (problem.fit, problem.test))
    if name == "leace":
        source = fitted
        fitted, tested = (fit_erasers(problem, source)(z) for z in (fitted, tested))
    b, other = biases_of(problem, problem.fit)[0], biases_of(problem, problem.test)[0]
    heads = BiasHeads(1, 16, (3,), settings["vanilla"], torch.device("cpu"))
    heads.fit(fitted, biases_of(problem, problem.fit))
    known = information(heads.logits(tested)[0].softmax(dim=-1), other)
    assert result.fact("information", 0) == pytest.approx(known.item(), abs=1e-6)
    probe = leakage_elsewhere(fitted[0], b[0], tested[0], other[0])
    assert result.fact("leakage", 0) == pytest.approx(probe, abs=1e-6)


def test_two_biases_count_alike(
    coloured: Coloured, few_rows: Callable[[Problem], Problem], settings: dict[str, Any]
) -> None:
    problem = few_rows(coloured("perceptron", 2))
    (result,) = run(problem, {"vanilla": settings["vanilla"]}, ("gates",))
    fitted, tested = (
        evaluate(problem.network(), problem.examples, rows).features for rows in (problem.fit, problem.test)
    )
    learnt, asked = biases_of(problem, problem.fit), biases_of(problem, problem.test)
    each = [leakage_elsewhere(fitted[0], learnt[k, 0], tested[0], asked[k, 0]) for k in range(2)]
    assert abs(each[0] - each[1]) > 0.02
    assert result.fact("leakage", 0) == pytest.approx(sum(each) / 2)


@pytest.mark.parametrize("biases", [1, 2])
def test_accuracies_are_of_rows_that_a_bias_misleads_and_of_all_cells_alike(
    biases: int, ran: Ran, coloured: Coloured
) -> None:
    """Counted row by row; the value that goes with a class has its number."""
    problem = coloured("perceptron", biases)
    result = ran("perceptron", biases, ("vanilla",))["vanilla"]
    rows = problem.test[0].tolist()
    right = [int(p) == int(problem.examples.y[row]) for row, p in zip(rows, result.prediction[0], strict=True)]
    misled = [[int(bias[row]) != int(problem.examples.y[row]) for bias in problem.biases] for row in rows]
    conflicting = [correct for correct, each in zip(right, misled, strict=True) if any(each)]
    assert result.fact("conflicting_accuracy", 0) == pytest.approx(sum(conflicting) / len(conflicting))
    cells = {tuple(each): [c for c, other in zip(right, misled, strict=True) if other == each] for each in misled}
    assert len(cells) == 2**biases
    average = sum(sum(cell) / len(cell) for cell in cells.values()) / len(cells)
    assert result.fact("unbiased_average", 0) == pytest.approx(average)


def test_two_logits_of_two_classes_are_one_score(coloured: Coloured, generator: torch.Generator) -> None:
    """The probability of class 1, as networks with one logit give it; the decision is the likelier class."""
    problem = coloured("perceptron")
    fitted, tested = (
        Output(torch.randn(*rows.shape, 2, generator=generator), torch.randn(*rows.shape, 4, generator=generator))
        for rows in (problem.fit, problem.test)
    )
    result = result_of(problem, fitted, tested, HeadSettings(most=2))
    torch.testing.assert_close(result.score[..., 0], tested.logits.softmax(dim=-1)[..., 1])
    assert torch.equal(result.prediction, tested.logits.argmax(dim=-1))
