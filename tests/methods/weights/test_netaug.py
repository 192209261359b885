"""Network augmentation: larger networks around the sub-network, and what they leave alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.adversarial import Adversarial, AdversarialFinetuning
from counterpoise.methods.weights.finetuning import finetune_adversarially
from counterpoise.methods.weights.mask_discovery import discovered
from counterpoise.methods.weights.netaug import AugmentedFinetuning, NetAug, network_augmentation
from counterpoise.nn.networks import Masks

Earlier = dict[str, list[Result]]
SETTINGS = Adversarial(epochs=2, warmup=0, batch_size=32)


def trainee(task: Problem, masks: Masks, diversity: float, scale: float = 1.0) -> AugmentedFinetuning:
    return AugmentedFinetuning(
        task.network(),
        task.goal,
        SETTINGS,
        task.examples,
        task.fit,
        generators=task.generators("noise"),
        critic_generators=task.generators("critic"),
        masks=masks,
        diversity=diversity,
        scale=scale,
        drawn=task.generators("larger"),
    )


def batch(task: Problem) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = task.fit[:, :32]
    return *task.examples.take(rows), rows


def test_without_diversity_it_is_fine_tuning_of_the_pruned_network(
    unfair: Callable[..., Problem], after_masks: Callable[..., Earlier]
) -> None:
    task = unfair(dropout=0.2)
    masks = discovered(after_masks(task))
    plain = finetune_adversarially(task, "name", SETTINGS, masks=masks)
    augmented = finetune_adversarially(
        task,
        "name",
        SETTINGS,
        masks=masks,
        kind=AugmentedFinetuning,
        diversity=0.0,
        scale=1.0,
        drawn=task.generators("larger"),
    )
    for name in plain.last:
        assert torch.equal(plain.last[name], augmented.last[name])
        assert torch.equal(plain.best[name], augmented.best[name])
    assert torch.equal(plain.curves["loss"], augmented.curves["loss"])


def test_larger_networks_hold_the_mask_and_some_more(
    unfair: Callable[..., Problem], after_masks: Callable[..., Earlier]
) -> None:
    made = trainee(unfair(), discovered(after_masks(unfair())), diversity=0.4)
    assert made.masks is not None
    pruned = sum(int((~mask).sum()) for mask in made.masks.values())
    seen = []
    for epoch in range(1, 31):
        made.begin_epoch(epoch)
        for name, mask in made.masks.items():
            assert made.larger[name][mask].all()
        seen.append(torch.cat([made.larger[name][~mask] for name, mask in made.masks.items()]))
    back = torch.stack(seen).double()
    assert back.mean().item() == pytest.approx(0.4, abs=4.5 * (0.24 / back.numel()) ** 0.5)
    assert len({tuple(row.tolist()) for row in back}) == 30, "drawn anew in each epoch"
    assert back.shape[1] == pruned


def test_the_loss_is_the_sum_over_both_networks(
    unfair: Callable[..., Problem], after_masks: Callable[..., Earlier]
) -> None:
    task = unfair()
    made, x, y, s, _ = trainee(task, discovered(after_masks(task)), diversity=0.5, scale=0.7), *batch(task)
    made.begin_epoch(1)
    made.network.train()
    value = made.value(x, y, s)
    own = made._weighted(made.network(x, made.effective(), track=False), y, s)
    larger = made._weighted(made.network(x, made.effective(made.larger), track=False), y, s)
    assert not torch.allclose(own, larger)
    torch.testing.assert_close(value, own + 0.7 * larger)


@pytest.mark.parametrize("kind", ["tabular", "images"])
def test_statistics_of_batch_norm_follow_the_sub_network_alone(
    kind: str,
    unfair: Callable[..., Problem],
    unfair_images: Callable[..., Problem],
    after_masks: Callable[..., Earlier],
) -> None:
    task = unfair() if kind == "tabular" else unfair_images()
    with_larger = trainee(task, discovered(after_masks(task)), diversity=0.5)
    alone = AdversarialFinetuning(
        task.network(),
        task.goal,
        SETTINGS,
        task.examples,
        task.fit,
        generators=task.generators("noise"),
        critic_generators=task.generators("critic"),
        masks=with_larger.masks,
    )
    for made in (with_larger, alone):
        made.begin_epoch(1)
        made.step(*batch(task))
    before, first, second = task.base, with_larger.network.state(), alone.network.state()
    statistics = [name for name in first if "running" in name or "num_batches" in name]
    assert statistics
    for name in statistics:  # one pass each so far, of the same weights
        assert torch.equal(first[name], second[name])
        assert not torch.equal(first[name], before[name])
    weight = next(iter(with_larger.masks or {}))
    assert not torch.equal(first[weight], second[weight]), "the larger network's loss does move the weights"


def test_what_leaves_is_the_sub_network(
    unfair: Callable[..., Problem], unfair_images: Callable[..., Problem], after_masks: Callable[..., Earlier]
) -> None:
    settings = NetAug(epochs=1, warmup=0, batch_size=64, diversity=0.2)
    for task in (unfair(), unfair_images()):
        earlier = after_masks(task)
        for result in network_augmentation(replace(task, method="netaug"), settings, earlier):
            assert all(not result.part("network")[name][~mask].any() for name, mask in discovered(earlier).items())
            assert result.score.isfinite().all()
