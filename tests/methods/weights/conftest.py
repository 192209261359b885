"""What methods are handed that come after a discovery of masks, or after a repair."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, prefixed
from counterpoise.nn import generators
from counterpoise.nn.networks import State

Earlier = dict[str, list[Result]]


@pytest.fixture(scope="session")
def after_masks() -> Callable[..., Earlier]:
    """Make what comes of a discovery whose masks leave out three weights in ten, drawn by the seeds and a purpose."""

    def draw(problem: Problem, purpose: str = "") -> Earlier:
        masks = {
            name: torch.stack(
                [torch.rand(weight.shape[1:], generator=own) > 0.3 for own in generators(problem.seeds, purpose + name)]
            )
            for name, weight in problem.network().weights().items()
        }
        return earlier(problem, "mask_only", prefixed("masks", masks))

    return draw


@pytest.fixture(scope="session")
def after_repair() -> Callable[[Problem, State], Earlier]:
    """Make what comes of a repair that leaves networks in a state."""
    return lambda problem, state: earlier(problem, "repair", prefixed("network", state))


def earlier(problem: Problem, name: str, tensors: State) -> Earlier:
    """Return a method's only result, of which nothing but the tensors is looked at."""
    score = torch.zeros(*problem.test.shape, 1)
    return {name: [Result(name, score, score.squeeze(-1).long(), tensors=tensors)]}
