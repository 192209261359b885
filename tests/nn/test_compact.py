"""Small plain modules: the outputs of the pruned network, without what is wholly pruned."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from torch import Tensor, nn

from counterpoise.nn import generators
from counterpoise.nn.builders import ResNetBuilder
from counterpoise.nn.compact import compact, describe, plain, rebuild
from counterpoise.nn.costs import cost
from counterpoise.nn.networks import Masks, Networks, StackedNetwork, masked

D, WIDTHS = 6, (10, 9, 8)


def moved(network: Networks, generator: torch.Generator) -> Networks:
    """Give a network statistics, scales and shifts as training leaves them."""
    state = {
        name: tensor if not tensor.is_floating_point() else tensor + 0.3 * torch.rand(tensor.shape, generator=generator)
        for name, tensor in network.state().items()
    }
    for name, tensor in state.items():
        if "running_var" in name:
            tensor[..., ::3] *= 0.05  # some units hardly vary: what is added to the variance counts
    network.load(state)
    return network.eval()


@pytest.fixture
def stacked(generator: torch.Generator) -> Networks:
    mean, scale = (torch.rand(2, D, generator=generator) + 1 for _ in range(2))
    seeds = generators([0, 1], "weights")
    return moved(StackedNetwork([D, *WIDTHS, 2], generators=seeds, dropout=0.2, mean=mean, scale=scale), generator)


@pytest.fixture
def single(generator: torch.Generator) -> Networks:
    return moved(ResNetBuilder(outputs=3, seeds=(0,), width=4, accelerated=False)(), generator)


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


def returned(module: nn.Module, x: Tensor) -> nn.Module:
    """Return the module as it comes back from a file, after checking that it says the same."""
    again = rebuild(json.loads(json.dumps(describe(module))), module.state_dict())
    assert torch.equal(again(x), module(x))
    return again


class TestRebuilt:
    @pytest.mark.parametrize("standardized", [True, False])
    @pytest.mark.parametrize("normalized", [True, False])
    @pytest.mark.parametrize("hidden", [WIDTHS, ()])
    def test_perceptrons_say_the_same(
        self, standardized: bool, normalized: bool, hidden: tuple[int, ...], generator: torch.Generator
    ) -> None:
        statistics = torch.rand(2, 1, D, generator=generator) + 1
        given = dict(zip(("mean", "scale"), statistics, strict=True)) if standardized else {}
        seeds = generators([7], "weights")
        made = moved(StackedNetwork([D, *hidden, 3], generators=seeds, normalized=normalized, **given), generator)
        masks = ones(made)
        masks["weight0"][0, :2] = False
        module = compact(made, 0, masked(made.weights(), masks))
        assert sizes(returned(module, torch.randn(9, D, generator=generator))) == sizes(module)

    @pytest.mark.parametrize("pooled", [True, False])
    def test_networks_of_images_too_and_nothing_is_drawn(self, pooled: bool, generator: torch.Generator) -> None:
        made = moved(ResNetBuilder(outputs=3, seeds=(0,), width=4, pooled=pooled, accelerated=False)(), generator)
        masks = ones(made)
        masks["layer2.0.conv2.weight"][0, :, [1, 6]] = False
        masks["layer4.1.conv2.weight"][:] = False
        module = compact(made, 0, masked(made.weights(), masks))
        before = torch.get_rng_state()
        again = returned(module, torch.rand(2, 3, 32, 32, generator=generator) * 255)
        assert channels(again) == channels(module)
        assert torch.equal(torch.get_rng_state(), before)

    def test_a_state_of_other_sizes_is_refused(self, stacked: Networks) -> None:
        module = plain(stacked)
        with pytest.raises(RuntimeError, match="size mismatch"):
            rebuild(describe(module) | {"widths": [D, 9, 9, 8, 2]}, module.state_dict())
