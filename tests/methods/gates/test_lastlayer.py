"""New last layers on frozen features: where they begin, what they gain, and what can no longer be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.fairness import UndefinedMetricWarning, leakage, leakage_elsewhere
from counterpoise.methods.gates.biases import biases_of, conflicting
from counterpoise.methods.gates.lastlayer import (
    BankSettings,
    RefitSettings,
    between_alignments,
    choose_from_bank,
    fit_erasers,
    folded,
    head_layer,
    logits_of,
    train_last_layer,
)
from counterpoise.methods.heads.erasure import fit_eraser
from counterpoise.methods.heads.variants import Variant
from counterpoise.methods.problem import Problem
from counterpoise.methods.repair import Result
from counterpoise.nn import Factors
from counterpoise.nn.networks import Output, evaluate

Coloured = Callable[..., Problem]
Ran = Callable[..., dict[str, Result]]
SETTINGS = RefitSettings(epochs=6, batch_size=40, lr=0.02)


def said(problem: Problem) -> dict[str, Output]:
    return {
        part: evaluate(problem.network(), problem.examples, getattr(problem, part))
        for part in ("fit", "select", "dval", "test")
    }


def refitted(problem: Problem, settings: RefitSettings, variant: Variant = Variant("tl")) -> Factors:  # noqa: B008
    weight, bias = head_layer(problem.base, "fc.weight")
    return train_last_layer(problem, said(problem)["dval"].features, weight, bias, settings, variant)


def correct(problem: Problem, logits: Tensor, part: str) -> float:
    y, _ = problem.labels(getattr(problem, part))
    return (logits.argmax(dim=-1) == y).double().mean().item()


def test_the_head_layer_is_the_network_s(coloured: Coloured) -> None:
    problem = coloured("plain")
    weight, bias = head_layer(problem.base, "fc.weight")
    test = said(problem)["test"]
    torch.testing.assert_close(test.features @ weight + bias.unsqueeze(1), test.logits, rtol=1e-4, atol=1e-4)


def test_one_logit_becomes_two_with_the_same_softmax(coloured: Coloured, generator: torch.Generator) -> None:
    state = {
        "fc.weight": torch.randn(1, 1, 5, generator=generator),
        "fc.bias": torch.randn(1, 1, generator=generator),
    }
    z = torch.randn(1, 7, 5, generator=generator)
    weight, bias = head_layer(state, "fc.weight")
    two = (z @ weight + bias.unsqueeze(1)).softmax(dim=-1)[..., 1]
    torch.testing.assert_close(two, (z @ state["fc.weight"].mT + state["fc.bias"].unsqueeze(1)).sigmoid()[..., 0])


@pytest.mark.parametrize("variant", [Variant("tl"), Variant("win", rank=3, alpha=0.5)])
def test_a_last_layer_begins_as_the_frozen_one(variant: Variant, coloured: Coloured) -> None:
    problem = coloured("plain")
    head = refitted(problem, replace(SETTINGS, epochs=1, lr=1e-12), variant)
    test = said(problem)["test"]
    assert (head.second is not None) == (variant.name != "tl")
    torch.testing.assert_close(logits_of(head, test.features), test.logits, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("variant", [Variant("tl"), Variant("win", rank=3, alpha=0.5)])
def test_unbiased_rows_make_it_better(variant: Variant, coloured: Coloured) -> None:
    problem = coloured("plain")
    vanilla, head = said(problem), refitted(problem, SETTINGS, variant)
    y, _ = problem.labels(problem.select)
    for part in ("select", "test"):
        gained = correct(problem, logits_of(head, vanilla[part].features), part)
        assert gained > correct(problem, vanilla[part].logits, part) + 0.05
    few = refitted(problem, replace(SETTINGS, epochs=1), variant)
    losses = [
        torch.nn.functional.cross_entropy(logits_of(own, vanilla["select"].features)[0], y[0]) for own in (head, few)
    ]
    assert losses[0] < losses[1]


def test_the_rows_to_choose_on_are_not_fitted(coloured: Coloured) -> None:
    """Their labels choose an epoch and nothing else: with one epoch they change no bit."""
    problem = coloured("plain")
    y = problem.examples.y.clone()
    y[problem.select] = (y[problem.select] + 1) % problem.classes
    other = replace(problem, examples=replace(problem.examples, y=y))
    one, same = (refitted(own, replace(SETTINGS, epochs=1)) for own in (problem, other))
    assert torch.equal(one.first, same.first)
    assert not torch.equal(refitted(problem, SETTINGS).first, refitted(other, SETTINGS).first)


class TestErasure:
    def test_leaves_nothing_to_a_linear_probe(self, coloured: Coloured) -> None:
        """On the rows that it was fitted to no converged probe is better than chance; on others by luck at most."""
        problem = coloured("plain")
        found = said(problem)
        (s,), (s_test,) = biases_of(problem, problem.fit)[0], biases_of(problem, problem.test)[0]
        fitted, test = (found[part].features for part in ("fit", "test"))
        assert leakage_elsewhere(fitted[0], s, test[0], s_test) > 0.9
        fitted, test = (fit_erasers(problem, found["fit"].features)(z) for z in (fitted, test))
        assert leakage_elsewhere(fitted[0], s, fitted[0], s) == pytest.approx(1 / 3, abs=0.02)
        assert leakage_elsewhere(fitted[0], s, test[0], s_test) < 1 / 3 + 0.1
        for value in range(3):  # class means are equal: what LEACE promises
            torch.testing.assert_close(fitted[0][s == value].mean(dim=0), fitted[0].mean(dim=0), rtol=0, atol=1e-4)

    def test_leaves_the_task(self, coloured: Coloured) -> None:
        problem = coloured("plain")
        found = said(problem)
        (y,), (y_test,) = (problem.labels(rows)[0] for rows in (problem.fit, problem.test))
        fitted, test = (
            fit_erasers(problem, found["fit"].features)(found[part].features)[0] for part in ("fit", "test")
        )
        assert leakage_elsewhere(fitted, y, test, y_test) > 0.9

    def test_is_fitted_to_the_rows_it_is_told(self, coloured: Coloured) -> None:
        problem = coloured("plain")
        found = said(problem)
        _, s = problem.labels(problem.fit)
        known = fit_eraser(found["fit"].features, s)(found["test"].features)
        assert torch.equal(fit_erasers(problem, found["fit"].features)(found["test"].features), known)


@pytest.mark.parametrize("values", [2, 3])
def test_probes_of_features_that_know_nothing_of_the_bias_are_at_chance(
    values: int, generator: torch.Generator
) -> None:
    """And at one where the features say it: what leakage is worth as a figure."""
    b = torch.arange(900) % values
    nothing = torch.randn(900, 4, generator=generator)
    deviation = 0.5 / (450**0.5)
    for found in (leakage(nothing, b, seed=0), leakage_elsewhere(nothing[:450], b[:450], nothing[450:], b[450:])):
        assert abs(found - 1 / values) < 3.5 * deviation
    clear = nothing + 8 * torch.nn.functional.one_hot(b, 4)
    assert leakage(clear, b, seed=0) == leakage_elsewhere(clear[:450], b[:450], clear[450:], b[450:]) == 1


def test_every_bias_is_erased(coloured: Coloured) -> None:
    """No feature has any covariance with an indicator of either bias left."""
    problem = coloured("plain", 2)
    z = said(problem)["fit"].features
    left = fit_erasers(problem, z)(z)[0].double()
    centred = left - left.mean(dim=0)
    for bias, values in zip(biases_of(problem, problem.fit), problem.values, strict=True):
        indicators = torch.nn.functional.one_hot(bias[0].long(), values).double()
        assert (centred.T @ indicators / len(centred)).abs().max() < 1e-4 * z.std()


class TestBank:
    SETTINGS = BankSettings(strengths=(0.0, 0.1, 1.0), epochs=4, batch_size=100, lr=0.02)

    @staticmethod
    def gap(problem: Problem, logits: Tensor, part: str) -> float:
        rows = getattr(problem, part)
        (y,), (misled,) = problem.labels(rows)[0], conflicting(problem, rows)[0]
        right = (logits[0].argmax(dim=-1) == y).double()
        return abs(float(right[~misled].mean() - right[misled].mean()))

    def chosen(self, problem: Problem, settings: BankSettings) -> dict[str, float]:
        weight, bias = head_layer(problem.base, "fc.weight")
        known = said(problem)
        z, erase = known["dval"].features, fit_erasers(problem, known["fit"].features)
        head, erases = choose_from_bank(problem, z, erase(z), weight, bias, settings)
        chosen_on = known["select"].features
        logits = logits_of(head, erase(chosen_on) if erases else chosen_on)
        return {
            "correct": correct(problem, logits, "select"),
            "gap": self.gap(problem, logits, "select"),
            "erases": float(erases),
        }

    def test_the_tolerance_chooses(self, coloured: Coloured) -> None:
        """Where everything is within it the most accurate head, where nothing is the fairest one."""
        problem = coloured("plain")
        wide, narrow = (replace(self.SETTINGS, tolerance=tolerance) for tolerance in (1.0, 0.0))
        each = [
            self.chosen(problem, replace(own, strengths=(one,)))
            for one in self.SETTINGS.strengths
            for own in (wide, narrow)
        ]
        careless, careful = self.chosen(problem, wide), self.chosen(problem, narrow)
        assert careless["correct"] == pytest.approx(max(one["correct"] for one in each))
        assert careful["gap"] == pytest.approx(min(one["gap"] for one in each))
        assert careful["gap"] < careless["gap"]

    def test_offers_heads_on_erased_features(self, coloured: Coloured) -> None:
        """The network was barely refitted: what it reads of the colour misleads it, and erased it cannot."""
        chosen = self.chosen(coloured("plain"), replace(self.SETTINGS, strengths=(0.0,), tolerance=0.0))
        assert chosen["erases"]

    def test_the_loss_is_that_of_each_bias_between_agreeing_and_misled_rows(self, generator: torch.Generator) -> None:
        logits = torch.randn(1, 3, 40, 4, generator=generator)
        y = torch.randint(0, 4, (1, 40), generator=generator)
        misled = torch.randint(0, 2, (2, 40), generator=generator)
        strengths = torch.tensor([0.0, 0.5, 2.0])
        found = between_alignments(strengths, 2)(logits, y, misled[:1] + 2 * misled[1:])
        for v, strength in enumerate(strengths.tolist()):
            own = logits[0, v].softmax(dim=-1)
            gaps = [
                sum(
                    abs(float(own[(y[0] == c) & (rows == 1), c].mean() - own[(y[0] == c) & (rows == 0), c].mean()))
                    for c in range(4)
                )
                for rows in misled
            ]
            task = torch.nn.functional.cross_entropy(logits[0, v], y[0]).item()
            assert found[0, v].item() == pytest.approx(task + strength * sum(gaps) / 2, rel=1e-5)

    @pytest.mark.parametrize("rank", [None, 2])
    def test_a_folded_head_says_of_features_what_it_says_of_them_erased(
        self, coloured: Coloured, rank: int | None, generator: torch.Generator
    ) -> None:
        problem = coloured("plain", 2)
        z = said(problem)["test"].features
        erase = fit_erasers(problem, said(problem)["fit"].features)
        first = torch.randn(1, z.shape[-1], rank or 3, generator=generator)
        second = None if rank is None else torch.randn(1, rank, 3, generator=generator)
        head = Factors(first=first, bias=torch.randn(1, 3, generator=generator), second=second)
        torch.testing.assert_close(logits_of(folded(head, erase), z), logits_of(head, erase(z)), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(logits_of(head, z), logits_of(head, erase(z)), atol=0.1)

    def test_refuses_rows_that_the_bias_never_misleads(self, coloured: Coloured) -> None:
        problem = coloured("plain")
        (misled,) = conflicting(problem, problem.select)
        problem = replace(problem, select=problem.select[:, ~misled[0]])
        with (
            pytest.warns(UndefinedMetricWarning, match="an aligned and a conflicting sample"),
            pytest.raises(InputError, match="the rows to choose on have none"),
        ):
            self.chosen(problem, self.SETTINGS)


@pytest.mark.parametrize("name", ["refit", "svd", "win", "leace", "bank"])
def test_a_result_is_the_layer_on_the_frozen_features(name: str, ran: Ran, coloured: Coloured) -> None:
    """Erased or not: what an eraser does to features stands in the layer."""
    problem, result = coloured("plain"), ran()[name]
    head = Factors(**{"second": None} | result.part("head"))
    logits = logits_of(head, said(problem)["test"].features)
    torch.testing.assert_close(logits.softmax(dim=-1), result.score, rtol=1e-3, atol=1e-4)
    assert result.epoch is None
    factors = {"refit": (None, None), "svd": (None, 3), "win": (0.5, 3)}
    assert (result.fact("alpha", 0), result.fact("rank", 0)) == factors.get(name, (None, None))


def test_new_last_layers_gain_and_only_erasure_hides_the_bias(
    ran: Ran, coloured: Coloured, accuracy: Callable[..., float]
) -> None:
    problem, results = coloured("plain"), ran()
    for name in ("refit", "svd", "win", "leace"):
        assert accuracy(problem, results[name]) > accuracy(problem, results["vanilla"]) + 0.1
    for name in ("refit", "svd", "win"):  # the features are the same
        assert results[name].fact("leakage", 0) == results["vanilla"].fact("leakage", 0)
    assert results["leace"].fact("leakage", 0) < 0.45
