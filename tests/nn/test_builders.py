"""Builders always make the same networks, and each is its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision import models

from counterpoise.errors import InputError
from counterpoise.nn.builders import InitialWeights, ResNetBuilder, resnet18
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


def test_published_weights_are_taken_but_for_the_last_layer_and_must_fit() -> None:
    state = {name: torch.full_like(tensor, 0.25) for name, tensor in BUILD.module(7).state_dict().items()}
    drawn, built = (replace(BUILD, weights=weights)().state() for weights in (None, InitialWeights("a.pth", state)))
    assert (built["layer1.0.conv1.weight"] == 0.25).all()
    assert torch.equal(built["fc.weight"], drawn["fc.weight"])
    wider = InitialWeights("a.pth", replace(BUILD, width=8).module(3).state_dict())
    with pytest.raises(InputError, match=r"a\.pth: does not fit a ResNet-18 at 'bn1\.weight', expected weights of the"):
        replace(BUILD, weights=wider)()


@pytest.mark.parametrize("pooled", [False, True])
def test_a_resnet_of_the_published_width_is_torchvisions(pooled: bool) -> None:
    ours, theirs = resnet18(10, 64, pooled=pooled), models.resnet18(num_classes=10)
    if not pooled:
        theirs.conv1, theirs.maxpool = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False), torch.nn.Identity()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours.eval()(x), theirs.eval()(x))
