"""What trainings of whole networks have in common."""

from __future__ import annotations

from collections.abc import Callable

import torch

from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import under
from counterpoise.methods.tuning import features_of, restore, states_of
from counterpoise.nn import generators
from counterpoise.nn.networks import evaluate


def test_features_are_counted_where_the_last_layer_sees_them(
    unfair: Callable[..., Problem], unfair_images: Callable[..., Problem]
) -> None:
    for problem in (unfair(), unfair_images()):
        network = problem.network()
        last = network.weights()[network.maskable()[-1]]
        count = features_of(network, problem.examples, problem.pretrain)
        assert count == last.shape[-1] == evaluate(network, problem.examples, problem.test).features.shape[-1]


def test_a_part_of_a_state_is_what_stands_under_its_name() -> None:
    one, two, three = (torch.tensor(float(number)) for number in range(3))
    assert under("m", {"m.a": one, "mm.a": two, "m.m.a": three}) == {"a": one, "m.a": three}


def test_generators_go_on_where_they_were() -> None:
    drawn = generators([0, 1], "noise")
    before = [torch.rand(2, generator=generator) for generator in drawn]
    state = states_of("noise", drawn)
    after = [torch.rand(2, generator=generator) for generator in drawn]
    restore("noise", state, drawn)
    for first, second, generator in zip(before, after, drawn, strict=True):
        assert torch.equal(torch.rand(2, generator=generator), second)
        assert not torch.equal(first, second)
