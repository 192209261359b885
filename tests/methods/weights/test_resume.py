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
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.adversarial import Adversarial
from counterpoise.methods.weights.discovery import discover, teacher_pruning
from counterpoise.methods.weights.finetuning import Penalty, adversarial_finetuning, direct_penalty, pruned_finetuning
from counterpoise.methods.weights.judging import both_epochs
from counterpoise.methods.weights.mask_discovery import MaskSettings
from counterpoise.methods.weights.netaug import network_augmentation
from counterpoise.nn import generators
from counterpoise.nn.epochs import Trained
from counterpoise.nn.networks import Masks

SETTINGS = Adversarial(epochs=3, warmup=1, batch_size=32)
MASKS = MaskSettings(epochs=3, batch_size=32, lr=0.3)


def some_masks(task: Problem) -> Masks:
    return {
        name: torch.stack([torch.rand(weight.shape[1:], generator=own) > 0.3 for own in generators(task.seeds, name)])
        for name, weight in task.network().weights().items()
    }


def discovered(task: Problem) -> list[Result]:
    """The masks and their curves in the place of a state."""
    trained = discover(task, "masks", MASKS)
    (best, last) = ({name: mask.float() for name, mask in one.items()} for one in (trained.best, trained.last))
    return both_epochs(task, "masks", Trained(task.base | best, task.base | last, trained.best_epoch, trained.curves))


METHODS: dict[str, Callable[[Problem], list[Result]]] = {
    "WeightTuning": lambda task: direct_penalty(replace(task, method="penalty"), Penalty(epochs=3, batch_size=32), {}),
    "AdversarialFinetuning": lambda task: adversarial_finetuning(replace(task, method="advft"), SETTINGS, {}),
    "exact critic": lambda task: adversarial_finetuning(
        replace(task, method="exact"), replace(SETTINGS, critic="exact"), {}
    ),
    "pruned": lambda task: pruned_finetuning(task, "pruned", SETTINGS, some_masks(task)),
    "AugmentedFinetuning": lambda task: network_augmentation(
        task, "netaug", SETTINGS, some_masks(task), diversity=0.3, scale=1.0
    ),
    "MaskDiscovery": discovered,
    "student": lambda task: teacher_pruning(task, "student", MASKS, task.base, consistency=0.5),
}


def same(one: list[Result], other: list[Result]) -> bool:
    def numbers(made: Result) -> dict[str, Tensor]:
        assert made.epoch is not None
        known = {"score": made.score, "prediction": made.prediction, "epoch": made.epoch}
        return (
            known
            | made.curves
            | (dict(made.part("network")) if made.part("network") else {})
            | dict(made.masks or {})
            | made.facts
        )

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
) -> None:
    run = METHODS[method]
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


def test_another_problem_is_another_training(tmp_path: Path, unfair: Callable[..., Problem]) -> None:
    """Nothing that a training depends on may differ from what its state was made of."""
    task = replace(unfair(), states=TrainingStates(tmp_path))
    masks = some_masks(task)
    settings = replace(SETTINGS, epochs=1, warmup=0)
    other_base = task.base | {"weight0": task.base["weight0"] * 1.1}
    other_masks = dict(masks) | {"weight0": ~masks["weight0"]}
    runs: list[Callable[[], object]] = [
        lambda: pruned_finetuning(task, "name", settings, masks),
        lambda: pruned_finetuning(task, "other", settings, masks),
        lambda: pruned_finetuning(task, "name", replace(settings, pressure=3.0), masks),
        lambda: pruned_finetuning(task, "name", settings, other_masks),
        lambda: pruned_finetuning(replace(task, base=other_base), "name", settings, masks),
        lambda: pruned_finetuning(replace(task, fit=task.fit.flip(1)), "name", settings, masks),
        lambda: pruned_finetuning(replace(task, objective=replace(task.goal, tolerance=0.2)), "name", settings, masks),
        lambda: adversarial_finetuning(replace(task, method="name"), settings, {}),
        lambda: network_augmentation(task, "name", settings, masks, diversity=0.1, scale=1.0),
        lambda: network_augmentation(task, "name", settings, masks, diversity=0.2, scale=1.0),
        lambda: pruned_finetuning(replace(task, select=task.select.flip(1)[:, :-20]), "name", settings, masks),
        lambda: pruned_finetuning(
            replace(task, examples=replace(task.examples, y=1 - task.examples.y)), "name", settings, masks
        ),
    ]
    for number, run in enumerate(runs, start=1):
        run()
        assert len(list(tmp_path.iterdir())) == number
        run()
        assert len(list(tmp_path.iterdir())) == number
