"""Whole networks under penalties: which there are, and that a penalty does what it is for."""

from __future__ import annotations

from dataclasses import replace

import torch

from counterpoise.methods.heads import retraining
from counterpoise.methods.heads.penalties import penalty
from counterpoise.methods.heads.problem import HeadProblem
from counterpoise.methods.heads.retraining import Penalties, Retraining
from counterpoise.methods.repair import Result
from counterpoise.nn import Optimizer, StackedMLP, generators
from counterpoise.nn.settings import Training

TRAINING = Training(epochs=8, batch_size=None, optimizer=Optimizer(lr=0.05))


def of_networks(problem: HeadProblem) -> HeadProblem:
    widths = [problem.examples.x.shape[1], 6, 2]
    state = StackedMLP(widths, mean=None, scale=None, generators=generators(problem.seeds, "weights")).state_dict()
    return replace(problem, networks=lambda copies: StackedMLP.from_state(state, widths, copies=copies))


def test_a_strength_of_zero_is_one_network_without_penalty() -> None:
    assert list(Penalties(("eo", "dp"), (0.0, 0.1)).grid().items()) == [
        ("retrain", (None, 0.0)),
        ("retrain_eo_0.1", ("eo", 0.1)),
        ("retrain_dp_0.1", ("dp", 0.1)),
    ]
    assert list(Penalties(("eo",), (0.5,)).grid()) == ["retrain_eo_0.5"]


def test_a_penalty_makes_the_gap_smaller_and_no_other_network_different(problem: HeadProblem) -> None:
    task = of_networks(problem)
    plain, penalised = retraining.run(task, Retraining(Penalties(("dp",), (0.0, 2.0)), TRAINING), {})
    (alone,) = retraining.run(task, Retraining(Penalties(("dp",), (0.0,)), TRAINING), {})
    assert torch.equal(alone.score, plain.score)
    assert (plain.facts["constraint"], penalised.facts["strength"]) == (None, 2.0)

    def gap(result: Result) -> torch.Tensor:
        logits = torch.cat([torch.zeros_like(result.score), result.score.logit()], dim=-1).unsqueeze(1)
        y, s = problem.examples.y[problem.test], problem.examples.s[problem.test]
        return penalty(logits, y, s, constraint="dp", groups=2).squeeze(1)

    assert (gap(penalised) < 0.7 * gap(plain)).all()
