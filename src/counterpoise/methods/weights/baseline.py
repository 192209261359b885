"""The base as it is, and with another decision threshold: what every repair is held against."""

from __future__ import annotations

from collections.abc import Mapping

from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.judging import repaired


def baseline(problem: Problem, settings: None, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Return the base, at the threshold with the highest performance on `dval`."""
    return [repaired(problem, rows=problem.dval, aim="performance")]


def threshold(problem: Problem, settings: None, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Return the base, at the threshold with the highest Φ on `dval`."""
    return [repaired(problem, rows=problem.dval)]
