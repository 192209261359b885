"""Random perturbation: what is perturbed and by how much, and whose best is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from counterpoise.errors import InputError
from counterpoise.methods.problem import Problem
from counterpoise.methods.weights.perturbation import Perturbation, perturbed, random_perturbation
from counterpoise.nn import generators

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture
def task(unfair: Callable[..., Problem]) -> Problem:
    return unfair()


def test_every_number_is_multiplied_by_a_draw_of_its_own() -> None:
    """Zero stays zero; the factors' mean is 1 and their standard deviation the spread."""
    parameters = {"weight": torch.full((2, 100, 200), 3.0), "gamma": torch.zeros(2, 50)}
    made = perturbed(parameters, 0.1, generators([0, 1], "noise"))
    factors = made["weight"] / 3
    assert factors.mean().item() == pytest.approx(1, abs=0.003)
    assert factors.std().item() == pytest.approx(0.1, abs=0.003)
    assert len(factors.unique()) > 30_000  # no row, column or replicate shares a draw; float32 has few numbers near 1
    assert torch.equal(made["gamma"], parameters["gamma"])


def test_parameters_move_and_statistics_stay(task: Problem) -> None:
    (outcome,) = random_perturbation(replace(task, method="perturbation"), Perturbation(trials=3), {})
    for name, tensor in outcome.part("network").items():
        moved = (tensor != task.base[name]).flatten(1).any(dim=1)
        if name.startswith(STATISTICS):
            assert not moved.any(), name
        elif (task.base[name] != 0).any():
            assert moved.all(), name


def test_each_replicate_keeps_its_best_trial(task: Problem) -> None:
    """A run of fewer trials draws the same ones, so the best of t trials is never worse than that of t − 1."""
    runs = [
        random_perturbation(replace(task, method="perturbation"), Perturbation(trials=t, spread=0.3), {})[0]
        for t in range(1, 9)
    ]
    highest = torch.stack([run.facts["phi"] for run in runs])
    assert torch.equal(highest, highest.cummax(dim=0).values)
    chosen = torch.stack([run.facts["trial"] for run in runs])
    assert torch.equal(chosen[1:] != chosen[:-1], highest[1:] > highest[:-1])  # a later trial only if it is better
    assert len(chosen[-1].unique()) > 1, "replicates choose for themselves"
    assert runs[-1].facts["chosen_on"] == task.dval.shape[1]


def test_a_replicate_is_the_same_beside_others_and_alone(unfair: Callable[..., Problem]) -> None:
    together = random_perturbation(replace(unfair(), method="perturbation"), Perturbation(trials=4), {})[0]
    (outcome,) = random_perturbation(replace(unfair().replicate(1), method="perturbation"), Perturbation(trials=4), {})
    assert outcome.facts["trial"] == together.facts["trial"][1]
    for name, tensor in outcome.part("network").items():
        torch.testing.assert_close(tensor[0], together.part("network")[name][1])


def test_a_convolutional_network_has_all_its_parameters_perturbed(unfair_images: Callable[..., Problem]) -> None:
    task = unfair_images()
    (outcome,) = random_perturbation(replace(task, method="perturbation"), Perturbation(trials=1), {})
    moved = {name for name, tensor in outcome.part("network").items() if (tensor != task.base[name]).any()}
    parameters = {name for name, _ in task.network().named_parameters()}
    assert {"conv1.weight", "bn1.weight", "fc.bias"} <= moved <= parameters
    assert parameters - moved == {name for name in parameters if not task.base[name].any()}  # shifts that are zero yet


@pytest.mark.parametrize(("settings", "key"), [({"trials": 0}, "trials is 0"), ({"spread": 0.0}, "spread is 0")])
def test_settings_that_perturb_nothing_are_refused(settings: dict[str, float], key: str) -> None:
    with pytest.raises(InputError, match=key):
        Perturbation(**settings)  # type: ignore[arg-type]
