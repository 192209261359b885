"""Networks that are trained fairly from scratch: they learn, resume, and do not depend on their neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from counterpoise.artifacts.states import TrainingStates
from counterpoise.errors import InputError
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.adversarial_debiasing import adversarial_debiasing
from counterpoise.methods.weights.domains import (
    domain_discriminative,
    domain_independent,
)
from counterpoise.methods.weights.inprocessing import Contested, InProcessing
from counterpoise.methods.weights.uniform_confusion import uniform_confusion

SHORT = {"epochs": 3, "batch_size": 50, "lr": 0.01}
CONTEST = {**SHORT, "opponent_lr": 0.03}
Run = Callable[..., list[Result]]
METHODS: dict[str, Run] = {
    "adversarial": lambda task, **own: adversarial_debiasing(
        replace(task, method="adversarial"), Contested(**{**CONTEST, **own}), {}
    ),
    "confusion": lambda task, **own: uniform_confusion(
        replace(task, method="confusion"), Contested(**{**CONTEST, **own}), {}
    ),
    "discriminative": lambda task, **own: domain_discriminative(
        replace(task, method="discriminative"), InProcessing(**{**SHORT, **own}), {}
    ),
    "independent": lambda task, **own: domain_independent(
        replace(task, method="independent"), InProcessing(**{**SHORT, **own}), {}
    ),
}


@pytest.mark.parametrize("method", METHODS)
def test_the_networks_learn_their_task(method: str, unfair: Callable[..., Problem]) -> None:
    best, last = METHODS[method](unfair(dropout=0.1), epochs=6)
    task = unfair(dropout=0.1)
    assert (last.name, last.epoch.tolist()) == (f"{best.name}_last", [6, 6, 6])  # type: ignore[union-attr]
    y, _ = task.labels(task.test)
    right = (last.score.squeeze(-1) > last.score.median(dim=1).values).long() == y
    assert (right.float().mean(dim=1) > 0.65).all()
    assert (best.facts["phi"] >= last.facts["phi"]).all()
    assert best.curves["loss"].shape == (3, 6)


@pytest.mark.parametrize("method", METHODS)
def test_a_replicate_is_the_same_beside_others_and_alone(method: str, unfair: Callable[..., Problem]) -> None:
    task = unfair(dropout=0.1)
    together, alone = (METHODS[method](given)[1] for given in (task, task.replicate(1)))
    torch.testing.assert_close(alone.score[0], together.score[1])


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_training_goes_on_as_if_nothing_had_happened(
    method: str, unfair: Callable[..., Problem], tmp_path: Path
) -> None:
    class KilledError(Exception):
        pass

    def kill(name: str, epoch: int, epochs: int) -> None:
        if epoch == 2:
            raise KilledError

    task = unfair(dropout=0.1)
    whole = METHODS[method](task)[1]
    with pytest.raises(KilledError):
        METHODS[method](replace(task, states=TrainingStates(tmp_path), progress=kill))
    epochs: list[int] = []
    again = METHODS[method](
        replace(task, states=TrainingStates(tmp_path), progress=lambda name, epoch, of: epochs.append(epoch))
    )[1]
    assert epochs == [3]
    assert torch.equal(again.score, whole.score)


@pytest.mark.filterwarnings("ignore:mean_bias is undefined")  # as long as a class is never predicted
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_images_with_two_classes_or_more(method: str, classes: int, unfair_images: Callable[..., Problem]) -> None:
    task = unfair_images(classes)
    _, last = METHODS[method](task, epochs=4, augment=True)
    y, _ = task.labels(task.test)
    assert last.score.shape == (*y.shape, 1 if classes == 2 else classes)
    guess = last.score.argmax(dim=-1) if classes > 2 else (last.score > last.score.median()).squeeze(-1).long()
    assert (guess == y).float().mean() > 1 / classes + 0.1


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"lr": 0.0}, "lr is 0"),
        ({"strength": -1.0}, "strength is -1"),
        ({"opponent_lr": 0.0}, "opponent_lr is 0"),
    ],
)
def test_settings_that_train_nothing_are_refused(settings: dict[str, float], key: str) -> None:
    with pytest.raises(InputError, match=key):
        Contested(**settings)  # type: ignore[arg-type]
