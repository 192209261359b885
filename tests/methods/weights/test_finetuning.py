"""Fine-tuning: pruned weights stay at zero, controls are what they are called, methods do not notice each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from counterpoise.methods.gaps import soft_bias
from counterpoise.methods.objective import fairness_loss
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.adversarial import Adversarial
from counterpoise.methods.weights.discovery import mask_only
from counterpoise.methods.weights.finetuning import (
    Penalty,
    adversarial_finetuning,
    direct_penalty,
    pruned_finetuning,
)
from counterpoise.methods.weights.mask_discovery import MaskSettings, discovered
from counterpoise.nn.networks import evaluate

Earlier = dict[str, list[Result]]
SETTINGS = Adversarial(epochs=2, warmup=0, batch_size=32)
MASKS = MaskSettings(epochs=2, batch_size=64, lr=0.5)


@pytest.mark.parametrize("kind", ["tabular", "images"])
@pytest.mark.parametrize("critic", ["published", "exact"])
def test_pruned_weights_stay_at_zero_and_the_others_move(
    kind: str,
    critic: str,
    unfair: Callable[..., Problem],
    unfair_images: Callable[..., Problem],
    after_masks: Callable[..., Earlier],
) -> None:
    task = unfair() if kind == "tabular" else unfair_images()
    earlier = after_masks(task)
    masks = discovered(earlier)
    settings = Adversarial(epochs=1, warmup=0, batch_size=64, critic=critic)  # type: ignore[arg-type]
    for made in pruned_finetuning(replace(task, method="prune"), settings, earlier):
        for name, mask in masks.items():
            assert not made.part("network")[name][~mask].any()
            moved = (made.part("network")[name] != task.base[name])[mask].double().mean()
            assert moved > 0.02  # on images of a pixel or two, the outer taps of a 3 × 3 filter see nothing
        score = evaluate(task.network(made.part("network")), task.examples, task.test).logits
        torch.testing.assert_close(task.read(score), made.score)


def test_masks_alone_change_weights_and_nothing_else(unfair: Callable[..., Problem]) -> None:
    task = unfair()
    best, last = mask_only(replace(task, method="mask_only"), MASKS, {})
    for result in (best, last):
        masks = result.part("masks")
        assert any(not mask.all() for mask in masks.values())
        for name, tensor in result.part("network").items():
            assert torch.equal(tensor, task.base[name] * masks[name] if name in masks else task.base[name])


def test_a_direct_penalty_takes_the_loss_of_mask_discovery_down(unfair: Callable[..., Problem]) -> None:
    task = unfair()
    settings = Penalty(weight=5.0, lr=5e-3, epochs=12, batch_size=64)
    _, last = direct_penalty(replace(task, method="penalty"), settings, {})
    y, s = task.labels(task.fit)
    outputs = [evaluate(task.network(state), task.examples, task.fit).logits for state in (None, last.part("network"))]
    before, after = (fairness_loss(task.goal, logits, y, s, 5.0) for logits in outputs)
    assert (after < before).all()
    gaps = [soft_bias("spd", logits, y, s).abs() for logits in outputs]
    assert (gaps[1] < 0.5 * gaps[0]).all()


def test_adding_a_method_changes_no_other_method_s_numbers(
    unfair: Callable[..., Problem], after_masks: Callable[..., Earlier]
) -> None:
    """One after the other in one process, in either order, or alone: the same bits."""
    task = unfair(dropout=0.2)
    methods: dict[str, Callable[[], list[Result]]] = {
        "advft": lambda: adversarial_finetuning(replace(task, method="advft"), SETTINGS, {}),
        "masks": lambda: mask_only(replace(task, method="masks"), MASKS, {}),
        "penalty": lambda: direct_penalty(replace(task, method="penalty"), Penalty(epochs=2, batch_size=64), {}),
        "prune": lambda: pruned_finetuning(replace(task, method="prune"), SETTINGS, after_masks(task)),
    }
    base = {name: tensor.clone() for name, tensor in task.base.items()}
    alone = {name: run() for name, run in methods.items()}
    torch.rand(17)  # the state of the process is no method's business
    again = {name: methods[name]() for name in reversed(methods)}
    for name in methods:
        for one, other in zip(alone[name], again[name], strict=True):
            assert torch.equal(one.score, other.score)
            assert torch.equal(one.prediction, other.prediction)
            assert torch.equal(one.facts["threshold"], other.facts["threshold"])
    assert all(torch.equal(base[name], tensor) for name, tensor in task.base.items()), "the base is every method's"


def test_no_replicate_s_numbers_depend_on_the_others(
    unfair: Callable[..., Problem], after_masks: Callable[..., Earlier]
) -> None:
    """The base of each is its own too, so that everything from the first epoch on is the same."""
    together, alone = unfair(dropout=0.2), unfair((5,), dropout=0.2)
    runs: list[Callable[[Problem], list[Result]]] = [
        lambda task: adversarial_finetuning(replace(task, method="advft"), SETTINGS, {}),
        lambda task: pruned_finetuning(replace(task, method="prune"), SETTINGS, after_masks(task)),
        lambda task: direct_penalty(replace(task, method="penalty"), Penalty(epochs=2, batch_size=64), {}),
        lambda task: mask_only(replace(task, method="masks"), MASKS, {}),
    ]
    for run in runs:
        for one, other in zip(run(together), run(alone), strict=True):
            assert torch.equal(one.score[2], other.score[0])
            assert torch.equal(one.prediction[2], other.prediction[0])
            assert one.facts["phi"][2] == other.facts["phi"][0]
