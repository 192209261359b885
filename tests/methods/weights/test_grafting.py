"""Grafts: what fills the holes of a mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.adversarial import Adversarial
from counterpoise.methods.weights.discovery import discover
from counterpoise.methods.weights.finetuning import finetune_adversarially, pruned_finetuning
from counterpoise.methods.weights.grafting import (
    ExternalGraft,
    external_graft,
    external_grafting,
    internal_graft,
    internal_grafting,
    noise_graft,
    noise_grafting,
)
from counterpoise.methods.weights.mask_discovery import MaskSettings, discovered
from counterpoise.nn import generators
from counterpoise.nn.networks import masked

Earlier = dict[str, list[Result]]
SETTINGS = Adversarial(epochs=4, warmup=1, batch_size=64)
EXTERNAL = ExternalGraft(**vars(SETTINGS), rounds=2, masks=MaskSettings(epochs=2, batch_size=64, lr=0.5))


def random_mask(shape: tuple[int, ...], share: float, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) >= share


def test_noise_is_a_tenth_louder_than_what_it_replaces(generator: torch.Generator) -> None:
    weight = torch.randn(2, 200, 300, generator=generator) * torch.tensor([0.3, 2.0]).view(2, 1, 1)
    mask = random_mask((2, 200, 300), 0.25)
    made = noise_graft(weight, mask, generators([0, 1], "scions"))
    assert torch.equal(made[mask], weight[mask])
    for r in range(2):
        noise, replaced = made[r][~mask[r]], weight[r][~mask[r]]
        assert noise.abs().mean().item() == pytest.approx(1.1 * replaced.abs().mean().item(), rel=0.02)
        expected = 1.1 * replaced.abs().mean().item() * math.sqrt(math.pi / 2)
        assert noise.std().item() == pytest.approx(expected, rel=0.02)
        assert abs(noise.mean().item()) < 4.5 * expected / math.sqrt(len(noise))
    assert torch.equal(noise_graft(weight, torch.ones_like(mask), generators([0, 1], "scions")), weight)
    alone = noise_graft(weight[1:], mask[1:], generators([1], "scions"))
    assert torch.equal(alone[0], made[1])


def test_noise_in_a_single_hole_is_as_loud_as_its_weight_was() -> None:
    weight, mask = torch.tensor([[3.0, 0.5]]).expand(4000, 2), torch.tensor([[True, False]]).expand(4000, 2)
    filled = noise_graft(weight, mask, generators(range(4000), "noise"))
    assert torch.equal(filled[:, 0], weight[:, 0])
    assert filled[:, 1].std() == pytest.approx(1.1 * math.sqrt(math.pi / 2) * 0.5, rel=0.05)


def test_the_largest_weights_that_are_left_fill_the_holes(generator: torch.Generator) -> None:
    weight, mask = torch.randn(2, 12, 15, generator=generator), random_mask((2, 12, 15), 0.2)
    made = internal_graft(weight, mask, generators([0, 1], "scions"))
    assert torch.equal(made[mask], weight[mask])
    for r in range(2):
        holes = int((~mask[r]).sum())
        left = weight[r][mask[r]]
        largest = left[left.abs().argsort(descending=True)][:holes]
        assert sorted(made[r][~mask[r]].tolist()) == sorted(largest.tolist())
        assert not torch.equal(made[r][~mask[r]], largest), "their order is of chance"


def test_few_weights_left_are_taken_again_and_none_leaves_holes() -> None:
    weight = torch.tensor([[[3.0, -2.0, 1.0, 5.0, 7.0]]])
    mask = torch.tensor([[[True, True, False, False, False]]])
    made = internal_graft(weight, mask, generators([0], "scions"))
    assert sorted(made[0, 0, 2:].tolist()) == [-2.0, 3.0, 3.0]
    assert not internal_graft(weight, torch.zeros_like(mask), generators([0], "scions")).any()


def test_whole_filters_are_grafted_in_a_convolution(generator: torch.Generator) -> None:
    weight = torch.randn(1, 6, 4, 3, 3, generator=generator)
    mask = torch.ones_like(weight, dtype=torch.bool)
    mask[0, 1] = False  # a filter of nothing but holes
    mask[0, 4, :2] = False  # one of holes by half
    mask[0, 3, 0, 0, 0] = False  # one hole: 36 + 18 + 1 fill two filters
    made = internal_graft(weight, mask, generators([0], "scions"))
    norms = (weight * mask)[0].abs().sum(dim=(1, 2, 3))
    donors = sorted((0, 2, 3, 5), key=lambda one: -norms[one].item())[:2]
    grafted = sorted([made[0, 1].abs().sum().item(), made[0, 4].abs().sum().item()])
    assert grafted == pytest.approx(sorted(norms[donors].tolist()))
    for receiver in (1, 4):
        assert any(torch.equal(made[0, receiver], (weight * mask)[0, donor]) for donor in donors)
    for untouched in (0, 2, 3, 5):
        assert torch.equal(made[0, untouched], (weight * mask)[0, untouched])
    assert torch.equal(internal_graft(weight, torch.ones_like(mask), generators([0], "scions")), weight)
    assert not internal_graft(weight, torch.zeros_like(mask), generators([0], "scions")).any()


def test_two_equal_networks_restore_each_other(
    unfair: Callable[..., Problem], after_masks: Callable[..., Earlier]
) -> None:
    task = unfair()
    own = task.network().weights()
    first, second = (discovered(after_masks(task, purpose)) for purpose in ("", "other "))
    for masks in (first, second):
        restored = external_graft(masked(own, masks), masks, own)
        assert all(torch.equal(restored[name], weight) for name, weight in own.items())
    one, other = {"w": torch.tensor([[1.0, 0.0, 3.0]])}, {"w": torch.tensor([[4.0, 5.0, 6.0]])}
    made = external_graft(one, {"w": torch.tensor([[True, False, True]])}, other)
    assert made["w"].tolist() == [[1.0, 5.0, 3.0]]


def test_external_rounds_begin_with_what_both_have_learned(
    unfair: Callable[..., Problem], after_masks: Callable[..., Earlier]
) -> None:
    """Two rounds, by hand: each prunes and fine-tunes; then the first takes the other's values where it has holes."""
    task = unfair()
    earlier = after_masks(task)
    (best, last) = external_grafting(replace(task, method="external"), EXTERNAL, earlier)
    masks, others = discovered(earlier), discover(task, "second discovery", EXTERNAL.masks).best
    assert any(not torch.equal(mask, others[name]) for name, mask in masks.items())
    part = replace(SETTINGS, epochs=2, warmup=1)
    pruned = [
        finetune_adversarially(
            task, f"external: network {n}, round 1", part, state=task.base | masked(task.base, own), masks=own
        )
        for n, own in ((1, masks), (2, others))
    ]
    state = dict(pruned[0].last)
    for name, mask in masks.items():
        assert not state[name][~mask].any(), "in the first round the holes stay empty"
        state[name] = torch.where(mask, state[name], pruned[1].last[name])
    trained = finetune_adversarially(task, "external: network 1, round 2", part, state=state)
    for name in trained.last:
        assert torch.equal(last.part("network")[name], trained.last[name])
        assert torch.equal(best.part("network")[name], trained.best[name])
    for result in (best, last):
        assert all(torch.equal(mask, others[name]) for name, mask in result.part("masks").items())


