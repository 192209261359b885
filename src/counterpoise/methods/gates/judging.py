"""Results of methods on gates: a network judged by its predictions, and by what readers learn from its features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from counterpoise.fairness import conflicting_accuracy, leakage_elsewhere, unbiased_average
from counterpoise.methods.gates.biases import biases_of, conflicting
from counterpoise.methods.gates.heads import BiasHeads, HeadSettings
from counterpoise.methods.outputs import decisions, scores
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, Value
from counterpoise.nn.networks import Output


def result_of(
    problem: Problem,
    fitted: Output,
    tested: Output,
    head: HeadSettings,
    facts: Mapping[str, Value] | None = None,
    **trained: Any,
) -> Result:
    """Judge a network by its predictions of the test rows, and by readers of its features that are trained on `fit`.

    Args:
        fitted, tested: what it says of the rows of `problem.fit` and of `problem.test`.
        head: of the readers. trained: `epoch`, `curves`, `tensors` of the result.
    """
    logits = tested.logits
    if logits.shape[-1] == 2:
        logits = logits[..., 1:] - logits[..., :1]
    prediction, (y, _) = decisions(logits), problem.labels(problem.test)
    misled = conflicting(problem, problem.test)
    figures: dict[str, Value] = {
        "information": _information(problem, fitted, tested, head),
        "leakage": _leakage(problem, fitted, tested),
        "conflicting_accuracy": conflicting_accuracy(y, prediction, misled.any(dim=0)),
        "unbiased_average": unbiased_average(y, prediction, misled),
    }
    return Result(problem.method, scores(logits), prediction, facts={**figures, **(facts or {})}, **trained)


def _information(problem: Problem, fitted: Output, tested: Output, settings: HeadSettings) -> Float64[Tensor, "R"]:
    """Return I on the test rows of a head that was fitted to its plateau; the mean over the biases."""
    heads = BiasHeads(len(fitted.features), fitted.features.shape[-1], problem.values, settings, torch.device("cpu"))
    heads.fit(fitted.features, biases_of(problem, problem.fit))
    information = heads.information(tested.features, biases_of(problem, problem.test))
    return information.double().clamp(min=0)  # rounding may leave less than nothing


def _leakage(problem: Problem, fitted: Output, tested: Output) -> Float64[Tensor, "R"]:
    """Return what a converged probe reads on the test rows; the mean over the biases."""
    learnt, asked = biases_of(problem, problem.fit), biases_of(problem, problem.test)
    return torch.tensor(
        [
            sum(
                leakage_elsewhere(fitted.features[r], seen[r], tested.features[r], unseen[r])
                for seen, unseen in zip(learnt, asked, strict=True)
            )
            / len(learnt)
            for r in range(len(fitted.features))
        ],
        dtype=torch.float64,
    )
