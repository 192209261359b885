"""The problem that all methods share: its rows, its random streams, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from counterpoise.artifacts.states import TrainingStates
from counterpoise.errors import InputError
from counterpoise.methods.objective import judge
from counterpoise.methods.outputs import scores
from counterpoise.methods.problem import Problem
from counterpoise.nn import generators
from counterpoise.nn.networks import evaluate

Unfair = Callable[..., Problem]


@pytest.fixture
def problem(unfair: Unfair) -> Problem:
    return unfair()


@pytest.fixture
def biased(problem: Problem) -> Problem:
    """The problem with two biases, the group and a drawn one, in the place of an objective."""
    drawn = torch.randint(0, 2, problem.examples.s.shape, generator=torch.Generator().manual_seed(2))
    return replace(problem, objective=None, biases=torch.stack([problem.examples.s, drawn]), values=(2, 2))


def test_dval_is_what_is_fitted_then_what_is_chosen_on(problem: Problem) -> None:
    fitted = problem.fit.shape[1]
    assert torch.equal(problem.dval[:, :fitted], problem.fit)
    assert torch.equal(problem.dval[:, fitted:], problem.select)
    y, s = problem.labels(problem.dval)
    assert torch.equal(y, problem.examples.y[problem.dval])
    assert torch.equal(s, problem.examples.s[problem.dval])


def test_random_streams_are_of_the_seed_and_the_purpose_alone(problem: Problem) -> None:
    streams = replace(problem, method="other", fit=problem.fit.flip(1)).generators("noise")
    known = generators(problem.seeds, "noise")
    draws = [[torch.rand(3, generator=generator).tolist() for generator in each] for each in (streams, known)]
    assert draws[0] == draws[1]
    other = [torch.rand(3, generator=generator).tolist() for generator in problem.generators("other")]
    assert len({*map(tuple, draws[0] + other)}) == 2 * len(problem.seeds)


def test_a_replicate_has_its_rows_its_seed_and_its_base(problem: Problem) -> None:
    alone = problem.replicate(1)
    assert list(alone.seeds) == [problem.seeds[1]]
    for part in ("pretrain", "fit", "select", "test", "dval"):
        assert torch.equal(getattr(alone, part), getattr(problem, part)[1:2])
    score = evaluate(problem.network(), problem.examples, problem.test).logits
    torch.testing.assert_close(evaluate(alone.network(), alone.examples, alone.test).logits[0], score[1])
    problem.once("name", lambda: 1)
    assert alone.once("name", lambda: 2) == 2


def test_what_several_methods_need_is_computed_once(problem: Problem) -> None:
    problem = replace(problem, shared={})
    computed: list[int] = []
    for _ in range(3):
        assert problem.once("name", lambda: computed.append(1) or len(computed)) == 1  # type: ignore[func-returns-value]
    assert problem.once("other", lambda: "other") == "other"
    assert replace(problem, method="another").once("name", lambda: 0) == 1, "of the same problem"


def test_networks_are_the_base_s_or_in_another_state(problem: Problem) -> None:
    weights = {name: tensor * 2 for name, tensor in problem.base.items()}
    assert all(torch.equal(tensor, problem.base[name]) for name, tensor in problem.network().state().items())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in problem.network(weights).state().items())


def test_figures_are_those_of_the_scores_as_they_are_read(problem: Problem) -> None:
    """At the threshold that is best on the rows, and through `read` where outputs are not the classes."""
    turned = replace(problem, read=lambda logits: 1 - scores(logits))
    logits = evaluate(problem.network(), problem.examples, problem.select).logits
    for each, score in ((problem, scores(logits)), (turned, 1 - scores(logits))):
        expected = judge(problem.goal, score, *problem.labels(problem.select), aim="performance")
        judged = each.judged(each.network(), each.select, aim="performance")
        assert torch.equal(judged.performance, expected.performance)
        assert torch.equal(judged.threshold, expected.threshold)
    assert not torch.equal(
        problem.judged(problem.network(), problem.select).phi, turned.judged(turned.network(), turned.select).phi
    )


def test_a_method_that_needs_an_objective_says_so_where_there_is_none(biased: Problem) -> None:
    with pytest.raises(InputError, match="netaug: the experiment has no objective, expected one to judge repairs by"):
        _ = replace(biased, method="netaug").goal


@pytest.mark.parametrize("number", [1, 2])
def test_a_bias_with_one_value_is_refused(number: int, biased: Problem) -> None:
    biases = biased.biases.clone()
    biases[number - 1, biased.fit.flatten()] = 1
    sentence = f"bias {number}: all 300 rows to learn gates on have the value 1, expected at least two values"
    with pytest.raises(InputError, match=sentence):
        replace(biased, biases=biases)


def test_rows_are_not_asked_for_cells_where_there_is_no_objective(biased: Problem) -> None:
    rows = biased.fit.clone()
    rows[:] = rows[0, biased.examples.y[rows[0]] == 0][:20].repeat(15)
    assert (biased.examples.y[replace(biased, fit=rows).fit] == 0).all()


def test_trainings_go_on_in_a_folder_by_name_and_settings(problem: Problem, tmp_path: Path) -> None:
    """What has no folder leaves no state."""
    from counterpoise.methods.weights.finetuning import Penalty, direct_penalty

    settings = Penalty(epochs=1, batch_size=100)
    for states in (None, TrainingStates(tmp_path)):
        direct_penalty(replace(problem, method="penalty", states=states), settings, {})
    (state,) = tmp_path.iterdir()
    assert state.name.startswith("penalty-")
