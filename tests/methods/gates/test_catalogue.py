"""All methods on one network: what each leaves, that none minds its neighbours, and what a kill costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from counterpoise.methods.gates.catalogue import (
    CONTROLS,
    GATED,
    LAST_LAYERS,
    METHODS,
    Extracted,
    Settings,
    join,
    require_methods,
    run_methods,
)
from counterpoise.methods.gates.problem import Debiasing
from torch import Tensor

from counterpoise.artifacts.states import TrainingStates
from counterpoise.errors import InputError
from counterpoise.fairness import information, leakage_elsewhere
from counterpoise.methods.gates.gating import GateSettings, closed_share, evaluate_gated
from counterpoise.methods.gates.heads import BiasHeads, HeadSettings
from counterpoise.methods.gates.lastlayer import fit_erasers
from counterpoise.methods.gates.schedules import Geometric, Stalling, StraightThrough
from counterpoise.nn.networks import evaluate

Coloured = Callable[..., Debiasing]
Ran = Callable[..., dict[str, Extracted]]


def few_rows(problem: Debiasing) -> Debiasing:
    """The problem with a fraction of its unbiased rows, for what needs no result worth having."""
    return replace(problem, fit=problem.fit[:, :60], select=problem.select[:, :40], test=problem.test[:, :40])


def in_a_hurry(gates: GateSettings, epochs: int) -> GateSettings:
    """Settings with few epochs, and heads that have hardly begun."""
    temperature = gates.temperature
    assert isinstance(temperature, Geometric | StraightThrough)
    return replace(gates, batch_size=20, temperature=replace(temperature, epochs=epochs), head=HeadSettings(most=4))


def right(problem: Debiasing, made: Extracted) -> float:
    y, _ = problem.labels(problem.test)
    return (made.prediction == y).double().mean().item()


def numbers(made: Extracted) -> dict[str, Tensor]:
    known = {"score": made.score, "prediction": made.prediction} | made.figures
    known |= {f"layers.{name}": share for name, share in made.layers.items()}
    known |= {f"curves.{name}": curve for name, curve in made.curves.items()} | dict(made.head or {})
    return known | dict(made.opened or {}) | ({} if made.epoch is None else {"epoch": made.epoch})


def same(one: Extracted, other: Extracted) -> bool:
    first, second = numbers(one), numbers(other)
    return first.keys() == second.keys() and all(
        torch.equal(value.double().nan_to_num(-7), second[name].double().nan_to_num(-7))
        for name, value in first.items()
    )


class TestWhatEachLeaves:
    def test_all_run_in_the_order_of_the_list(self, ran: Ran) -> None:
        assert tuple(ran()) == METHODS
        for name, made in ran().items():
            assert made.name == name
            assert (made.opened is not None) == (name in (*GATED, *CONTROLS))
            assert (made.head is not None) == (name in LAST_LAYERS)
            assert (made.epoch is not None) == bool(made.curves) == (name in GATED)
            assert ("sparsity" in made.figures) == bool(made.layers) == (made.opened is not None)
            assert made.figures.keys() >= {"information", "leakage"}

    def test_vanilla_is_the_network_as_it_is(self, ran: Ran, coloured: Coloured) -> None:
        problem, vanilla = coloured("plain"), ran()["vanilla"]
        logits = evaluate(problem.network(), problem.examples, problem.test).logits
        assert torch.equal(vanilla.prediction, logits.argmax(dim=-1))
        torch.testing.assert_close(vanilla.score, logits.softmax(dim=-1))

    @pytest.mark.parametrize("name", [*GATED, *CONTROLS])
    def test_gates_decide_what_is_reported(self, name: str, ran: Ran, coloured: Coloured) -> None:
        problem, made = coloured("plain"), ran()[name]
        assert made.opened is not None
        found = evaluate_gated(problem, problem.network(), problem.test, made.opened)
        assert torch.equal(made.prediction, found.logits.argmax(dim=-1))
        assert torch.equal(made.figures["sparsity"], closed_share(made.opened))
        assert 0 < made.figures["sparsity"].item() < 1
        assert list(made.layers) == list(made.opened)
        for layer, share in made.layers.items():
            assert share.item() == pytest.approx(1 - made.opened[layer].double().mean().item())

    @pytest.mark.parametrize("name", GATED)
    def test_the_epoch_that_is_kept_is_the_best_of_its_curve(self, name: str, ran: Ran) -> None:
        made = ran()[name]
        assert made.epoch is not None
        judged = made.curves["judgement"][0]
        assert made.epoch.item() == judged.argmax().item() + 1
        kept = made.curves["sparsity"][0, int(made.epoch) - 1]
        assert kept.item() == pytest.approx(made.figures["sparsity"].item())

    @pytest.mark.parametrize("name", ["vanilla", "ffw", "leace"])
    def test_figures_are_of_test_rows_and_of_readers_that_were_fitted_to_others(
        self, name: str, ran: Ran, coloured: Coloured, settings: Settings
    ) -> None:
        problem, made = coloured("plain"), ran()[name]
        network, opened = problem.network(), made.opened or {}
        fitted, tested = (
            evaluate_gated(problem, network, rows, opened).features for rows in (problem.fit, problem.test)
        )
        if name == "leace":
            source = fitted
            fitted, tested = (fit_erasers(problem, source)(z) for z in (fitted, tested))
        b, other = problem.biases_of(problem.fit)[0], problem.biases_of(problem.test)[0]
        heads = BiasHeads(1, 16, (3,), settings.head, torch.device("cpu"))
        heads.fit(fitted, problem.biases_of(problem.fit))
        known = information(heads.logits(tested)[0].softmax(dim=-1), other)
        assert made.figures["information"].item() == pytest.approx(known.item(), abs=1e-6)
        probe = leakage_elsewhere(fitted[0], b[0], tested[0], other[0])
        assert made.figures["leakage"].item() == pytest.approx(probe, abs=1e-6)

    def test_two_biases_count_alike(self, coloured: Coloured, settings: Settings) -> None:
        problem = few_rows(coloured("perceptron", 2))
        (made,) = run_methods(problem, ["vanilla"], settings)
        fitted, tested = (
            evaluate(problem.network(), problem.examples, rows).features for rows in (problem.fit, problem.test)
        )
        learnt, asked = problem.biases_of(problem.fit), problem.biases_of(problem.test)
        each = [leakage_elsewhere(fitted[0], learnt[k, 0], tested[0], asked[k, 0]) for k in range(2)]
        assert abs(each[0] - each[1]) > 0.02
        assert made.figures["leakage"].item() == pytest.approx(sum(each) / 2)


class TestWhatItIsWorth:
    """On a problem that was made for it: signs, not sizes."""

    def test_a_sub_network_knows_the_task_and_less_of_the_bias(self, ran: Ran, coloured: Coloured) -> None:
        problem, made = coloured("plain"), ran()
        for name in ("ffw", "ffw_best_reader"):
            assert right(problem, made[name]) > right(problem, made["vanilla"]) + 0.1
            for figure in ("information", "leakage"):
                assert made[name].figures[figure] < made["vanilla"].figures[figure]

    def test_the_information_term_is_what_takes_it_out(self, ran: Ran) -> None:
        without = ran()["ffw_without_information"].figures["information"]
        assert ran()["ffw"].figures["information"] < without
        assert ran()["ffw_best_reader"].figures["information"] < 0.5 * without

    def test_masks_that_were_not_learnt_are_no_better_than_the_network(self, ran: Ran, coloured: Coloured) -> None:
        problem, made = coloured("plain"), ran()
        for name in CONTROLS:
            assert right(problem, made[name]) < right(problem, made["ffw"]) - 0.1

    def test_new_last_layers_gain_and_only_erasure_hides_the_bias(self, ran: Ran, coloured: Coloured) -> None:
        problem, made = coloured("plain"), ran()
        for name in ("refit", "svd", "win", "leace"):
            assert right(problem, made[name]) > right(problem, made["vanilla"]) + 0.1
        for name in ("refit", "svd", "win"):  # the features are the same
            assert made[name].figures["leakage"] == made["vanilla"].figures["leakage"]
        assert made["leace"].figures["leakage"] < 0.45


class TestControls:
    @pytest.mark.parametrize("name", CONTROLS)
    def test_close_as_many_in_each_layer_as_the_sub_network(self, name: str, ran: Ran) -> None:
        made, like = ran()[name], ran()["ffw"]
        assert made.opened is not None
        assert like.opened is not None
        for layer, mask in like.opened.items():
            assert (made.opened[layer].sum() == mask.sum()).item()
            assert not torch.equal(made.opened[layer], mask)
        assert torch.equal(made.figures["sparsity"], like.figures["sparsity"])

    def test_magnitude_keeps_the_largest_of_each_layer(self, ran: Ran, coloured: Coloured) -> None:
        opened = ran()["magnitude_mask"].opened
        assert opened is not None
        for layer, mask in opened.items():
            size = coloured("plain").base[layer].abs()
            assert size[mask].min() >= size[~mask].max()

    def test_chance_looks_at_no_size(self, ran: Ran, coloured: Coloured) -> None:
        opened = ran()["chance_mask"].opened
        assert opened is not None
        size = coloured("plain").base["conv2.weight"].abs()
        kept, closed = size[opened["conv2.weight"]], size[~opened["conv2.weight"]]
        assert kept.min() < closed.median()
        assert (kept.mean() / closed.mean()).item() == pytest.approx(1, abs=0.15)


class TestNeighbours:
    @pytest.mark.parametrize(
        "names",
        [("refit", "vanilla"), ("ffw", "chance_mask"), ("ffw_structured", "leace")],
    )
    def test_no_method_s_numbers_depend_on_which_others_run(
        self, names: Sequence[str], ran: Ran, coloured: Coloured, settings: Settings
    ) -> None:
        """Nor on the order in which they are asked for."""
        alone = run_methods(coloured("plain"), names[::-1], settings)
        assert [one.name for one in alone] == [name for name in METHODS if name in names]
        assert all(same(one, ran()[one.name]) for one in alone)

    def test_replicates_that_ran_apart_stand_behind_one_another(self, ran: Ran) -> None:
        names = ("vanilla", "ffw", "refit")
        here = [ran()[name] for name in names]
        there = [replace(one, prediction=one.prediction + 1) for one in here]
        joined = join([here, there])
        assert [one.name for one in joined] == list(names)
        for one, first, second in zip(joined, here, there, strict=True):
            for name, value in numbers(one).items():
                assert torch.equal(value, torch.cat([numbers(first)[name], numbers(second)[name]])), name


class KilledError(Exception):
    """The process ends here."""


class TestAKilledRun:
    @pytest.mark.parametrize("name", ["ffw", "ffw_structured", "ffw_best_reader"])
    def test_goes_on_to_the_same_result(
        self, name: str, coloured: Coloured, settings: Settings, tmp_path: Path
    ) -> None:
        """The first one with a temperature that follows the information: it is part of the state."""
        own, problem = in_a_hurry(settings.gates[name], 3), few_rows(coloured())
        if name == "ffw":
            own = replace(own, temperature=Stalling(patience=0, factor=0.3, epochs=3))
        few = replace(settings, gates={name: own})
        (straight,) = run_methods(problem, [name], few)
        assert (straight.curves["loss"][0].diff() != 0).all(), "something moves"

        def dying(training: str, epoch: int, epochs: int) -> None:
            if epoch == 2:
                raise KilledError

        with pytest.raises(KilledError):
            run_methods(replace(problem, states=TrainingStates(tmp_path), progress=dying), [name], few)
        epochs: list[int] = []
        (resumed,) = run_methods(
            replace(
                problem, states=TrainingStates(tmp_path), progress=lambda training, epoch, total: epochs.append(epoch)
            ),
            [name],
            few,
        )
        assert epochs == [3]
        assert same(straight, resumed)
        assert len(list(tmp_path.iterdir())) == 1

    def test_another_training_has_another_state(self, coloured: Coloured, settings: Settings, tmp_path: Path) -> None:
        """Nothing that a training depends on may differ from what its state was made of."""
        problem = replace(few_rows(coloured()), states=TrainingStates(tmp_path))
        short = in_a_hurry(settings.gates["ffw"], 1)
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
        for count, (own, gates) in enumerate([*runs, runs[0]], start=1):
            run_methods(own, ["ffw"], replace(settings, gates={"ffw": gates}, head=gates.head))
            assert len(list(tmp_path.iterdir())) == min(count, len(runs))


class TestWhatIsAskedFor:
    def test_unknown_methods_are_refused_with_the_closest_name(self, settings: Settings) -> None:
        require_methods(METHODS, settings.gates)
        with pytest.raises(InputError, match=r"'ffw_strng' is unknown \(did you mean 'ffw_strong'\?\)"):
            require_methods(["ffw_strng"], settings.gates)

    def test_gates_need_settings_and_controls_their_model(self, settings: Settings) -> None:
        with pytest.raises(InputError, match=r"'ffw_strong' has no settings in subnetworks\.gates"):
            require_methods(["ffw", "ffw_strong"], {"ffw": settings.gates["ffw"]})
        for name in CONTROLS:
            with pytest.raises(InputError, match=f"'{name}' needs 'ffw', whose sparsity it copies"):
                require_methods(["vanilla", name], settings.gates)
