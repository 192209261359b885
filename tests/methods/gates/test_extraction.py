"""Sub-networks by learnt gates and their controls: what each leaves, what it is worth, and what a kill costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from counterpoise.artifacts.states import TrainingStates
from counterpoise.catalogue import methods_of
from counterpoise.methods.gates.gating import GateSettings, closed_share, evaluate_gated
from counterpoise.methods.gates.heads import HeadSettings
from counterpoise.methods.gates.schedules import Geometric, Stalling, StraightThrough
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, run

Coloured = Callable[..., Problem]
Ran = Callable[..., dict[str, Result]]
FewRows = Callable[[Problem], Problem]
Accuracy = Callable[[Problem, Result], float]

GATED = [name for name, method in methods_of("gates").items() if method.run.endswith(":extract")]
CONTROLS = [name for name, method in methods_of("gates").items() if method.control]


def in_a_hurry(gates: GateSettings, epochs: int) -> GateSettings:
    """Settings with few epochs, and heads that have hardly begun."""
    temperature = gates.temperature
    assert isinstance(temperature, Geometric | StraightThrough)
    head = HeadSettings(most=4)
    return replace(gates, batch_size=20, temperature=replace(temperature, epochs=epochs), head=head, judge=head)


def numbers(result: Result) -> dict[str, Tensor]:
    facts = {name: value for name, value in result.facts.items() if isinstance(value, Tensor)}
    curves = {f"curves.{name}": curve for name, curve in result.curves.items()}
    epoch = {} if result.epoch is None else {"epoch": result.epoch}
    return {"score": result.score, "prediction": result.prediction, **facts, **curves, **result.tensors, **epoch}


def same(one: Result, other: Result) -> bool:
    first, second = numbers(one), numbers(other)
    return first.keys() == second.keys() and all(
        torch.equal(value.double().nan_to_num(-7), second[name].double().nan_to_num(-7))
        for name, value in first.items()
    )


class TestWhatEachLeaves:
    def test_all_run_in_the_order_of_the_catalogue(self, ran: Ran) -> None:
        assert list(ran()) == list(methods_of("gates"))
        for name, result in ran().items():
            assert bool(result.part("masks")) == ("sparsity" in result.facts) == (name in (*GATED, *CONTROLS))
            assert (result.epoch is not None) == bool(result.curves) == (name in GATED)
            assert result.facts.keys() >= {"information", "leakage", "conflicting_accuracy", "unbiased_average"}

    @pytest.mark.parametrize("name", [*GATED, *CONTROLS])
    def test_gates_decide_what_is_reported(self, name: str, ran: Ran, coloured: Coloured) -> None:
        problem, result = coloured("plain"), ran()[name]
        opened = result.part("masks")
        output = evaluate_gated(problem, problem.network(), problem.test, opened)
        assert torch.equal(result.prediction, output.logits.argmax(dim=-1))
        assert torch.equal(result.facts["sparsity"], closed_share(opened))
        assert 0 < result.fact("sparsity", 0) < 1
        assert all(gates.dtype == torch.bool for gates in opened.values())

    @pytest.mark.parametrize("name", GATED)
    def test_the_epoch_that_is_kept_is_the_best_of_its_curve(self, name: str, ran: Ran) -> None:
        result = ran()[name]
        assert result.epoch is not None
        judged = result.curves["judgement"][0]
        assert result.epoch.item() == judged.argmax().item() + 1
        sparsity = result.curves["sparsity"][0, int(result.epoch) - 1]
        assert sparsity.item() == pytest.approx(result.fact("sparsity", 0))


class TestWhatItIsWorth:
    """On a problem that was made for it: signs, not sizes."""

    def test_a_sub_network_knows_the_task_and_less_of_the_bias(
        self, ran: Ran, coloured: Coloured, accuracy: Accuracy
    ) -> None:
        problem, results = coloured("plain"), ran()
        for name in ("ffw", "ffw_best_reader"):
            assert accuracy(problem, results[name]) > accuracy(problem, results["vanilla"]) + 0.1
            for figure in ("information", "leakage"):
                assert results[name].fact(figure, 0) < results["vanilla"].fact(figure, 0)

    def test_the_information_term_is_what_takes_it_out(self, ran: Ran) -> None:
        without = ran()["ffw_without_information"].fact("information", 0)
        assert ran()["ffw"].fact("information", 0) < without
        assert ran()["ffw_best_reader"].fact("information", 0) < 0.5 * without

    def test_masks_that_were_not_learnt_are_no_better_than_the_network(
        self, ran: Ran, coloured: Coloured, accuracy: Accuracy
    ) -> None:
        problem, results = coloured("plain"), ran()
        for name in CONTROLS:
            assert accuracy(problem, results[name]) < accuracy(problem, results["ffw"]) - 0.1


class TestControls:
    @pytest.mark.parametrize("name", CONTROLS)
    def test_close_as_many_in_each_layer_as_the_sub_network(self, name: str, ran: Ran) -> None:
        control, model = ran()[name], ran()["ffw"]
        opened = control.part("masks")
        assert list(opened) == list(model.part("masks"))
        for layer, mask in model.part("masks").items():
            assert (opened[layer].sum() == mask.sum()).item()
            assert not torch.equal(opened[layer], mask)
        assert torch.equal(control.facts["sparsity"], model.facts["sparsity"])

    def test_magnitude_keeps_the_largest_of_each_layer(self, ran: Ran, coloured: Coloured) -> None:
        opened = ran()["magnitude_mask"].part("masks")
        assert opened
        for layer, mask in opened.items():
            size = coloured("plain").base[layer].abs()
            assert size[mask].min() >= size[~mask].max()

    def test_chance_looks_at_no_size(self, ran: Ran, coloured: Coloured) -> None:
        opened = ran()["chance_mask"].part("masks")["conv2.weight"]
        size = coloured("plain").base["conv2.weight"].abs()
        assert size[opened].min() < size[~opened].median()
        assert (size[opened].mean() / size[~opened].mean()).item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("names", [("refit", "vanilla"), ("ffw", "chance_mask"), ("ffw_structured", "leace")])
def test_no_method_s_numbers_depend_on_which_others_run(
    names: Sequence[str], ran: Ran, coloured: Coloured, settings: dict[str, Any]
) -> None:
    """Nor on the order in which they are asked for."""
    alone = run(coloured("plain"), {name: settings[name] for name in reversed(names)}, ("gates",))
    assert [result.name for result in alone] == [name for name in methods_of("gates") if name in names]
    assert all(same(result, ran()[result.name]) for result in alone)


class KilledError(Exception):
    """The process ends here."""


class TestAKilledRun:
    @pytest.mark.parametrize("name", ["ffw", "ffw_structured", "ffw_best_reader"])
    def test_goes_on_to_the_same_result(
        self, name: str, coloured: Coloured, few_rows: FewRows, settings: dict[str, Any], tmp_path: Path
    ) -> None:
        """The first one with a temperature that follows the information: it is part of the state."""
        gates, problem = in_a_hurry(settings[name], 3), few_rows(coloured())
        if name == "ffw":
            gates = replace(gates, temperature=Stalling(patience=0, factor=0.3, epochs=3))
        (straight,) = run(problem, {name: gates}, ("gates",))
        assert (straight.curves["loss"][0].diff() != 0).all(), "something moves"

        def dying(training: str, epoch: int, epochs: int) -> None:
            if epoch == 2:
                raise KilledError

        with pytest.raises(KilledError):
            run(replace(problem, states=TrainingStates(tmp_path), progress=dying), {name: gates}, ("gates",))
        epochs: list[int] = []
        states = TrainingStates(tmp_path)
        watched = replace(problem, states=states, progress=lambda training, epoch, total: epochs.append(epoch))
        (resumed,) = run(watched, {name: gates}, ("gates",))
        assert epochs == [3]
        assert same(straight, resumed)
        assert len(list(tmp_path.iterdir())) == 1

    def test_another_training_has_another_state(
        self, coloured: Coloured, few_rows: FewRows, settings: dict[str, Any], tmp_path: Path
    ) -> None:
        """Nothing that a training depends on may differ from what its state was made of."""
        problem = replace(few_rows(coloured()), states=TrainingStates(tmp_path))
        short = in_a_hurry(settings["ffw"], 1)
        turned = {name: tensor.flip(-1) for name, tensor in problem.base.items()}
        runs = [
            (problem, short),
            (problem, replace(short, gamma=2.0)),
            (problem, replace(short, reader="best")),
            (problem, replace(short, granularity="channels")),
            (problem, replace(short, temperature=Geometric(factor=0.4, epochs=1))),
            (problem, replace(short, head=replace(short.head, most=3))),
            (replace(problem, base=turned), short),
            (replace(problem, fit=problem.fit.flip(1)), short),
            (replace(problem, values=(4,)), short),
        ]
        for count, (variation, gates) in enumerate([*runs, runs[0]], start=1):
            run(variation, {"ffw": gates}, ("gates",))
            assert len(list(tmp_path.iterdir())) == min(count, len(runs))
