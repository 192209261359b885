"""What networks need, counted by hand; what cutting out saves, measured side by side; and what must not change."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from counterpoise.nn import costs, generators
from counterpoise.nn.costs import WARMUP, cost, latencies, shrink
from counterpoise.nn.networks import StackedNetwork, masked

D, WIDTH = 4, 40


@pytest.fixture
def network() -> StackedNetwork:
    """Three quarters of the first hidden layer's units are pruned."""
    made = StackedNetwork([D, WIDTH, WIDTH, 1], generators=generators([3], "weights"), normalized=False).eval()
    mask = torch.ones(1, WIDTH, D, dtype=torch.bool)
    mask[:, WIDTH // 4 :] = False
    made.load(made.state() | masked({"weight0": made.weights()["weight0"]}, {"weight0": mask}))
    return made


class TestShrink:
    def test_counts_what_is_left(self, network: StackedNetwork, generator: torch.Generator) -> None:
        saving = shrink(network, torch.randn(1, 50, D, generator=generator), name="pruned", repeats=3)
        left = WIDTH // 4
        assert saving.before.macs == D * WIDTH + WIDTH * WIDTH + WIDTH
        assert saving.after.macs == D * left + left * WIDTH + WIDTH
        assert saving.before.parameters - saving.after.parameters == (WIDTH - left) * (D + 1 + WIDTH)
        assert saving.before.parameters - saving.before.nonzero == (WIDTH - left) * D
        assert saving.compared == saving.batch == 50
        assert all(time > 0 for time in saving.seconds)

    def test_difference_is_that_of_the_outputs(self, network: StackedNetwork, generator: torch.Generator) -> None:
        x = torch.randn(1, 600, D, generator=generator)  # more than are evaluated at a time
        saving = shrink(network, x, name="pruned", repeats=1)
        with torch.no_grad():
            apart = (saving.module(x[0]) - network(x).logits[0]).abs().max().item()
        assert saving.difference == pytest.approx(apart, abs=1e-6)
        assert saving.batch == costs.TIMED_ROWS
        assert saving.compared == 600

    def test_large_networks_see_fewer_rows(self, network: StackedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
        macs = D * WIDTH + WIDTH * WIDTH + WIDTH
        monkeypatch.setattr(costs, "TIMED_MACS", 7 * macs)
        monkeypatch.setattr(costs, "COMPARED_MACS", 20 * macs)
        saving = shrink(network, torch.zeros(1, 30, D), name="pruned", repeats=1)
        assert (saving.batch, saving.compared) == (7, 20)

    def test_other_outputs_are_no_saving(self, network: StackedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
        def wrong(network: StackedNetwork) -> nn.Module:
            made = costs.plain(network)
            with torch.no_grad():
                next(iter(made.parameters())).mul_(1.01)
            return made

        monkeypatch.setattr(costs, "compact", wrong)
        with pytest.raises(ArithmeticError, match=r"netaug, seed 3: the compact network says .* else"):
            shrink(network, torch.ones(1, 5, D), name="netaug, seed 3", repeats=1)

    def test_neither_are_outputs_that_are_no_numbers(
        self, network: StackedNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(network: StackedNetwork) -> nn.Module:
            made = costs.plain(network)
            with torch.no_grad():
                next(iter(made.parameters())).fill_(torch.nan)
            return made

        monkeypatch.setattr(costs, "compact", broken)
        with pytest.raises(ArithmeticError, match="says nan else"):
            shrink(network, torch.ones(1, 5, D), name="netaug, seed 3", repeats=1)

    def test_threads_are_as_before(self, network: StackedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []
        monkeypatch.setattr(costs, "latencies", lambda *_, **__: [float(seen.append(torch.get_num_threads()) or 1)] * 2)
        torch.set_num_threads(2)
        try:
            shrink(network, torch.ones(1, 5, D), name="pruned")
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(1)
        assert seen == [1]


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


def test_multiplications_are_those_that_torch_counts() -> None:
    """torch counts a multiplication and an addition as two operations."""
    module = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 5, stride=2, dilation=2)
    )
    module.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5, bias=False), nn.Linear(5, 1)]).eval()
    x = torch.zeros(1, 4, 13, 11)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(x)
    assert 2 * cost(module, x).macs == counter.get_total_flops()


class Waits(nn.Module):
    """Takes as long as it is told; its first passes, and one more, take longer."""

    def __init__(self, seconds: float, order: list[nn.Module]) -> None:
        super().__init__()
        self.seconds, self.order = seconds, order

    def forward(self, x: Tensor) -> Tensor:
        self.order.append(self)
        number = self.order.count(self)
        time.sleep(0.1 if number <= WARMUP or number == WARMUP + 3 else self.seconds)
        return x


def test_latencies_are_medians_of_passes_that_take_turns() -> None:
    order: list[nn.Module] = []
    fast, slow = Waits(0.002, order), Waits(0.02, order)
    first, second = latencies([fast, slow], torch.zeros(1), repeats=5)
    assert 0.002 <= first < 0.05
    assert 0.02 <= second < 0.09
    assert order == [fast, slow] * (WARMUP + 5)