def test_one_external_round_is_a_pruned_network(
    unfair: Callable[..., Problem], after_masks: Callable[..., Earlier]
) -> None:
    task = unfair()
    earlier = after_masks(task)
    settings = replace(EXTERNAL, epochs=1, warmup=0, rounds=1)
    (_, last) = external_grafting(replace(task, method="external"), settings, earlier)
    assert all(not last.part("network")[name][~mask].any() for name, mask in discovered(earlier).items())


@pytest.mark.parametrize("scion", ["noise", "internal"])
def test_grafts_of_whole_networks(
    scion: str,
    unfair: Callable[..., Problem],
    unfair_images: Callable[..., Problem],
    after_masks: Callable[..., Earlier],
) -> None:
    method = {"noise": noise_grafting, "internal": internal_grafting}[scion]
    settings = replace(SETTINGS, epochs=1, warmup=0)
    for task in (unfair(), unfair_images()):
        problem, earlier = replace(task, method=scion), after_masks(task)
        masks = discovered(earlier)
        (_, last) = method(problem, settings, earlier)
        (_, pruned) = pruned_finetuning(problem, settings, earlier)
        first = next(iter(masks))
        assert last.part("network")[first][~masks[first]].any(), "what was grafted is fine-tuned without a mask"
        assert not torch.equal(last.score, pruned.score)
        assert last.score.isfinite().all()
        assert torch.equal(last.facts["grafted"], pruned.facts["pruned"])


def test_external_grafts_of_images(unfair_images: Callable[..., Problem], after_masks: Callable[..., Earlier]) -> None:
    task = unfair_images()
    settings = replace(EXTERNAL, epochs=2, warmup=0)
    results = external_grafting(replace(task, method="external"), settings, after_masks(task))
    assert all(result.score.isfinite().all() for result in results)
