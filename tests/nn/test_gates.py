"""Gates against the surrogate they promise, on every kind of network that can have some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from counterpoise.errors import InputError
from counterpoise.nn import generators
from counterpoise.nn.builders import PixelPerceptronBuilder, PlainConvBuilder, ResNetBuilder
from counterpoise.nn.gates import activation_sizes, activations, forward, gate, gated_channels
from counterpoise.nn.networks import SingleNetwork, StackedNetwork

SIDE, CLASSES, B = 8, 3, 6
BUILDERS: dict[str, Callable[[], SingleNetwork]] = {
    "plain": PlainConvBuilder(  # type: ignore[dict-item]
        outputs=CLASSES, seeds=(3,), widths=(8, 16), kernel=3, strides=(1, 2), accelerated=False
    ),
    "resnet": ResNetBuilder(outputs=CLASSES, seeds=(3,), width=4, accelerated=False),  # type: ignore[dict-item]
    "perceptron": PixelPerceptronBuilder(  # type: ignore[dict-item]
        outputs=CLASSES, seeds=(3,), inputs=3 * SIDE * SIDE, widths=(10, 7), accelerated=False
    ),
}
WIDTHS = {"plain": [8, 16], "resnet": [4, *[4] * 4, *[8] * 4, *[16] * 4, *[32] * 4], "perceptron": [10, 7]}
"""Channels after each activation; a ResNet's block has two, which are one module."""


def made(kind: str) -> SingleNetwork:
    """A network with statistics of its own, as it is frozen."""
    network = BUILDERS[kind]()
    drawn = torch.Generator().manual_seed(1)
    state = network.copied()
    for name, tensor in state.items():
        if name.endswith(("running_mean", "running_var")):
            state[name] = torch.rand(tensor.shape, generator=drawn) + (0.5 if name.endswith("var") else -0.3)
        elif tensor.shape[1:] and tensor.ndim == 2 and f"{name.rpartition('.')[0]}.running_var" in state:
            state[name] = torch.rand(tensor.shape, generator=drawn) - (0.4 if name.endswith("bias") else -0.5)
    network.load(state)
    return network.eval()


