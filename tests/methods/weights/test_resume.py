"""Trainings of the second paper that are killed and started again: the same results, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from counterpoise.artifacts.states import TrainingStates
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, prefixed
from counterpoise.methods.weights.adversarial import Adversarial
from counterpoise.methods.weights.discovery import TeacherMasks, mask_only, teacher_pruning
from counterpoise.methods.weights.finetuning import Penalty, adversarial_finetuning, direct_penalty, pruned_finetuning
from counterpoise.methods.weights.mask_discovery import MaskSettings, discovered
from counterpoise.methods.weights.netaug import NetAug, network_augmentation
from counterpoise.nn.networks import State

Earlier = dict[str, list[Result]]
AfterMasks = Callable[..., Earlier]
AfterRepair = Callable[[Problem, State], Earlier]
SETTINGS = Adversarial(epochs=3, warmup=1, batch_size=32)
MASKS = MaskSettings(epochs=3, batch_size=32, lr=0.3)


METHODS: dict[str, Callable[[Problem, AfterMasks, AfterRepair], list[Result]]] = {
    "WeightTuning": lambda task, masks, repair: direct_penalty(
        replace(task, method="penalty"), Penalty(epochs=3, batch_size=32), {}
    ),
    "AdversarialFinetuning": lambda task, masks, repair: adversarial_finetuning(
        replace(task, method="advft"), SETTINGS, {}
    ),
    "exact critic": lambda task, masks, repair: adversarial_finetuning(
        replace(task, method="exact"), replace(SETTINGS, critic="exact"), {}
    ),
    "pruned": lambda task, masks, repair: pruned_finetuning(replace(task, method="pruned"), SETTINGS, masks(task)),
    "AugmentedFinetuning": lambda task, masks, repair: network_augmentation(
        replace(task, method="netaug"), NetAug(**vars(SETTINGS), diversity=0.3), masks(task)
    ),
    "MaskDiscovery": lambda task, masks, repair: mask_only(replace(task, method="masks"), MASKS, {}),
    "student": lambda task, masks, repair: teacher_pruning(
        replace(task, method="student"), TeacherMasks(**vars(MASKS), consistency=0.5), repair(task, task.base)
    ),
}


def same(one: list[Result], other: list[Result]) -> bool:
    def numbers(made: Result) -> dict[str, Tensor]:
        assert made.epoch is not None
        known = {"score": made.score, "prediction": made.prediction, "epoch": made.epoch}
        facts = {name: value for name, value in made.facts.items() if isinstance(value, Tensor)}
        return known | dict(made.curves) | dict(made.tensors) | facts

    pairs = [(numbers(first), numbers(second)) for first, second in zip(one, other, strict=True)]
    return all(
        first.keys() == second.keys()
        and all(torch.equal(value.nan_to_num(-7), second[name].nan_to_num(-7)) for name, value in first.items())
        for first, second in pairs
    )


class KilledError(Exception):
    """The process ends here."""


def killed_at(epoch: int) -> Callable[[str, int, int], None]:
    def progress(name: str, done: int, epochs: int) -> None:
        if done == epoch:
            raise KilledError

    return progress


@pytest.mark.parametrize(
    ("kind", "method"),
    [*[("tabular", method) for method in METHODS], ("images", "AugmentedFinetuning"), ("images", "MaskDiscovery")],
)
def test_a_killed_method_goes_on_to_the_same_result(
    method: str,
    kind: str,
    tmp_path: Path,
    unfair: Callable[..., Problem],
    unfair_images: Callable[..., Problem],
    after_masks: AfterMasks,
    after_repair: AfterRepair,
) -> None:
    def run(problem: Problem) -> list[Result]:
        return METHODS[method](problem, after_masks, after_repair)

    task = unfair(dropout=0.2) if kind == "tabular" else unfair_images()
    straight = run(task)
    assert any(not torch.equal(curve[:, 0], curve[:, 1]) for curve in straight[0].curves.values()), "something moves"
    with pytest.raises(KilledError):
        run(replace(task, states=TrainingStates(tmp_path), progress=killed_at(2)))
    epochs: list[int] = []
    resumed = run(
        replace(task, states=TrainingStates(tmp_path), progress=lambda name, epoch, total: epochs.append(epoch))
    )
    assert epochs == [3]
    assert same(straight, resumed)
    assert len(list(tmp_path.iterdir())) == 1


def test_another_problem_is_another_training(
    tmp_path: Path, unfair: Callable[..., Problem], after_masks: AfterMasks
) -> None:
    """Nothing that a training depends on may differ from what its state was made of."""
    task = replace(unfair(), method="name", states=TrainingStates(tmp_path))
    earlier = after_masks(task)
    settings = replace(SETTINGS, epochs=1, warmup=0)
    other_base = task.base | {"weight0": task.base["weight0"] * 1.1}
    masks = discovered(earlier)
    (result,) = earlier["mask_only"]
    inverted = prefixed("masks", masks | {"weight0": ~masks["weight0"]})
    other_masks = {"mask_only": [replace(result, tensors=inverted)]}
    larger = NetAug(**vars(settings), diversity=0.1)
    runs: list[Callable[[], object]] = [
        lambda: pruned_finetuning(task, settings, earlier),
        lambda: pruned_finetuning(replace(task, method="other"), settings, earlier),
        lambda: pruned_finetuning(task, replace(settings, pressure=3.0), earlier),
        lambda: pruned_finetuning(task, settings, other_masks),
        lambda: pruned_finetuning(replace(task, base=other_base), settings, earlier),
        lambda: pruned_finetuning(replace(task, fit=task.fit.flip(1)), settings, earlier),
        lambda: pruned_finetuning(replace(task, objective=replace(task.goal, tolerance=0.2)), settings, earlier),
        lambda: adversarial_finetuning(task, settings, {}),
        lambda: network_augmentation(task, larger, earlier),
        lambda: network_augmentation(task, replace(larger, diversity=0.2), earlier),
        lambda: pruned_finetuning(replace(task, select=task.select.flip(1)[:, :-20]), settings, earlier),
        lambda: pruned_finetuning(
            replace(task, examples=replace(task.examples, y=1 - task.examples.y)), settings, earlier
        ),
    ]
    for number, run in enumerate(runs, start=1):
        run()
        assert len(list(tmp_path.iterdir())) == number
        run()
        assert len(list(tmp_path.iterdir())) == number
