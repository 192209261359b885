"""Networks whose channels gates have closed leave as smaller ones with the outputs of the gated ones."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from counterpoise.errors import InputError
from counterpoise.nn.builders import ImageBuilder, PixelPerceptronBuilder, PlainConvBuilder, ResNetBuilder
from counterpoise.nn.compact import compact, describe, plain, rebuild
from counterpoise.nn.costs import cost, shrink
from counterpoise.nn.folding import folded
from counterpoise.nn.gates import activation_sizes, forward
from counterpoise.nn.networks import SingleNetwork

EDGE = 16
BUILDERS: dict[str, ImageBuilder] = {
    "plain": PlainConvBuilder(outputs=4, seeds=(0,), widths=(8, 16, 8), kernel=3, strides=(1, 2, 1), accelerated=False),
    "resnet": ResNetBuilder(outputs=4, seeds=(0,), width=8, accelerated=False),
    "resnet_pooled": ResNetBuilder(outputs=1, seeds=(0,), width=8, pooled=True, accelerated=False),
    "pixels": PixelPerceptronBuilder(outputs=4, seeds=(0,), inputs=3 * EDGE**2, widths=(12, 11, 10), accelerated=False),
}


@pytest.fixture(params=BUILDERS)
def network(request: pytest.FixtureRequest, generator: torch.Generator) -> SingleNetwork:
    return trained(request.param, generator)


def trained(kind: str, generator: torch.Generator) -> SingleNetwork:
    """Return a network with statistics, scales and shifts as training leaves them."""
    made = BUILDERS[kind]()
    assert isinstance(made, SingleNetwork)
    moved = {
        name: tensor + 0.3 * torch.rand(tensor.shape, generator=generator) * (-1 if name.endswith("mean") else 1)
        for name, tensor in made.state().items()
        if tensor.is_floating_point()
    }
    made.load(made.state() | moved)
    made.eval()
    return made


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randint(0, 256, (1, 12, 3, EDGE, EDGE), generator=generator, dtype=torch.uint8)


def opened(network: SingleNetwork, x: Tensor) -> list[Tensor]:
    return [torch.ones(size) for size in activation_sizes(network, x)]


def drawn(network: SingleNetwork, x: Tensor, seed: int) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Return channels, half of which are closed, and the last layer's weights, half of which are 0."""
    generator = torch.Generator().manual_seed(seed)
    channels = [(torch.rand(len(gates), generator=generator) < 0.5).float() for gates in opened(network, x)]
    last = network.maskable()[-1]
    weight = network.weights()[last]
    return channels, {last: weight * (torch.rand(weight.shape, generator=generator) < 0.5)}


@torch.no_grad()
def small(
    network: SingleNetwork, x: Tensor, channels: list[Tensor], weights: dict[str, Tensor] | None = None
) -> nn.Module:
    """Return the compact module after checking that it says what the gated network says."""
    said = forward(network, x, weights, channels).logits[0]
    network.load(folded(network, x, weights, channels))
    made = compact(network)
    assert torch.isfinite(said).all()
    torch.testing.assert_close(made(x[0].float()), said, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(x).logits[0], said, rtol=1e-4, atol=1e-5)
    assert not any(part.training for part in made.modules())
    return made


def layers(module: nn.Module) -> Iterator[tuple[str, int]]:
    """Name the layers with the number of their outputs."""
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            yield name.removeprefix("1."), part.weight.shape[0]


class TestNothingClosed:
    def test_nothing_is_cut_out_to_the_bit(self, network: SingleNetwork, x: Tensor) -> None:
        before = plain(network)
        made = small(network, x, opened(network, x))
        assert torch.equal(made(x[0].float()), before(x[0].float()))
        assert dict(layers(made)) == dict(layers(before))
        assert made.state_dict().keys() == before.state_dict().keys()
        assert all(torch.equal(tensor, before.state_dict()[name]) for name, tensor in made.state_dict().items())

    def test_the_network_itself_is_left_alone(self, network: SingleNetwork, x: Tensor) -> None:
        before = network.copied()
        channels, weights = drawn(network, x, 0)
        folded(network, x, weights, channels)
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state().items())
        assert not any(part._forward_hooks for part in network.module.modules())


