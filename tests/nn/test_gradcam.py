"""Heat maps of networks of which it is known where they look, and beside formulations that differ."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from counterpoise.nn.builders import PixelPerceptronBuilder, PlainConvBuilder, ResNetBuilder
from counterpoise.nn.gradcam import explained, grad_cam, input_gradients, method_for
from counterpoise.nn.networks import SingleNetwork

EDGE = 8


def looking_at_red(*, outputs: int = 2) -> SingleNetwork:
    """Two maps, where the image is red and where it is blue; class 1 is for red and against blue, class 0 reverse."""
    conv, fc = nn.Conv2d(3, 2, 1, bias=False), nn.Linear(2, outputs)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0], conv.weight[1, 2] = 1.0, 1.0
        fc.weight.copy_(torch.tensor([[-2.0, 3.0], [2.0, -3.0]])[2 - outputs :])
    module = nn.Sequential()
    for name, part in (("conv1", conv), ("relu1", nn.ReLU()), ("pool", nn.AdaptiveAvgPool2d(1))):
        module.add_module(name, part)
    module.add_module("flatten", nn.Flatten())
    module.add_module("fc", fc)
    return SingleNetwork(module, head="fc", mean=(0.0,) * 3, std=(1 / 255,) * 3).eval()


@pytest.fixture
def corners() -> Tensor:
    """Red in the upper left corner, blue in the lower right one."""
    images = torch.zeros(1, 1, 3, EDGE, EDGE, dtype=torch.uint8)
    images[..., 0, :2, :3] = 200
    images[..., 2, -2:, -3:] = 100
    return images


class TestKnownNetworks:
    @pytest.mark.parametrize("outputs", [1, 2])
    def test_all_heat_is_where_the_score_comes_from(self, outputs: int, corners: Tensor) -> None:
        """Red speaks for class 1 and blue against it: where the gradient is negative there is none."""
        heat = explained(looking_at_red(outputs=outputs), corners, torch.tensor([1]))[0]
        expected = torch.zeros(EDGE, EDGE)
        expected[:2, :3] = 200 * 2 / EDGE**2
        torch.testing.assert_close(heat, expected)

    @pytest.mark.parametrize("outputs", [1, 2])
    def test_the_other_class_looks_elsewhere(self, outputs: int, corners: Tensor) -> None:
        heat = explained(looking_at_red(outputs=outputs), corners, torch.tensor([0]))[0]
        expected = torch.zeros(EDGE, EDGE)
        expected[-2:, -3:] = 100 * 3 / EDGE**2
        torch.testing.assert_close(heat, expected)

    def test_nothing_speaks_for_a_class_that_is_only_spoken_against(self, corners: Tensor) -> None:
        only_red = corners.clone()
        only_red[:, :, 2] = 0
        assert (explained(looking_at_red(), only_red, torch.tensor([0])) == 0).all()

    def test_images_do_not_see_each_other(self, corners: Tensor) -> None:
        both = torch.cat([corners, corners.flip(-1)], dim=1)
        network, classes = looking_at_red(), torch.tensor([1, 0])
        apart = [explained(network, both[:, i : i + 1], classes[i : i + 1]) for i in range(2)]
        assert torch.equal(explained(network, both, classes), torch.cat(apart))

    def test_input_gradients_of_a_linear_network_are_its_weights(self, generator: torch.Generator) -> None:
        network = PixelPerceptronBuilder(outputs=3, seeds=(0,), inputs=3 * 4 * 4, widths=(5,), accelerated=False)()
        assert isinstance(network, SingleNetwork)
        state = network.copied()
        state["linear1.bias"][:] = 1e4  # far from where the ReLU bends
        network.load(state)
        weight = (state["fc.weight"][0, 2] @ state["linear1.weight"][0]).view(3, 4, 4)
        images = torch.randint(0, 256, (1, 2, 3, 4, 4), generator=generator, dtype=torch.uint8)
        assert method_for(network) == "input_gradients"
        expected = (weight / network.std.view(3, 1, 1)).abs().amax(dim=0)
        torch.testing.assert_close(explained(network, images, torch.tensor([2, 2])), expected.expand(2, 4, 4))


class TestOtherFormulations:
    def test_of_averaged_maps_grad_cam_is_the_class_activation_map(self, generator: torch.Generator) -> None:
        """Selvaraju et al., Section 3.1: behind a global average α_c is the last layer's weight over the places."""
        network = PlainConvBuilder(outputs=3, seeds=(0,), widths=(8,), kernel=3, strides=(1,), accelerated=False)()
        assert isinstance(network, SingleNetwork)
        images = torch.randint(0, 256, (1, 4, 3, EDGE, EDGE), generator=generator, dtype=torch.uint8)
        y = torch.tensor([0, 2, 1, 2])
        network.eval()
        with torch.no_grad():
            maps = network.module[:3]((images[0] - network.mean) / network.std)
            weight = network.state()["fc.weight"][0, y]
        expected = torch.einsum("bc,bchw->bhw", weight / EDGE**2, maps).clamp(min=0)
        assert (expected > 0).any()
        assert (expected == 0).any()
        torch.testing.assert_close(explained(network, images, y), expected)

    def test_the_gradient_is_that_of_the_score(self, generator: torch.Generator) -> None:
        """A head that is not linear, beside derivatives of each image's score by itself."""
        first, second = torch.randn(2, 6, 6, generator=generator, dtype=torch.float64)

        def head(maps: Tensor) -> Tensor:
            return torch.tanh(maps.amax(dim=(-2, -1)) @ first + maps.square().mean(dim=(-2, -1)) @ second).sum(dim=-1)

        maps = torch.rand(3, 6, 4, 5, generator=generator, dtype=torch.float64)
        found = grad_cam(head(leaf := maps.clone().requires_grad_()), leaf)
        for own, heat in zip(maps, found, strict=True):
            gradient = torch.func.grad(head)(own)
            each = [gradient[c].sum() / 20 * own[c] for c in range(6)]
            torch.testing.assert_close(heat, torch.stack(each).sum(dim=0).maximum(torch.zeros(())))

    def test_input_gradients_are_those_of_small_changes(self, generator: torch.Generator) -> None:
        x = torch.rand(2, 3, 2, 2, generator=generator, dtype=torch.float64)

        def score(image: Tensor) -> Tensor:
            return (image.sin() * image.flip(0)).sum()

        leaf = x.clone().requires_grad_()
        found = input_gradients(torch.stack([score(own) for own in leaf]), leaf)
        step = 1e-6
        for image, heat in zip(x, found, strict=True):
            moved = torch.zeros(3, 2, 2, dtype=torch.float64)
            for place in torch.cartesian_prod(torch.arange(3), torch.arange(2), torch.arange(2)).tolist():
                up, down = image.clone(), image.clone()
                up[tuple(place)] += step
                down[tuple(place)] -= step
                moved[tuple(place)] = (score(up) - score(down)) / (2 * step)
            torch.testing.assert_close(heat, moved.abs().amax(dim=0), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("pooled", [True, False])
def test_the_network_is_left_as_it_was(pooled: bool, generator: torch.Generator) -> None:
    network = ResNetBuilder(outputs=3, seeds=(0,), width=8, pooled=pooled, accelerated=False)()
    assert isinstance(network, SingleNetwork)
    network.train()
    before = network.copied()
    images = torch.randint(0, 256, (1, 2, 3, 32, 32), generator=generator, dtype=torch.uint8)
    with torch.no_grad():  # as nodes of pipelines may run
        heat = explained(network, images, torch.tensor([1, 2]))
    assert method_for(network) == "grad_cam"
    assert heat.shape == (2, 32, 32)
    assert (heat >= 0).all()
    assert not heat.requires_grad
    assert network.training
    assert not any(
        part._forward_pre_hooks for part in network.module.modules() if isinstance(part, nn.AdaptiveAvgPool2d)
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state().items())
    assert all(parameter.grad is None for parameter in network.parameters())
