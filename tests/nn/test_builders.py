"""Builders always make the same networks, and each is its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from counterpoise.nn.builders import ResNetBuilder
from counterpoise.nn.random import generator

BUILD = ResNetBuilder(outputs=3, seeds=(4,), width=4, accelerated=False)


def test_a_network_that_is_built_again_is_the_same_and_shares_nothing() -> None:
    before = torch.get_rng_state()
    one, other, wider, another = BUILD(), BUILD(), BUILD(5), replace(BUILD, seeds=(5,))()
    assert torch.equal(torch.get_rng_state(), before), "the global generator is put back"
    torch.manual_seed(generator(4, "initial weights").initial_seed())
    drawn = BUILD.module(3).state_dict()
    torch.set_rng_state(before)
    assert all(torch.equal(tensor[0], drawn[name]) for name, tensor in one.state().items())
    assert wider.state()["fc.weight"].shape[1] == 5
    assert not torch.equal(another.state()["conv1.weight"], one.state()["conv1.weight"])
    for parameter in one.parameters():
        parameter.data.zero_()
    assert all(torch.equal(tensor[0], drawn[name]) for name, tensor in other.state().items())
    assert all(torch.equal(tensor[0], drawn[name]) for name, tensor in BUILD().state().items())


def test_weights_of_a_file_are_read_whenever_a_network_is_built(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    build = replace(BUILD, weights=str(path))
    for value in (0.25, 0.5):
        save_file({name: torch.full_like(tensor, value) for name, tensor in BUILD.module(7).state_dict().items()}, path)
        state = build().state()
        assert (state["layer1.0.conv1.weight"] == value).all()
        assert not (state["fc.weight"] == value).all(), "the last layer is not taken"
