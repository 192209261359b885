"""How masks are learned: gradients, the sparsity term, noise, and what is said of masks."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from counterpoise.errors import InputError
from counterpoise.methods.objective import Objective, fairness_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.weights.judging import repaired
from counterpoise.methods.weights.mask_discovery import (
    MaskDiscovery,
    MaskSettings,
    agreement,
    pruned_by_layer,
    pruned_share,
    sparsity_gradient,
    warn_of_empty_layers,
)
from counterpoise.nn import Examples, generators
from counterpoise.nn.networks import Output, SingleNetwork, StackedNetwork, evaluate, masked

SEEDS, D, B = [0, 1], 5, 48
OBJECTIVE = Objective("spd", "balanced_accuracy")


def sparsity_penalty(pruned: torch.Tensor, prunable: float) -> torch.Tensor:
    """R = log(max(pruned share, τ) / τ), whose gradient training takes in closed form."""
    return (pruned.clamp(min=prunable) / prunable).log()


def loss(output: Output, y: Tensor, s: Tensor, rows: Tensor) -> Tensor:
    return fairness_loss(OBJECTIVE, output.logits, y, s, weight=5.0)


def network() -> StackedNetwork:
    made = StackedNetwork([D, 8, 6, 1], generators=generators(SEEDS, "weights"), dropout=0.5).double()
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if name.startswith("weight"):
                tensor.mul_(3)  # far from a soft bias of zero
    return made


@pytest.fixture
def batch(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x = torch.randn(len(SEEDS), B, D, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 2, (len(SEEDS), B), generator=generator)
    s = (x[..., 0] > 0).long()
    return x, y, s, torch.arange(B).expand(len(SEEDS), B)


def discovery(settings: MaskSettings) -> tuple[MaskDiscovery, Callable[[], Tensor]]:
    """A discovery whose step moves nothing, and what its gradient was."""
    trainee = MaskDiscovery(network(), loss, settings, steps=1, generators=generators(SEEDS, "noise"))
    with torch.no_grad():  # weights on both sides
        trainee.m.copy_(torch.linspace(-1.5, 2.5, trainee.m.numel(), dtype=torch.float64).view_as(trainee.m))
    seen: list[Tensor] = []

    class Still:
        def __call__(self) -> None:
            assert trainee.m.grad is not None
            seen.append(trainee.m.grad.clone())

    trainee.move = Still()  # type: ignore[assignment]
    return trainee, lambda: seen[-1]


def kept_in_first_step(settings: MaskSettings) -> Tensor:
    trainee, _ = discovery(settings)
    return (trainee._undecided(trainee.m.detach()) >= 0).double()


@pytest.mark.parametrize("prunable", [None, 0.1, 0.9])
def test_the_gradient_is_that_of_the_relaxed_objective(
    prunable: float | None, batch: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    """M may take any value; its derivative, by central differences, is passed to m as if M were σ(m)."""
    x, y, s, rows = batch
    settings = MaskSettings(prunable=prunable)
    trainee, gradient = discovery(settings)
    kept, known = kept_in_first_step(settings), network().eval()
    assert 0.1 < kept.mean() < 0.9

    def objective(M: Tensor) -> Tensor:
        weights = trainee._split(torch.cat([w.flatten(1) for w in known.weights().values()], dim=1) * M)
        value = loss(known(x, weights), y, s, rows)
        return value if prunable is None else value + 5.0 * sparsity_penalty(1 - M.mean(dim=1), prunable)

    trainee.step(x, y, s, rows)
    m, step = trainee.m.detach(), 1e-6
    with torch.no_grad():
        for p in range(m.shape[1]):
            shift = torch.zeros_like(kept)
            shift[:, p] = step
            slope = (objective(kept + shift) - objective(kept - shift)) / (2 * step)
            expected = slope * m[:, p].sigmoid() * (1 - m[:, p].sigmoid())
            torch.testing.assert_close(gradient()[:, p], expected, rtol=1e-5, atol=1e-8)
    leaf = kept.clone().requires_grad_()
    (by_autograd,) = torch.autograd.grad(objective(leaf).sum(), leaf)
    torch.testing.assert_close(gradient(), by_autograd * m.sigmoid() * (1 - m.sigmoid()))


def test_the_sparsity_term_at_below_and_above_what_may_be_pruned() -> None:
    tau, weights = 0.25, 8
    shares = torch.tensor([0.0, 0.125, 0.25, 0.375, 1.0], dtype=torch.float64)
    expected = [0.0, 0.0, 0.0, math.log(1.5), math.log(4)]
    torch.testing.assert_close(sparsity_penalty(shares, tau), torch.tensor(expected, dtype=torch.float64))
    gradient = sparsity_gradient(shares, tau, weights)
    assert gradient[:3].tolist() == [0.0, 0.0, 0.0]
    for share, own in zip(shares[3:], gradient[3:], strict=True):
        M = (torch.arange(weights) >= share * weights).double().unsqueeze(0).requires_grad_()
        (slope,) = torch.autograd.grad(sparsity_penalty(1 - M.mean(dim=1), tau).sum(), M)
        torch.testing.assert_close(slope, own.expand(1, weights))
        assert own < 0  # a step against it raises m: fewer weights are pruned


def test_noise_has_the_spread_of_m_within_bounds() -> None:
    count = 40_000
    wide = StackedNetwork([count, 1], generators=generators([0], "weights"))
    settings = MaskSettings(noise_high=0.8)
    trainee = MaskDiscovery(wide, loss, settings, steps=1, generators=generators([0], "noise"))
    for m, spread in ((1.4, 0.7), (0.6, 0.3), (0.01, 0.05), (-1.0, 0.05), (9.0, 0.8)):
        noise = trainee._undecided(torch.full((1, count), m)) - m
        assert noise.std().item() == pytest.approx(spread, rel=0.02)
        assert abs(noise.mean().item()) < 4.5 * spread / math.sqrt(count)


def test_a_mask_of_ones_changes_no_bit(unfair: Callable[..., Problem]) -> None:
    task = unfair()
    fresh = MaskDiscovery(task.network(), loss, MaskSettings(), steps=1, generators=task.generators("noise"))
    masks = fresh.masks()
    assert all(mask.all() for mask in masks.values())
    plain, with_mask = repaired(task), repaired(task, weights=masked(task.base, masks), masks=masks)
    assert torch.equal(plain.score, with_mask.score)
    assert torch.equal(plain.prediction, with_mask.prediction)
    assert torch.equal(plain.facts["threshold"], with_mask.facts["threshold"])


def test_no_replicate_s_masks_depend_on_the_others() -> None:
    data = Examples(torch.randn(300, D), torch.randint(0, 2, (300,)), torch.randint(0, 2, (300,)))

    def learned(seeds: list[int]) -> Tensor:
        made = StackedNetwork([D, 7, 6, 1], generators=generators(seeds, "weights"))
        trainee = MaskDiscovery(made, loss, MaskSettings(), steps=9, generators=generators(seeds, "noise"))
        for step in range(9):
            rows = torch.stack([(torch.arange(37) * (seed + 2) + step) % 300 for seed in seeds])
            trainee.step(*data.take(rows), rows)
        return trainee.m.detach()

    together = learned([0, 1, 5])
    for seeds in ([0], [5], [1, 0]):
        for m, seed in zip(learned(seeds), seeds, strict=True):
            assert torch.equal(m, together[[0, 1, 5].index(seed)])


def test_the_network_stays_as_it_is(batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    known = network().train()
    before = known.copied()
    trainee = MaskDiscovery(known, loss, MaskSettings(lr=0.5), steps=5, generators=generators(SEEDS, "noise"))
    for _ in range(5):
        trainee.step(*batch)
    assert all(torch.equal(before[name], tensor) for name, tensor in known.state().items())
    assert not known.training, "batch norm keeps its statistics and nothing is dropped"
    assert (trainee.m != 2).any()


def test_shares_and_agreement_of_masks() -> None:
    masks = {
        "first": torch.tensor([[[1, 0], [0, 1]], [[1, 0], [1, 1]], [[1, 1], [1, 1]]]).bool(),
        "second": torch.tensor([[[1, 1]], [[0, 1]], [[1, 1]]]).bool(),
    }
    assert pruned_share(masks).tolist() == pytest.approx([2 / 6, 2 / 6, 0])
    by_layer = pruned_by_layer(masks)
    assert by_layer["first"].tolist() == [0.5, 0.25, 0.0]
    assert by_layer["second"].tolist() == [0.0, 0.5, 0.0]
    found = agreement(masks)  # one weight in common, of three that either prunes
    assert found[0, 1].item() == pytest.approx(1 / 3)
    assert torch.equal(found, found.T) or found.isnan().any()
    assert found[0, 0].item() == found[1, 1].item() == 1
    assert found[0, 2].item() == 0
    assert found[2, 2].isnan()


def test_networks_and_settings_that_cannot_be_masked_are_refused() -> None:
    bare = SingleNetwork(nn.Sequential(nn.Flatten(), nn.ReLU()), head="1", mean=[0.5] * 3, std=[0.5] * 3)
    with pytest.raises(InputError, match="no linear or convolutional layer"):
        MaskDiscovery(bare, loss, MaskSettings(), steps=1, generators=generators([0], "noise"))
    for tau in (0.0, 1.0, -0.2, 1.5):
        with pytest.raises(InputError, match=f"masks: prunable is {tau}, expected a number between 0 and 1"):
            MaskSettings(prunable=tau)


def test_a_layer_without_weights_gives_a_warning_and_numbers(
    unfair: Callable[..., Problem], unfair_images: Callable[..., Problem], caplog: pytest.LogCaptureFixture
) -> None:
    for task in (unfair(), unfair_images()):
        weights = task.network().weights()
        layer = list(weights)[1]
        masks = {name: torch.full_like(weight, name != layer, dtype=torch.bool) for name, weight in weights.items()}
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            warn_of_empty_layers(masks, "prune", task.seeds)
        assert caplog.messages == [f"prune: all weights of layer {layer} are pruned with seeds {list(task.seeds)}"]
        outcome = repaired(task, weights=masked(task.base, masks), masks=masks)
        assert outcome.score.isfinite().all()
        assert outcome.facts["phi"].isfinite().all()
        network = task.network()
        trainee = MaskDiscovery(
            network,
            lambda output, y, s, rows, task=task: fairness_loss(task.goal, output.logits, y, s, 5.0),
            MaskSettings(),
            steps=2,
            generators=task.generators("noise"),
        )
        with torch.no_grad():
            trainee.m.fill_(-5.0)  # everything is pruned
        rows = task.fit[:, :32]
        for _ in range(2):
            figures = trainee.step(*task.examples.take(rows), rows)
            assert figures["pruned_in_training"].tolist() == [1.0] * len(rows)
        assert trainee.m.isfinite().all()
        assert evaluate(network, task.examples, rows, masked(weights, trainee.masks())).logits.isfinite().all()


def test_training_on_from_a_state_changes_no_bit(batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    def fresh() -> MaskDiscovery:
        return MaskDiscovery(
            network(), loss, replace(MaskSettings(), lr=0.3), steps=6, generators=generators(SEEDS, "noise")
        )

    straight, first, second = fresh(), fresh(), fresh()
    for _ in range(6):
        straight.step(*batch)
    for _ in range(2):
        first.step(*batch)
    state = first.state()
    first.step(*batch)
    second.load(state)
    for _ in range(4):
        second.step(*batch)
    assert torch.equal(second.m, straight.m)
