"""Sub-networks of the frozen network: with learnt gates (FFW), and controls with gates that are not learnt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from counterpoise.methods.gates.gating import GateSettings, GateTraining, closed_share, evaluate_gated
from counterpoise.methods.gates.heads import HeadSettings
from counterpoise.methods.gates.judging import result_of
from counterpoise.methods.masks import magnitude_masks, random_masks
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, prefixed
from counterpoise.nn.networks import State


def extract(problem: Problem, settings: GateSettings, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Learn which gates to close, and return the sub-network of the open ones."""
    epochs = settings.temperature.epochs
    trainee = GateTraining(problem, settings, steps=epochs * math.ceil(problem.fit.shape[1] / settings.batch_size))
    trained = problem.train(
        trainee,
        name=problem.method,
        settings=(settings,),
        epochs=epochs,
        batch_size=settings.batch_size,
        rows=problem.fit,
        figures=trainee.judge,
        finished=trainee.ended,
    )
    return [_gated(problem, trained.best, settings.judge, epoch=trained.best_epoch, curves=trained.curves)]


def random_gates(problem: Problem, settings: HeadSettings, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Close as many gates of each layer as the sub-network before, by chance."""
    return [_gated(problem, random_masks(problem, _gates(earlier)), settings)]


def magnitude_gates(problem: Problem, settings: HeadSettings, earlier: Mapping[str, list[Result]]) -> list[Result]:
    """Close as many gates of each layer as the sub-network before, those of the smallest weights."""
    return [_gated(problem, magnitude_masks(problem, _gates(earlier)), settings)]


def _gates(earlier: Mapping[str, list[Result]]) -> State:
    ((result,),) = earlier.values()
    return result.part("masks")


def _gated(problem: Problem, opened: State, head: HeadSettings, **trained: Any) -> Result:
    """Judge the network with some gates closed; its masks are the open ones."""
    network = problem.network()
    fitted, tested = (evaluate_gated(problem, network, rows, opened) for rows in (problem.fit, problem.test))
    gates = {name: gate.bool() for name, gate in opened.items()}
    facts = {"sparsity": closed_share(gates)}
    return result_of(problem, fitted, tested, head, facts, tensors=prefixed("masks", gates), **trained)
