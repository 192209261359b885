"""Stacked perceptrons against torch's own modules."""

from __future__ import annotations

import torch
from torch import nn

from counterpoise.nn import StackedMLP, generators


def stack(seeds: list[int], variants: int = 1) -> StackedMLP:
    replicates = len(seeds)
    mean = torch.linspace(-1, 1, 6).repeat(replicates, 1)
    scale = torch.linspace(0.5, 2, 6).repeat(replicates, 1)
    return StackedMLP([6, 5, 4, 3], mean=mean, scale=scale, generators=generators(seeds, "weights"), variants=variants)


def test_forward_equals_torch_modules(generator: torch.Generator) -> None:
    bank, x = stack([3, 4], variants=2), torch.randn(2, 9, 6, generator=generator)
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    for r in range(2):
        for v in range(2):
            layers: list[nn.Module] = []
            for weight, bias in zip(bank.weights, bank.biases, strict=True):
                linear = nn.Linear(weight.shape[2], weight.shape[3])
                linear.load_state_dict({"weight": weight[r, v].T, "bias": bias[r, v]})
                layers += [linear, nn.ReLU()]
            module = nn.Sequential(*layers[:-1])
            torch.testing.assert_close(bank(x)[r, v], module((x[r] - bank.mean[r]) / bank.scale[r]))


def test_initial_weights_are_drawn_as_torch_draws_them() -> None:
    bank = StackedMLP(
        [400, 300, 2],
        mean=torch.zeros(1, 400),
        scale=torch.ones(1, 400),
        generators=generators([0], "weights"),
    )
    reference = nn.Linear(400, 300)
    for drawn, expected in ((bank.weights[0], reference.weight), (bank.biases[0], reference.bias)):
        bound = 1 / 400**0.5
        assert drawn.abs().max() <= bound
        torch.testing.assert_close(drawn.std(), expected.std(), rtol=0.2, atol=0)


def test_a_replicate_depends_on_its_own_seed_only() -> None:
    alone, beside = stack([7]), stack([2, 7, 9])
    for one, many in zip(alone.parameters(), beside.parameters(), strict=True):
        assert torch.equal(one[0], many[1])
        assert not torch.equal(many[0], many[1])


def test_state_survives_a_round_trip(generator: torch.Generator) -> None:
    bank, x = stack([1, 2]), torch.randn(2, 4, 6, generator=generator)
    again = StackedMLP.from_state(bank.state_dict(), bank.widths)
    assert torch.equal(bank(x), again(x))