class TestChannels:
    @pytest.mark.parametrize("seed", range(3))
    def test_any_gates(self, seed: int, network: SingleNetwork, x: Tensor) -> None:
        channels, weights = drawn(network, x, seed)
        before = cost(plain(network), x[0].float())
        after = cost(small(network, x, channels, weights), x[0].float())
        assert after.parameters < 0.8 * before.parameters
        assert after.macs < 0.8 * before.macs

    def test_of_plain_networks_what_is_closed_goes_and_nothing_else(
        self, x: Tensor, generator: torch.Generator
    ) -> None:
        network = trained("plain", generator)
        channels, _ = drawn(network, x, 5)
        made = dict(layers(small(network, x, channels)))
        assert made == {**{f"conv{i}": int(gates.sum()) for i, gates in enumerate(channels, 1)}, "fc": 4}

    def test_of_perceptrons_too(self, x: Tensor, generator: torch.Generator) -> None:
        network = trained("pixels", generator)
        channels, _ = drawn(network, x, 5)
        made = dict(layers(small(network, x, channels)))
        assert made == {**{f"linear{i}": int(gates.sum()) for i, gates in enumerate(channels, 1)}, "fc": 4}

    def test_of_residual_networks_what_is_inside_blocks(self, x: Tensor, generator: torch.Generator) -> None:
        """Activations are those of the stem and, of each block, one inside and one after the addition."""
        network = trained("resnet", generator)
        channels, _ = drawn(network, x, 5)
        before = dict(layers(plain(network)))
        made = dict(layers(small(network, x, channels)))
        blocks = [f"layer{stage}.{block}.conv1" for stage in range(1, 5) for block in range(2)]
        assert made == before | {name: int(gates.sum()) for name, gates in zip(blocks, channels[1::2], strict=True)}

    def test_filters_of_the_last_layer_that_nobody_reads_go(self, x: Tensor, generator: torch.Generator) -> None:
        network = trained("plain", generator)
        weight = network.weights()["fc.weight"].clone()
        weight[:, :, [0, 3]] = 0
        assert dict(layers(small(network, x, [], {"fc.weight": weight})))["conv3"] == 6

    def test_features_are_those_of_the_gated_network(self, network: SingleNetwork, x: Tensor) -> None:
        """The last activation is closed but for one channel; in residual networks that is after an addition."""
        channels = opened(network, x)
        channels[-1][1:] = 0
        with torch.no_grad():
            said = forward(network, x, None, channels).features
            network.load(folded(network, x, None, channels))
            found = network(x).features
        assert torch.equal(found, said)
        assert (found[..., 1:] == 0).all()
        assert found[..., 0].any()


class TestWhollyClosed:
    def test_each_layer_in_turn(self, network: SingleNetwork, x: Tensor) -> None:
        """All images are then the same to what comes after, unless they have a way around."""
        whole = network.copied()
        for position, gates in enumerate(opened(network, x)):
            channels = opened(network, x)
            channels[position] = torch.zeros_like(gates)
            network.load(whole)
            made = small(network, x, channels)
            assert all(size >= 1 for _, size in layers(made))
            assert torch.isfinite(made(x[0].float())).all()

    @pytest.mark.parametrize("kind", ["plain", "pixels"])
    def test_what_comes_before_shrinks_to_one_unit_a_layer(
        self, kind: str, x: Tensor, generator: torch.Generator
    ) -> None:
        network = trained(kind, generator)
        channels = opened(network, x)
        channels[-1][:] = 0
        made = small(network, x, channels)
        *hidden, (_, outputs) = layers(made)
        assert [size for _, size in hidden] == [1, 1, 1]
        assert torch.equal(made(x[0].float()), network.state()["fc.bias"].expand(x.shape[1], outputs))

    def test_everything(self, network: SingleNetwork, x: Tensor) -> None:
        made = small(network, x, [torch.zeros_like(gates) for gates in opened(network, x)])
        assert torch.equal(made(x[0].float()), network.state()["fc.bias"].expand(x.shape[1], -1))


def test_modules_come_back_from_their_descriptions(network: SingleNetwork, x: Tensor) -> None:
    made = small(network, x, *drawn(network, x, 1))
    before = torch.get_rng_state()
    again = rebuild(json.loads(json.dumps(describe(made))), made.state_dict())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(again(x[0].float()), made(x[0].float()))
    assert dict(layers(again)) == dict(layers(made))


def test_what_it_saves_is_measured(network: SingleNetwork, x: Tensor) -> None:
    channels, weights = drawn(network, x, 2)
    full = cost(plain(network), x[0].float())
    network.load(folded(network, x, weights, channels))
    saving = shrink(network, x, name="ffw_structured, seed 0", repeats=1)
    assert (saving.before.parameters, saving.before.macs) == (full.parameters, full.macs)
    assert saving.compared == x.shape[1]


class TestBadGates:
    def test_half_open(self, network: SingleNetwork, x: Tensor) -> None:
        channels = opened(network, x)
        channels[1][2] = 0.5
        with pytest.raises(InputError, match=r"gates: one after '.*' is half open, expected 0 or 1"):
            folded(network, x, None, channels)

    def test_too_few(self, network: SingleNetwork, x: Tensor) -> None:
        with pytest.raises(InputError, match=r"gates: there are 1 sets of channels, expected \d+: one per ReLU"):
            folded(network, x, None, opened(network, x)[:1])

    def test_of_another_network(self, network: SingleNetwork, x: Tensor) -> None:
        channels = opened(network, x)
        channels[0] = torch.ones(99)
        with pytest.raises(InputError, match=r"have shape \[99\], expected \[\d+\]"):
            folded(network, x, None, channels)

    def test_nothing_in_front_that_could_close_them(self, x: Tensor) -> None:
        module = nn.Sequential()
        module.add_module("conv1", nn.Conv2d(3, 4, 3))
        module.add_module("relu1", nn.ReLU())
        module.add_module("pool", nn.AdaptiveAvgPool2d(1))
        module.add_module("flatten", nn.Flatten())
        module.add_module("fc", nn.Linear(4, 2))
        network = SingleNetwork(module, head="fc", mean=(0.5,) * 3, std=(0.5,) * 3)
        with pytest.raises(InputError, match="ReLU 1 follows no batch norm and no linear layer"):
            folded(network, x, None, [torch.ones(4)])
