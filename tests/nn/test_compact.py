"""Small plain modules: the outputs of the pruned network, without what is wholly pruned."""

from __future__ import annotations

import pickle
import time

import pytest
import torch
from torch import Tensor, nn

from counterpoise.nn import generators
from counterpoise.nn.builders import ResNetBuilder
from counterpoise.nn.compact import compact, cost, latency, plain
from counterpoise.nn.networks import Masks, Networks, StackedNetwork, masked

D, WIDTHS = 6, (10, 9, 8)


def moved(network: Networks, generator: torch.Generator) -> Networks:
    """Give a network statistics, scales and shifts as training leaves them."""
    state = {
        name: tensor if not tensor.is_floating_point() else tensor + 0.3 * torch.rand(tensor.shape, generator=generator)
        for name, tensor in network.state().items()
    }
    network.load(state)
    return network.eval()


@pytest.fixture
def stacked(generator: torch.Generator) -> Networks:
    mean, scale = (torch.rand(2, D, generator=generator) + 1 for _ in range(2))
    seeds = generators([0, 1], "weights")
    return moved(StackedNetwork([D, *WIDTHS, 2], generators=seeds, dropout=0.2, mean=mean, scale=scale), generator)


@pytest.fixture
def single(generator: torch.Generator) -> Networks:
    return moved(ResNetBuilder(3, (0,), width=4, accelerated=False)(), generator)


def ones(network: Networks) -> dict[str, Tensor]:
    return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in network.weights().items()}


def same(network: Networks, masks: Masks, generator: torch.Generator, replicate: int = 0) -> nn.Module:
    """Return the compact module after checking that it says what the masked network says."""
    weights = masked(network.weights(), masks)
    shape = (D,) if isinstance(network, StackedNetwork) else (3, 8, 8)
    x = torch.randn(network.replicates, 16, *shape, generator=generator)
    x = x if len(shape) == 1 else (x * 60 + 128).clamp(0, 255).to(torch.uint8)
    with torch.no_grad():
        expected = network(x, weights).logits[replicate]
        for module in (plain(network, replicate, weights), small := compact(network, replicate, weights)):
            torch.testing.assert_close(module(x[replicate].float()), expected, rtol=1e-5, atol=1e-5)
            assert not any(part.training for part in module.modules())
    return small


def sizes(module: nn.Module) -> list[tuple[int, int]]:
    return [(part.in_features, part.out_features) for part in module.modules() if isinstance(part, nn.Linear)]


def channels(module: nn.Module) -> dict[str, int]:
    return {name: part.out_channels for name, part in module.named_modules() if isinstance(part, nn.Conv2d)}


class TestPerceptron:
    def test_nothing_pruned_nothing_cut_out(self, stacked: Networks, generator: torch.Generator) -> None:
        module = same(stacked, ones(stacked), generator, replicate=1)
        assert sizes(module) == [(6, 10), (10, 9), (9, 8), (8, 2)]

    def test_units_without_input_become_biases(self, stacked: Networks, generator: torch.Generator) -> None:
        """Two of ten are empty in replicate 1; in the other one all stay."""
        masks = ones(stacked)
        masks["weight0"][1, [2, 7]] = False
        assert sizes(same(stacked, masks, generator, 1)) == [(6, 8), (8, 9), (9, 8), (8, 2)]
        assert sizes(same(stacked, masks, generator, 0)) == [(6, 10), (10, 9), (9, 8), (8, 2)]

    def test_units_that_nobody_reads_go(self, stacked: Networks, generator: torch.Generator) -> None:
        masks = ones(stacked)
        masks["weight2"][0, :, :4] = False
        assert sizes(same(stacked, masks, generator)) == [(6, 10), (10, 5), (5, 8), (8, 2)]

    def test_what_only_they_read_goes_too(self, stacked: Networks, generator: torch.Generator) -> None:
        """Unit 3 of the second layer is not read, and alone reads unit 0 of the first."""
        masks = ones(stacked)
        masks["weight2"][0, :, 3] = False
        masks["weight1"][0, :, 0] = False
        masks["weight1"][0, 3, 0] = True
        assert sizes(same(stacked, masks, generator)) == [(6, 9), (9, 8), (8, 8), (8, 2)]

    def test_what_reads_only_constants_is_constant(self, stacked: Networks, generator: torch.Generator) -> None:
        masks = ones(stacked)
        masks["weight0"][0, 5] = False
        masks["weight1"][0, 4] = False
        masks["weight1"][0, 4, 5] = True
        assert sizes(same(stacked, masks, generator)) == [(6, 9), (9, 8), (8, 8), (8, 2)]

    @pytest.mark.parametrize("layer", range(4))
    def test_a_layer_pruned_entirely_leaves_a_constant(
        self, layer: int, stacked: Networks, generator: torch.Generator
    ) -> None:
        masks = ones(stacked)
        masks[f"weight{layer}"][:] = False
        module = same(stacked, masks, generator)
        assert all(size >= 1 for pair in sizes(module) for size in pair)
        assert cost(module, torch.zeros(1, D)).macs < 30

    @pytest.mark.parametrize("seed", range(5))
    def test_any_mask(self, seed: int, stacked: Networks) -> None:
        drawn = torch.Generator().manual_seed(seed)
        masks = {name: torch.rand(mask.shape, generator=drawn) < 0.2 for name, mask in ones(stacked).items()}
        module = same(stacked, masks, drawn, seed % 2)
        assert cost(module, torch.zeros(1, D)).parameters < cost(plain(stacked), torch.zeros(1, D)).parameters

    def test_without_batch_norm_and_standardisation(self, generator: torch.Generator) -> None:
        network = StackedNetwork([D, *WIDTHS, 1], generators=generators([4], "weights"), normalized=False)
        masks = ones(network)
        masks["weight1"][0, :5] = False
        assert sizes(same(network.eval(), masks, generator)) == [(6, 10), (10, 4), (4, 8), (8, 1)]


