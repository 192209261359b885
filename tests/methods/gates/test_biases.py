"""Which rows conflict with a bias, and vanilla networks of which no part can be better."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from scipy.stats import binom

from counterpoise.errors import InputError
from counterpoise.methods.gates import biases
from counterpoise.methods.gates.biases import conflicting, require_learnt
from counterpoise.methods.problem import Problem
from counterpoise.nn.builders import PixelPerceptronBuilder
from counterpoise.nn.networks import Output, evaluate

Coloured = Callable[..., Problem]


def goes_by_colour(problem: Problem) -> Problem:
    """The problem with a network that calls the strongest channel the class, and knows nothing else."""
    build = PixelPerceptronBuilder(outputs=3, seeds=(0,), inputs=3 * 64, widths=(3,), accelerated=False)
    base = build().copied()
    base["linear1.weight"] = torch.eye(3).repeat_interleave(64, dim=1).unsqueeze(0) / 64
    base["linear1.bias"] = torch.full((1, 3), 3.0)  # standardised channels are above −3: nothing is cut off
    base["fc.weight"], base["fc.bias"] = torch.eye(3).unsqueeze(0), torch.zeros(1, 3)
    return replace(problem, build=build, base=base)


def knows_nothing(problem: Problem) -> Problem:
    """The problem with a network that says the same of every image."""
    base = {name: torch.zeros_like(tensor) for name, tensor in problem.base.items()}
    return replace(problem, base=base | {"fc.bias": torch.tensor([[0.0, 1.0, 0.0]])})


class TestConflictingRows:
    def test_are_those_whose_value_is_not_the_one_of_their_class_in_pretraining(self, coloured: Coloured) -> None:
        problem = coloured()
        for part, share in (("pretrain", 0.1), ("fit", 2 / 3), ("test", 2 / 3)):
            rows = getattr(problem, part)
            y, _ = problem.labels(rows)
            found = conflicting(problem, rows)
            assert torch.equal(found[0], problem.biases[0].take(rows) != y)  # colours have their class's number
            assert found.double().mean().item() == pytest.approx(share, abs=0.1)

    def test_are_told_for_each_bias(self, coloured: Coloured) -> None:
        problem = coloured(biases=2)
        found = conflicting(problem, problem.pretrain)
        assert found.shape == (2, 1, 360)
        for own, bias in zip(found, problem.biases, strict=True):
            assert torch.equal(own[0], bias[:360] != problem.examples.y[:360])
        turned = replace(problem, biases=(problem.biases + 1) % 3)  # by any other names
        assert torch.equal(conflicting(turned, problem.pretrain), found)


class TestVanillaNetworks:
    def test_that_know_more_than_the_bias_pass_without_a_word(
        self, coloured: Coloured, caplog: pytest.LogCaptureFixture
    ) -> None:
        for kind in ("plain", "perceptron"):
            require_learnt(coloured(kind), accept=False)
        assert not caplog.records

    def test_that_know_the_bias_alone_are_refused_with_the_evidence_and_a_remedy(self, coloured: Coloured) -> None:
        problem = goes_by_colour(coloured())
        y, _ = problem.labels(problem.pretrain)
        right = evaluate(problem.network(), problem.examples, problem.pretrain).logits.argmax(dim=-1) == y
        misled = conflicting(problem, problem.pretrain)[0]
        assert not right[misled].any()
        with pytest.raises(InputError) as caught:
            require_learnt(problem, accept=False)
        sentence = str(caught.value)
        assert f"seed 0: is right about 0.0% of the {int(misled.sum())} training rows that conflict" in sentence
        assert f"({right.double().mean():.1%} of all)" in sentence
        assert "expected clearly more than 33.3%" in sentence
        assert "train it for longer, or accept it with accept_vanilla: true" in sentence
        assert "\n" not in sentence

    def test_at_chance_too(self, coloured: Coloured) -> None:
        with pytest.raises(InputError, match=r"is right about \d\d\.\d% .* \(33\.3% of all\)"):
            require_learnt(knows_nothing(coloured()), accept=False)

    @pytest.mark.parametrize("make", [goes_by_colour, knows_nothing])
    def test_are_accepted_if_one_says_so_and_then_with_a_warning(
        self, make: Callable[[Problem], Problem], coloured: Coloured, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            require_learnt(make(coloured()), accept=True)
        (message,) = caplog.messages
        assert "the network has learnt little but the bias" in message

    def test_two_standard_errors_above_chance_are_enough(
        self, coloured: Coloured, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of so many rows as conflict, a network that guesses is right about a binomial number."""
        problem = coloured()
        y, _ = problem.labels(problem.pretrain)
        rows = conflicting(problem, problem.pretrain)[0, 0].nonzero().flatten()
        guesses = binom(len(rows), 1 / 3)
        enough = math.floor(guesses.mean() + 2 * guesses.std()) + 1

        def right_about(count: int) -> Callable[..., Output]:
            says = (y + 1) % 3
            says[0, rows[:count]] = y[0, rows[:count]]
            logits = torch.nn.functional.one_hot(says, 3).float()
            return lambda *_: Output(logits, logits)

        monkeypatch.setattr(biases, "evaluate", right_about(enough))
        require_learnt(problem, accept=False)
        monkeypatch.setattr(biases, "evaluate", right_about(enough - 1))
        with pytest.raises(InputError, match="expected clearly more than 33"):
            require_learnt(problem, accept=False)

    def test_a_network_must_know_some_rows_that_conflict_with_every_bias(self, coloured: Coloured) -> None:
        """With two biases the first alone would not be noticed in rows that only the second one misleads about."""
        problem = coloured(biases=2)
        second = problem.biases[1].clone()
        second[problem.pretrain] = problem.examples.y[problem.pretrain]  # aligned in all rows: none conflicts with both
        require_learnt(replace(goes_by_colour(problem), biases=torch.stack([problem.biases[0], second])), accept=False)
        with pytest.raises(InputError, match="of the 5 training rows that conflict"):
            require_learnt(goes_by_colour(problem), accept=False)
