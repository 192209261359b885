"""The problem itself: which rows conflict, what is told, and vanilla networks of which no part can be better."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from counterpoise.methods.gates.problem import Debiasing, require_learnt
from torch import Tensor
from torch.nn.functional import one_hot

from counterpoise.errors import InputError
from counterpoise.methods.gates.heads import HeadSettings
from counterpoise.methods.tuning import features_of
from counterpoise.nn.builders import PixelPerceptronBuilder
from counterpoise.nn.networks import evaluate

Coloured = Callable[..., Debiasing]


def goes_by_colour(problem: Debiasing) -> Debiasing:
    """The problem with a network that calls the strongest channel the class, and knows nothing else."""
    build = PixelPerceptronBuilder(outputs=3, seeds=(0,), inputs=3 * 64, widths=(3,), accelerated=False)
    base = build().copied()
    base["linear1.weight"] = torch.eye(3).repeat_interleave(64, dim=1).unsqueeze(0) / 64
    base["linear1.bias"] = torch.full((1, 3), 3.0)  # standardised channels are above −3: nothing is cut off
    base["fc.weight"], base["fc.bias"] = torch.eye(3).unsqueeze(0), torch.zeros(1, 3)
    return replace(problem, build=build, base=base)


def knows_nothing(problem: Debiasing) -> Debiasing:
    """The problem with a network that says the same of every image."""
    base = {name: torch.zeros_like(tensor) for name, tensor in problem.base.items()}
    return replace(problem, base=base | {"fc.bias": torch.tensor([[0.0, 1.0, 0.0]])})


class TestConflictingRows:
    def test_are_those_whose_value_is_not_the_one_of_their_class_in_pretraining(self, coloured: Coloured) -> None:
        problem = coloured()
        for part, share in (("pretrain", 0.1), ("fit", 2 / 3), ("test", 2 / 3)):
            rows = getattr(problem, part)
            y, _ = problem.labels(rows)
            found = problem.conflicting(rows)
            assert torch.equal(found[0], problem.biases[0].take(rows) != y)  # colours have their class's number
            assert found.double().mean().item() == pytest.approx(share, abs=0.1)

    def test_are_told_for_each_bias(self, coloured: Coloured) -> None:
        problem = coloured(biases=2)
        found = problem.conflicting(problem.pretrain)
        assert found.shape == (2, 1, 360)
        for own, bias in zip(found, problem.biases, strict=True):
            assert torch.equal(own[0], bias[:360] != problem.examples.y[:360])
        turned = replace(problem, biases=(problem.biases + 1) % 3)  # by any other names
        assert torch.equal(turned.conflicting(problem.pretrain), found)


class TestWhatIsTold:
    settings = HeadSettings(most=150)

    def test_is_much_of_features_that_say_it_and_next_to_nothing_of_others(
        self, coloured: Coloured, generator: torch.Generator
    ) -> None:
        problem = coloured()
        b = problem.biases_of(problem.fit)
        z = torch.randn(1, 240, 6, generator=generator)
        assert problem.told(z, problem.fit, self.settings).item() < 0.05
        z[..., :3] += 9 * one_hot(b[0], 3)
        assert problem.told(z, problem.fit, self.settings).item() > 0.8

    def test_is_read_on_rows_that_the_head_was_not_fitted_to(self, coloured: Coloured) -> None:
        """Features that know each row apart say all of the rows that they were fitted to, and nothing of others."""
        problem = coloured()
        assert problem.told(20 * torch.eye(240).unsqueeze(0), problem.fit, self.settings).item() < 0.02

    def test_is_the_mean_over_the_biases(self, coloured: Coloured, generator: torch.Generator) -> None:
        problem = coloured(biases=2)
        z = torch.randn(1, 240, 6, generator=generator)
        z[..., :3] += 9 * one_hot(problem.biases_of(problem.fit)[1], 3)
        assert 0.4 < problem.told(z, problem.fit, self.settings).item() < 0.55


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
        conflicting = problem.conflicting(problem.pretrain)[0]
        assert not right[conflicting].any()
        with pytest.raises(InputError) as caught:
            require_learnt(problem, accept=False)
        sentence = str(caught.value)
        assert f"seed 0: is right about 0.0% of the {int(conflicting.sum())} training rows that conflict" in sentence
        assert f"({right.double().mean():.1%} of all)" in sentence
        assert "expected clearly more than 33.3%" in sentence
        assert "train it for longer, or accept it with accept_vanilla: true" in sentence
        assert "\n" not in sentence

    def test_at_chance_too(self, coloured: Coloured) -> None:
        with pytest.raises(InputError, match=r"is right about \d\d\.\d% .* \(33\.3% of all\)"):
            require_learnt(knows_nothing(coloured()), accept=False)

    @pytest.mark.parametrize("make", [goes_by_colour, knows_nothing])
    def test_are_accepted_if_one_says_so_and_then_with_a_warning(
        self, make: Callable[[Debiasing], Debiasing], coloured: Coloured, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            require_learnt(make(coloured()), accept=True)
        (message,) = caplog.messages
        assert "the network has learnt little but the bias" in message

    def test_a_network_must_know_some_rows_that_conflict_with_every_bias(self, coloured: Coloured) -> None:
        """With two biases the first alone would not be noticed in rows that only the second one misleads about."""
        problem = coloured(biases=2)
        second = problem.biases[1].clone()
        second[problem.pretrain] = problem.examples.y[problem.pretrain]  # aligned in all rows: none conflicts with both
        require_learnt(replace(goes_by_colour(problem), biases=torch.stack([problem.biases[0], second])), accept=False)
        with pytest.raises(InputError, match="of the 5 training rows that conflict"):
            require_learnt(goes_by_colour(problem), accept=False)


def test_a_bias_with_one_value_is_refused(coloured: Coloured) -> None:
    problem = coloured(biases=2)

    def constant(bias: Tensor) -> Tensor:
        return bias.clone().index_fill_(0, problem.fit[0], 2)

    with pytest.raises(InputError, match="bias 2: all 240 rows to learn gates on have the value 2, expected at least"):
        replace(problem, biases=torch.stack([problem.biases[0], constant(problem.biases[1])]))
    with pytest.raises(InputError, match="bias 1: all 240 rows"):
        replace(problem, biases=torch.stack([constant(problem.biases[0]), problem.biases[1]]))


def test_features_are_counted_where_the_last_layer_sees_them(coloured: Coloured) -> None:
    for problem, expected in ((coloured("plain"), 16), (goes_by_colour(coloured()), 3)):
        assert features_of(problem.network(), problem.examples, problem.pretrain) == expected
