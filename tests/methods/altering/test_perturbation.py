"""Random perturbation: what is perturbed and by how much, and whose best is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from counterpoise.errors import InputError
from counterpoise.methods.altering.perturbation import Perturbation, perturbed, random_perturbation
from counterpoise.methods.altering.task import Task
from counterpoise.nn import generators
from counterpoise.nn.networks import SingleNetwork

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture
def task(unfair: Callable[..., Task]) -> Task:
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


def test_parameters_move_and_statistics_stay(task: Task) -> None:
    (outcome,) = random_perturbation(task, "perturbation", Perturbation(trials=3))
    assert outcome.state is not None
    for name, tensor in outcome.state.items():
        moved = (tensor != task.base[name]).flatten(1).any(dim=1)
        if name.startswith(STATISTICS):
            assert not moved.any(), name
        elif (task.base[name] != 0).any():
            assert moved.all(), name


def test_each_replicate_keeps_its_best_trial(task: Task) -> None:
    """A run of fewer trials draws the same ones, so the best of t trials is never worse than that of t − 1."""
    runs = [random_perturbation(task, "perturbation", Perturbation(trials=t, spread=0.3))[0] for t in range(1, 9)]
    highest = torch.stack([run.judged.phi for run in runs])
    assert torch.equal(highest, highest.cummax(dim=0).values)
    chosen = torch.stack([run.facts["trial"] for run in runs])
    assert torch.equal(chosen[1:] != chosen[:-1], highest[1:] > highest[:-1])  # a later trial only if it is better
    assert len(chosen[-1].unique()) > 1, "replicates choose for themselves"
    assert runs[-1].chosen_on == task.validation.shape[1]


def test_a_replicate_is_the_same_beside_others_and_alone(
    unfair: Callable[..., Task],
) -> None:
    together = random_perturbation(unfair(), "perturbation", Perturbation(trials=4))[0]
    second = unfair().replicate(1)
    alone = replace(second, build=unfair(seeds=(second.seeds[0],)).build)
    (outcome,) = random_perturbation(alone, "perturbation", Perturbation(trials=4))
    assert outcome.facts["trial"] == together.facts["trial"][1]
    assert outcome.state is not None
    assert together.state is not None
    for name, tensor in outcome.state.items():
        torch.testing.assert_close(tensor[0], together.state[name][1])


def test_a_convolutional_network_has_all_its_parameters_perturbed(unfair: Callable[..., Task]) -> None:
    def build() -> SingleNetwork:
        torch.manual_seed(0)
        layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
        return SingleNetwork(nn.Sequential(*layers), head="4", mean=(0.5,) * 3, std=(0.3,) * 3)

    task = unfair(seeds=(0,))
    images = (task.examples.x[:, :3, None, None] * 40 + 128).clamp(0, 255).to(torch.uint8).repeat(1, 1, 5, 5)
    images = replace(task, build=build, base=build().copied(), examples=replace(task.examples, x=images))
    (outcome,) = random_perturbation(images, "perturbation", Perturbation(trials=2))
    assert outcome.state is not None
    moved = {name for name, tensor in outcome.state.items() if (tensor != images.base[name]).any()}
    assert moved == {"0.weight", "0.bias", "1.weight", "4.weight", "4.bias"}  # the shift of batch norm is still zero


@pytest.mark.parametrize(("settings", "key"), [({"trials": 0}, "trials is 0"), ({"spread": 0.0}, "spread is 0")])
def test_settings_that_perturb_nothing_are_refused(settings: dict[str, float], key: str) -> None:
    with pytest.raises(InputError, match=key):
        Perturbation(**settings)  # type: ignore[arg-type]
