"""The frozen network as it is: the baseline and the start of its sub-networks and new last layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from counterpoise.methods.gates.gating import evaluate_gated
from counterpoise.methods.gates.heads import HeadSettings
from counterpoise.methods.gates.judging import result_of
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.nn.networks import Output


@dataclass(frozen=True, eq=False)
class Frozen:
    """What a network with nothing closed says of the rows to fit, to choose on, and to test."""

    fit: Output
    select: Output
    test: Output


def frozen(problem: Problem) -> Frozen:
    """Return what the base says; computed once for all methods."""

    def evaluate() -> Frozen:
        network = problem.network()
        parts = (problem.fit, problem.select, problem.test)
        return Frozen(*(evaluate_gated(problem, network, rows, {}) for rows in parts))

    outputs: Frozen = problem.once("frozen", evaluate)
    return outputs


def vanilla(problem: Problem, settings: HeadSettings, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Return the base, as it is."""
    outputs = frozen(problem)
    return [result_of(problem, outputs.fit, outputs.test, settings)]
