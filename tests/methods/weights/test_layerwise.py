"""Layer-wise optimisation: which tensor moves, how far, and that a search finds more than it started with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from counterpoise.errors import InputError
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.methods.weights.judging import repaired
from counterpoise.methods.weights.layerwise import Layerwise, _Search, layerwise_optimization

QUICK = Layerwise(calls=6)


@pytest.fixture
def task(unfair: Callable[..., Problem]) -> Problem:
    return unfair()


def moved(outcome: Result, task: Problem, r: int) -> dict[str, torch.Tensor]:
    """Return the offsets of a replicate's tensors that are not the base's."""
    offsets = {name: (tensor[r] - task.base[name][r]) for name, tensor in outcome.part("network").items()}
    return {name: offset for name, offset in offsets.items() if offset.any()}


def test_one_of_the_last_tensors_moves_within_its_box(task: Problem) -> None:
    (outcome,) = layerwise_optimization(replace(task, method="layerwise"), QUICK, {})
    last = [name for name, _ in task.network().named_parameters()][-5:]
    for r, number in enumerate(outcome.facts["tensor"].tolist()):
        offsets = moved(outcome, task, r)
        assert [*offsets] == ([] if number == 0 else [last[number - 1]])
        for name, offset in offsets.items():
            spread = task.base[name][r].std(correction=0)
            assert offset.abs().max() <= 2.2 * spread * (1 + 1e-5)
            assert offset.count_nonzero() > 1  # entry by entry, not the tensor as a whole
    assert outcome.facts["tensor"].any(), "no replicate has found anything better than its base"


def test_the_search_improves_on_the_base_and_more_calls_never_harm(task: Problem) -> None:
    start = repaired(task, rows=task.dval).facts["phi"]
    found = torch.stack(
        [
            layerwise_optimization(replace(task, method="layerwise"), Layerwise(calls=calls), {})[0].facts["phi"]
            for calls in (2, 8)
        ]
    )
    assert (found[0] >= start).all()
    assert (found[1] >= found[0]).all()
    assert (found[1] > start).any()


def test_a_replicate_is_the_same_beside_others_and_alone(unfair: Callable[..., Problem]) -> None:
    together = layerwise_optimization(replace(unfair(), method="layerwise"), QUICK, {})[0]
    (outcome,) = layerwise_optimization(replace(unfair().replicate(1), method="layerwise"), QUICK, {})
    assert outcome.facts["tensor"][0] == together.facts["tensor"][1]
    for name, tensor in outcome.part("network").items():
        torch.testing.assert_close(tensor[0], together.part("network")[name][1])


def test_of_a_large_tensor_some_entries_move(task: Problem) -> None:
    settings = Layerwise(tensors=6, calls=3, box=0.5, entries=5)  # the sixth from the end are the weights, 8 × 8
    (outcome,) = layerwise_optimization(replace(task, method="layerwise"), settings, {})
    for r in range(len(task.seeds)):
        assert all(int(offset.count_nonzero()) <= 5 for offset in moved(outcome, task, r).values())


def test_tensors_that_span_no_box_leave_the_base(task: Problem) -> None:
    """The last tensor is the bias of one logit."""
    (outcome,) = layerwise_optimization(replace(task, method="layerwise"), Layerwise(tensors=1), {})
    assert not outcome.facts["tensor"].any()
    assert torch.equal(outcome.prediction, repaired(task, rows=task.dval).prediction)


def test_it_says_nothing(task: Problem, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.INFO):
        layerwise_optimization(replace(task, method="layerwise"), Layerwise(tensors=2, calls=2), {})
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("settings", [{"tensors": 0}, {"calls": 0}, {"entries": 0}, {"box": 0.0}])
def test_settings_that_search_nothing_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(settings))} is 0"):
        Layerwise(**settings)  # type: ignore[arg-type]


def test_proposals_follow_what_was_learned_where_a_tensor_spans_a_box(task: Problem) -> None:
    """The second replicate's entries are equal, so that nothing of it moves; the first's are best moved by ½."""
    tensor = torch.randn(len(task.seeds), 2, generator=torch.Generator().manual_seed(0))
    tensor[1] = 3.0
    settings = Layerwise(calls=60, box=1 / tensor[0].std(correction=0).item())
    start = torch.full((len(task.seeds),), -0.5).double()
    search = _Search(task, "a tensor", tensor, settings, start)
    assert search.is_possible
    distances = []
    for _ in range(settings.calls):
        offset = (search.propose() - tensor)[0]
        distances.append(float((offset - 0.5).square().sum()))
        search.learn(torch.full((len(task.seeds),), -distances[-1]).double())
    assert sum(distances[-20:]) < 0.5 * sum(distances[:20])
    assert torch.equal(search.propose()[1], tensor[1])
    assert not _Search(task, "a tensor", torch.ones_like(tensor), settings, start).is_possible