class TestResNet:
    def test_nothing_pruned_nothing_cut_out(self, single: Networks, generator: torch.Generator) -> None:
        assert channels(same(single, ones(single), generator)) == channels(plain(single))

    def test_filters_that_nobody_reads_go(self, single: Networks, generator: torch.Generator) -> None:
        masks = ones(single)
        masks["layer2.0.conv2.weight"][0, :, [1, 6]] = False
        made, before = channels(same(single, masks, generator)), channels(plain(single))
        assert {name: (before[name], made[name]) for name in made if made[name] != before[name]} == {
            "1.layer2.0.conv1": (8, 6)
        }

    def test_empty_filters_go_where_they_say_zero(self, single: Networks, generator: torch.Generator) -> None:
        """Filter 0 says 0 everywhere; filter 1 a positive number, which the padding around it is not."""
        state = single.copied()
        state["layer1.1.bn1.bias"][0, :2] = torch.tensor([-5.0, 5.0])
        single.load(state)
        masks = ones(single)
        masks["layer1.1.conv1.weight"][0, :2] = False
        made = channels(same(single, masks, generator))
        assert made["1.layer1.1.conv1"] == 3

    def test_an_empty_block_keeps_a_filter(self, single: Networks, generator: torch.Generator) -> None:
        masks = ones(single)
        masks["layer3.0.conv2.weight"][:] = False
        assert channels(same(single, masks, generator))["1.layer3.0.conv1"] == 1

    def test_the_network_itself_is_left_alone(self, single: Networks, generator: torch.Generator) -> None:
        before = single.copied()
        masks = ones(single)
        masks["layer2.0.conv2.weight"][0, :, 1] = False
        module = same(single, masks, generator)
        pickle.dumps(module)  # nothing of the network hangs on to it
        assert not any(part._forward_pre_hooks for part in module.modules())
        assert all(torch.equal(tensor, before[name]) for name, tensor in single.state().items())


def test_costs_of_known_layers() -> None:
    """A convolution of 3 × 3 × 2 for 4 filters at 6 × 6 places, half of them zero, then 4 numbers to 5."""
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    ).eval()
    with torch.no_grad():
        module[0].weight[:2] = 0
    found = cost(module, torch.randn(3, 2, 8, 8))
    assert found.macs == 4 * 36 * 18 + 20
    assert found.parameters == 72 + 8 + 25
    assert found.nonzero == 36 + 4 + 25  # batch norm's shifts are zero
    assert not module[0]._forward_hooks


def test_latency_is_the_median_of_a_pass() -> None:
    class Waits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.passes = 0

        def forward(self, x: Tensor) -> Tensor:
            self.passes += 1
            time.sleep(0.1 if self.passes <= 3 or self.passes == 6 else 0.002)  # a slow start, and one interruption
            return x

    module = Waits()
    assert 0.002 <= latency(module, torch.zeros(1), repeats=5) < 0.05
    assert module.passes == 8