@pytest.fixture
def images(generator: torch.Generator) -> Tensor:
    return torch.randint(0, 256, (1, B, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def opened(shapes: Sequence[torch.Size | tuple[int, ...]], low: float = -1.0) -> list[Tensor]:
    drawn = torch.Generator().manual_seed(2)
    return [torch.rand(shape, generator=drawn) * (1.0 - low) + low for shape in shapes]


def by_the_text(m: Tensor, temperature: float) -> Tensor:
    """min(2 σ(m/τ), 1) whose derivative is that of 2 σ(m/τ), with what autograd knows (METHODS.md part 3, 3)."""
    open_beyond = 2 / (1 + (-m / temperature).exp())
    return open_beyond + (open_beyond.clamp(max=1) - open_beyond).detach()


class TestAGate:
    def test_is_open_from_zero_on_and_falls_to_the_step_with_the_temperature(self) -> None:
        m = torch.tensor([-3.0, -0.1, -0.0, 0.0, 1e-6, 0.1, 3.0])
        assert torch.equal(gate(m, 1.0)[2:], torch.ones(5))
        assert gate(m, 1.0)[:2].tolist() == pytest.approx([2 / (1 + 2.718281828**3), 2 / (1 + 2.718281828**0.1)])
        step = (m >= 0).float()
        for warm, cold in pairwise([1.0, 0.3, 0.1, 0.01]):
            assert (gate(m, warm) >= gate(m, cold)).all()
            assert gate(m, warm)[1] > gate(m, cold)[1] or cold == 0.01
        torch.testing.assert_close(gate(m, 0.01), step, atol=1e-4, rtol=0)
        assert torch.equal(gate(m, 1.0, hard=True), step)

    @pytest.mark.parametrize("hard", [False, True])
    @pytest.mark.parametrize("temperature", [1.0, 0.25])
    def test_has_the_gradient_of_what_does_not_saturate(self, temperature: float, hard: bool) -> None:
        m = torch.linspace(-2, 2, 9, dtype=torch.float64, requires_grad=True)
        weight = torch.linspace(-1, 3, 9, dtype=torch.float64)
        (ours,) = torch.autograd.grad((gate(m, temperature, hard=hard) * weight).sum(), m)
        (theirs,) = torch.autograd.grad((by_the_text(m, temperature) * weight).sum(), m)
        torch.testing.assert_close(ours, theirs)
        assert (ours[weight != 0].sign() == weight[weight != 0].sign()).all(), "nowhere flat"
        below = m.detach()[m < 0].requires_grad_()  # where nothing is cut off, by differences
        assert torch.autograd.gradcheck(lambda own: gate(own, temperature), (below,)) or hard

    @pytest.mark.parametrize("temperature", [0.0, -0.5])
    def test_needs_a_temperature_above_zero(self, temperature: float) -> None:
        with pytest.raises(InputError, match=rf"gates: the temperature is {temperature:g}, expected a number above 0"):
            gate(torch.zeros(3), temperature)


@pytest.mark.parametrize("kind", BUILDERS)
class TestANetwork:
    @pytest.mark.parametrize("hard", [False, True])
    def test_at_zero_it_is_the_frozen_one_to_the_bit(self, kind: str, images: Tensor, hard: bool) -> None:
        network = made(kind)
        plain = network(images)
        weights = {name: own * gate(torch.zeros_like(own), 0.7, hard=hard) for name, own in network.weights().items()}
        channels = [gate(torch.zeros(width), 0.7, hard=hard) for width in WIDTHS[kind]]
        for found in (forward(network, images, weights), forward(network, images, weights, channels)):
            assert torch.equal(found.logits, plain.logits)
            assert torch.equal(found.features, plain.features)
        half = [own * 0.5 for own in channels]
        assert not torch.equal(forward(network, images, weights, half).logits, plain.logits)

    def test_activations_are_found_in_the_order_in_which_they_are_computed(self, kind: str, images: Tensor) -> None:
        network = made(kind).train()
        before = network.copied()
        assert activation_sizes(network, images) == WIDTHS[kind]
        assert network.training
        assert all(torch.equal(before[name], tensor) for name, tensor in network.state().items())
        assert all(not layer._forward_hooks for layer in activations(network)), "nothing is left behind"

    def test_closed_weights_are_as_if_they_were_zero(self, kind: str, images: Tensor) -> None:
        network, other = made(kind), made(kind)
        masks = {
            name: gate(m, 0.5, hard=True)
            for (name, own), m in zip(
                network.weights().items(), opened([own.shape for own in network.weights().values()]), strict=True
            )
        }
        assert all(set(mask.unique().tolist()) == {0.0, 1.0} for mask in masks.values())
        found = forward(network, images, {name: own * masks[name] for name, own in network.weights().items()})
        state = other.copied()
        for name, mask in masks.items():
            state[name][mask == 0] = 0
        other.load(state)
        assert torch.equal(found.logits, other(images).logits)
        assert torch.equal(found.features, other(images).features)

    def test_closed_channels_say_nothing_to_what_comes_after(self, kind: str, images: Tensor) -> None:
        """After the activation: what follows sees zeros, and not what a batch norm makes of zeros."""
        network = made(kind)
        channels = [gate(m, 1.0, hard=True) for m in opened([(width,) for width in WIDTHS[kind]])]
        seen: list[Tensor] = []
        with gated_channels(network, channels):
            handles = [
                layer.register_forward_hook(lambda _, given, output: seen.append(output))
                for layer in activations(network)
            ]
            features = network(images).features
        for handle in handles:
            handle.remove()
        assert len(seen) == len(channels)
        for output, own in zip(seen, channels, strict=True):
            assert (output[:, own == 0] == 0).all()
            assert (output[:, own == 1] != 0).any()
        assert (features[..., channels[-1] == 0] == 0).all()
        assert not torch.equal(network(images).features, features), "and the network is itself again"

    def test_gradients_of_weight_gates_are_those_of_the_surrogate(self, kind: str, images: Tensor) -> None:
        network, temperature = made(kind), 0.4
        y = torch.arange(B) % CLASSES
        names = list(network.weights())
        m = [own.requires_grad_() for own in opened([own.shape for own in network.weights().values()])]
        ours = {n: network.weights()[n] * gate(own, temperature) for n, own in zip(names, m, strict=True)}
        found = torch.autograd.grad(cross_entropy(forward(network, images, ours).logits[0], y), m)
        given = {n: network.weights()[n] * by_the_text(own, temperature) for n, own in zip(names, m, strict=True)}
        expected = torch.autograd.grad(cross_entropy(network(images, given).logits[0], y), m)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
            assert one.any()

    def test_gradients_of_channel_gates_are_straight_through(self, kind: str, images: Tensor) -> None:
        """The slope of the loss in the factor itself, times σ′: the factor may be anything, the gate is a step."""
        network, temperature = made(kind), 0.6
        y = torch.arange(B) % CLASSES
        m = [own.requires_grad_() for own in opened([(width,) for width in WIDTHS[kind]], low=-0.3)]
        channels = [gate(own, temperature, hard=True) for own in m]
        found = torch.autograd.grad(cross_entropy(forward(network, images, None, channels).logits[0], y), m)
        factors = [(own >= 0).float().requires_grad_() for own in m]
        slopes = torch.autograd.grad(cross_entropy(forward(network, images, None, factors).logits[0], y), factors)
        for one, slope, own in zip(found, slopes, m, strict=True):
            known = (own.detach() / temperature).sigmoid()
            torch.testing.assert_close(one, slope * 2 / temperature * known * (1 - known), rtol=1e-4, atol=1e-7)
        assert any(one.any() for one in found)


def test_factors_reach_the_channels_they_belong_to(images: Tensor) -> None:
    """A perceptron by hand: each hidden layer's outputs times its own factors."""
    network = made("perceptron")
    channels = [own + 1 for own in opened([(10,), (7,)])]
    module = network.module
    assert isinstance(module, nn.Sequential)
    h = ((images[0].float() - network.mean) / network.std).flatten(1)
    for number, own in enumerate(channels, 1):
        h = module.get_submodule(f"linear{number}")(h).relu() * own
    found = forward(network, images, None, channels)
    torch.testing.assert_close(found.features[0], h)
    torch.testing.assert_close(found.logits[0], module.get_submodule("fc")(h))


def test_networks_without_activations_are_refused() -> None:
    stacked = StackedNetwork([4, 8, 1], generators=generators([0], "weights"))
    bare = SingleNetwork(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), head="1", mean=[0.5] * 3, std=[0.5] * 3)
    for network in (stacked, bare):
        with pytest.raises(InputError, match="network: has no ReLU whose channels can be gated"):
            activations(network)
