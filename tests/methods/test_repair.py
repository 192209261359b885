"""Results, how they are put together, and how methods are run one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from counterpoise.catalogue import methods_of
from counterpoise.methods import repair
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result, join, prefixed, settings_class
from counterpoise.methods.weights.adversarial import Adversarial
from counterpoise.methods.weights.finetuning import pruned_finetuning
from counterpoise.methods.weights.mask_discovery import MaskSettings, discovered

REPLICATES, TESTED, EPOCHS = 2, 3, 4


def result(name: str = "method", seed: int = 0, *, trained: bool = True) -> Result:
    """A result with something in every field, drawn by a seed."""
    drawn = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.rand(REPLICATES, *shape, generator=drawn, dtype=torch.float64)

    return Result(
        name,
        numbers(TESTED, 1).float(),
        (numbers(TESTED) > 0.5).long(),
        epoch=torch.tensor([2, 4]) if trained else None,
        curves={"loss": numbers(EPOCHS), "bias": numbers(EPOCHS)} if trained else {},
        tensors=prefixed("network", {"w": numbers(5), "networks": numbers(1)}) | prefixed("masks", {"w": numbers(5)}),
        facts={"phi": numbers(), "trial": torch.tensor([3, 8]), "chosen_on": 17, "alpha": None, "critic": "exact"},
    )


class TestResult:
    def test_parts_are_the_tensors_under_a_name_without_it(self) -> None:
        tensors = result().tensors
        network, masks = result().part("network"), result().part("masks")
        assert list(network) == ["w", "networks"]
        assert torch.equal(network["w"], tensors["network.w"])
        assert torch.equal(masks["w"], tensors["masks.w"])
        assert result().part("net") == result().part("head") == {}
        assert list(prefixed("network", network) | prefixed("masks", masks)) == list(tensors)

    def test_facts_are_a_replicate_s_or_the_same_for_all(self) -> None:
        one = result()
        assert one.fact("phi", 1) == one.facts["phi"][1].item()  # type: ignore[index, union-attr]
        assert [one.fact("trial", r) for r in range(REPLICATES)] == [3, 8]
        assert isinstance(one.fact("trial", 0), int)
        assert [one.fact("chosen_on", r) for r in range(REPLICATES)] == [17, 17]
        assert one.fact("critic", 0) == "exact"
        assert one.fact("alpha", 0) is None
        assert one.fact("nothing of that name", 0) is None

    def test_epochs_are_those_of_the_curves(self) -> None:
        assert result().epochs == EPOCHS
        assert result(trained=False).epochs is None


class TestJoin:
    def test_replicates_stand_behind_one_another_in_everything(self) -> None:
        apart = [[result("a", seed), result("b", seed + 10)] for seed in range(3)]
        joined = join(apart)
        assert [one.name for one in joined] == ["a", "b"]
        for position, one in enumerate(joined):
            parts = [results[position] for results in apart]
            for field in ("score", "prediction", "epoch"):
                assert torch.equal(getattr(one, field), torch.cat([getattr(part, field) for part in parts]))
            for field in ("curves", "tensors"):
                assert list(getattr(one, field)) == list(getattr(parts[0], field))
                for name, tensor in getattr(one, field).items():
                    assert torch.equal(tensor, torch.cat([getattr(part, field)[name] for part in parts]))
            for r in range(3 * REPLICATES):
                part = parts[r // REPLICATES]
                assert all(one.fact(name, r) == part.fact(name, r % REPLICATES) for name in part.facts)

    def test_what_was_not_trained_has_no_epoch(self) -> None:
        (joined,) = join([[result(trained=False)], [result(trained=False)]])
        assert joined.epoch is None
        assert joined.epochs is None

    def test_of_one_run_is_that_run(self) -> None:
        (joined,) = join([[result()]])
        assert torch.equal(joined.score, result().score)

    def test_refuses_runs_of_other_methods(self) -> None:
        with pytest.raises(ValueError, match="shorter"):
            join([[result("a"), result("b")], [result("a")]])


class TestRun:
    def test_methods_are_given_their_name_their_settings_and_what_they_come_after(
        self, unfair: Callable[..., Problem], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And the same shared store, which is not the problem's."""
        calls: list[tuple[str, Any, dict[str, list[Result]]]] = []
        problem, stores = unfair(), []

        def function_of(method: Any) -> Callable[..., list[Result]]:
            def function(problem: Problem, settings: Any, earlier: dict[str, list[Result]]) -> list[Result]:
                calls.append((problem.method, settings, earlier))
                stores.append(problem.shared)
                return [result(method.name), result(f"{method.name}_last")]

            return function

        monkeypatch.setattr(repair, "function_of", function_of)
        asked = {"netaug": "n", "prune_guided_by_netaug": "g", "threshold": None, "mask_only": "m", "win": "?"}
        results = repair.run(problem, asked, ("weights",))
        names = [name for name, _, _ in calls]
        assert sorted(names) == sorted({*asked} - {"win"}), "WIN repairs no weights"
        assert [one.name for one in results] == [f"{name}{end}" for name in names for end in ("", "_last")]
        for name, settings, earlier in calls:
            assert settings == asked[name]
            assert tuple(earlier) == methods_of("weights")[name].after
            assert all([one.name for one in own] == [other, f"{other}_last"] for other, own in earlier.items())
        assert all(store is stores[0] for store in stores)
        assert stores[0] is not problem.shared

    def test_what_a_method_uses_is_what_the_one_before_has_returned(self, unfair: Callable[..., Problem]) -> None:
        problem = unfair()
        masks = MaskSettings(epochs=2, batch_size=64, lr=0.5)
        tuning = Adversarial(epochs=1, warmup=0, batch_size=64)
        settings = {"prune_adversarial_finetuning": tuning, "mask_only": masks}
        results = {one.name: one for one in repair.run(problem, settings, ("weights",))}
        pruned = results["mask_only"].part("masks")
        network = results["prune_adversarial_finetuning"].part("network")
        assert sum(int((~mask).sum()) for mask in pruned.values())
        assert all(not network[name][~mask].any() for name, mask in pruned.items())
        earlier = {"mask_only": [results["mask_only"], results["mask_only_last"]]}
        named = replace(problem, method="prune_adversarial_finetuning")
        (best, _) = pruned_finetuning(named, tuning, earlier)
        assert torch.equal(best.score, results["prune_adversarial_finetuning"].score)
        assert all(torch.equal(mask, discovered(earlier)[name]) for name, mask in pruned.items())


def test_settings_are_the_class_that_the_function_declares() -> None:
    rows = methods_of("weights", "gates")
    assert settings_class(rows["baseline"]) is None
    assert settings_class(rows["mask_only"]) is MaskSettings
