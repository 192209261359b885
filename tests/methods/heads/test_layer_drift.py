"""Factors in the place of layers: errors and drift beside their definitions."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from counterpoise.methods.heads.layer_drift import TOGETHER, Factored, measure_factors
from counterpoise.methods.heads.layer_svd import linear_layers

N, D, H, K = 30, 6, 8, 3
RATIOS = (0.4, 0.7)


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(D, H), nn.ReLU(), nn.Linear(H, H, bias=False), nn.Tanh(), nn.Linear(H, K))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(1))


def measured(
    network: nn.Module, x: Tensor, ratios: tuple[float, ...] = RATIOS
) -> dict[tuple[str, float, str], Factored]:
    layers = linear_layers(network, ["0", "2"])
    skewed = {name: torch.linspace(1, 50, layer.in_features) for name, layer in layers.items()}
    ways = {"plain": None, "weighted": skewed}
    every = measure_factors(network, layers, ways, RATIOS, lambda each: each(x))
    return {(each.layer, each.ratio, each.factors): each for each in every}


def test_each_layer_and_all_of_them_by_each_way(network: nn.Module, x: Tensor) -> None:
    assert set(measured(network, x)) == {
        (layer, ratio, way) for layer in ("0", "2", TOGETHER) for ratio in RATIOS for way in ("plain", "weighted")
    }


def test_plain_factors_are_the_truncated_svd(network: nn.Sequential, x: Tensor) -> None:
    layer, one = network[2], measured(network, x)["2", 0.7, "plain"]
    u, values, v = torch.linalg.svd(layer.weight.detach())
    low = (u[:, : one.rank] * values[: one.rank]) @ v[: one.rank]
    assert one.weight_error == pytest.approx(float(values[one.rank :].norm() / values.norm()), rel=1e-4)
    before = network[:2](x).detach()
    exact = before @ layer.weight.detach().T
    assert one.output_error == pytest.approx(float((exact - before @ low.T).norm() / exact.norm()), rel=1e-4)
    changed = copy.deepcopy(network)
    changed[2].weight = nn.Parameter(low)
    answers = network(x), changed(x)
    drift = (answers[1] - answers[0]).norm(dim=1) / answers[0].norm(dim=1).mean()
    torch.testing.assert_close(one.drift, drift.detach(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(one.answer, answers[1].detach(), rtol=1e-3, atol=1e-5)


def test_no_factors_have_smaller_errors_than_plain_ones(network: nn.Module, x: Tensor) -> None:
    results = measured(network, x)
    for (layer, ratio, way), one in results.items():
        assert one.parameters <= ratio
        if way == "weighted":
            assert one.weight_error >= results[layer, ratio, "plain"].weight_error - 1e-6


def test_the_network_is_as_it_was_and_hooks_are_gone(network: nn.Module, x: Tensor) -> None:
    before = network(x)
    measured(network, x)
    assert torch.equal(network(x), before)
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_outputs_of_counted_rows_alone_count(network: nn.Module, x: Tensor) -> None:
    layers = linear_layers(network, ["2"])
    half = torch.arange(N) < N // 2
    (one,) = measure_factors(network, layers, {"plain": None}, [0.5], lambda each: each(x), counted=half)
    (other,) = measure_factors(network, layers, {"plain": None}, [0.5], lambda each: each(x[half]))
    assert one.output_error == pytest.approx(other.output_error)
