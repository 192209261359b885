"""Rules as matrices: what they decide, what dither does, and what constraints they are priced by."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from counterpoise.methods.rules.linear import (
    Shares,
    class_scores,
    decide,
    decided,
    dither,
    dithered,
    rates_of,
    rule,
    scores,
    share_divided,
)

N, G = 500, 3


def probabilities(generator: torch.Generator, classes: int, rows: int = N) -> Float[Tensor, "n cells"]:
    return torch.rand(rows, classes * G, generator=generator).softmax(dim=1)


def shares(generator: torch.Generator, classes: int) -> Shares:
    y, s = (torch.randint(high, (N,), generator=generator) for high in (classes, G))
    return Shares.of(y, s, classes=classes, groups=G)


@pytest.mark.parametrize("classes", [2, 4])
def test_without_multipliers_a_rule_is_bayes_rule_with_weights(generator: torch.Generator, classes: int) -> None:
    p, weights = probabilities(generator, classes), 0.5 + torch.rand(classes, generator=generator)
    free = torch.zeros(len(rates_of("eo", classes).counted), G)
    matrix = rule(weights, free, shares(generator, classes), "eo")
    expected = (p.view(N, classes, G).sum(dim=2) * weights).argmax(dim=1)
    assert decide(p, matrix.unsqueeze(0))[0].equal(expected)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("constraint", ["dp", "eo"])
def test_a_price_is_paid_as_the_formula_says(generator: torch.Generator, classes: int, constraint: str) -> None:
    """w_c p(y = c | x) − Σ_j Σ_g λ_jg p(s = g, y in the rate's classes | x) / P(g, those), λ centred."""
    p, of = probabilities(generator, classes, 7), shares(generator, classes)
    rates = rates_of(constraint, classes)  # type: ignore[arg-type]
    price = torch.randn(len(rates.counted), G, generator=generator)
    matrix = rule(torch.ones(classes), price, of, constraint)  # type: ignore[arg-type]
    cells, centred = p.view(-1, classes, G), price - price.mean(dim=1, keepdim=True)
    expected = cells.sum(dim=2)
    for j, counted in enumerate(rates.counted):
        for c in range(classes):
            true = counted[:, c].bool()
            if true.any():
                expected[:, c] -= (centred[j] * cells[:, true].sum(dim=1) / of.cells[true].sum(dim=0)).sum(dim=1)
    torch.testing.assert_close(p @ matrix, expected)


def test_groups_that_are_not_compared_have_no_price(generator: torch.Generator) -> None:
    of = Shares(shares(generator, 2).cells, compared=(0, 2))
    centred = of.centred(torch.randn(4, G, generator=generator))
    assert not centred[:, 1].any()
    torch.testing.assert_close(centred.sum(dim=1), torch.zeros(4))


@pytest.mark.parametrize("classes", [2, 3])
def test_scores_and_decisions_agree_and_ties_go_to_the_first_class(generator: torch.Generator, classes: int) -> None:
    p = probabilities(generator, classes)
    matrix = torch.randn(classes * G, classes, generator=generator)
    decision = decide(p, matrix.unsqueeze(0))[0]
    said = class_scores(p, matrix)
    torch.testing.assert_close(said.sum(dim=1), torch.ones(N).double())
    assert said.argmax(dim=1).equal(decision)
    assert decided(p, matrix.unsqueeze(0))[0].long().equal(decision)
    if classes == 2:
        assert (scores(p, matrix.unsqueeze(0))[0] > 0.5).long().equal(decision)
    assert not decide(p, torch.ones_like(matrix).unsqueeze(0)).any()


def test_dither_is_like_independent_draws_from_gumbels_distribution(generator: torch.Generator) -> None:
    p = probabilities(generator, 2, 200_000)
    numbers = dither(p, 2).double()
    for column in numbers.T:
        for share in (0.1, 0.5, 0.9):
            at = -torch.log(-torch.log(torch.tensor(share).double()))
            assert (column <= at).double().mean() == pytest.approx(share, abs=0.01)
    assert abs(torch.corrcoef(numbers.T)[0, 1]) < 0.02
    assert dither(p[:5], 2).equal(dither(p, 2)[:5]), "a row's number does not depend on the other rows"


def test_dither_of_no_size_divides_nobody_and_more_divides_more(generator: torch.Generator) -> None:
    p, matrix = probabilities(generator, 2), torch.randn(2 * G, 2, generator=generator)
    divided = [share_divided(p, dithered(matrix, torch.tensor(size))) for size in (0.0, 0.3, 3.0)]
    assert divided[0] == 0
    assert 0 < divided[1] < divided[2]
