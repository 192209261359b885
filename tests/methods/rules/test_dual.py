"""The dual of rules: its solutions have the gaps that are asked for, as the probabilities that it is given say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from counterpoise.fairness import confusion_counts
from counterpoise.fairness.metrics import COUNT_METRICS
from counterpoise.methods.heads.penalties import Constraint
from counterpoise.methods.rules.dual import DUAL_ROWS, SHARPNESS, dual, expected_gaps
from counterpoise.methods.rules.linear import Shares, decide, dithered, rates_of, rule


def drawn(classes: int, groups: int, rows: int) -> Tensor:
    """Return p(y, s | x) of rows whose classes and groups go together."""
    generator = torch.Generator().manual_seed(classes)
    odds = torch.randn(rows, classes, groups, generator=generator)
    tied = 1.5 * torch.randn(rows, 1, groups, generator=generator)
    likely = torch.arange(classes)[:, None] % groups == torch.arange(groups)
    return (odds + tied * (1 + likely) + 0.7 * likely).flatten(1).softmax(dim=1)


def shares_of(probability: Tensor, classes: int) -> Shares:
    return Shares(probability.mean(dim=0).view(classes, -1))


@pytest.mark.parametrize("constraint", ["dp", "eo"])
@pytest.mark.parametrize(("classes", "groups"), [(2, 2), (2, 3), (3, 2)])
def test_a_solution_has_the_gap_that_is_asked_for(classes: int, groups: int, constraint: Constraint) -> None:
    """Where it binds. Dither stands for the smoothing, so that the smoothed problem's solution is what is decided."""
    probability = drawn(classes, groups, 6000)
    shares, weights = shares_of(probability, classes), torch.ones(1, classes)
    free = rule(weights, torch.zeros(1, len(rates_of(constraint, classes).counted), groups), shares, constraint)
    levels = torch.tensor([0.2, 0.5, 0.8]) * float(expected_gaps(probability, free, shares, constraint))
    solved = dual(probability, shares, constraint, levels.tolist(), weights)
    rules = dithered(
        rule(weights[:, None].expand(1, 3, classes), solved, shares, constraint), torch.full((1, 3), 1 / SHARPNESS)
    )
    assert expected_gaps(probability, rules, shares, constraint)[0].tolist() == pytest.approx(levels.tolist(), rel=0.2)
    beyond = dual(probability, shares, constraint, [3.0], weights)
    same = decide(probability, rule(weights, beyond[:, 0], shares, constraint)) == decide(probability, free)
    assert same.double().mean() > 0.999


@pytest.mark.parametrize("constraint", ["dp", "eo"])
@pytest.mark.parametrize(("classes", "groups"), [(2, 2), (2, 3), (3, 3)])
def test_expected_gaps_are_those_of_rows_with_such_classes_and_groups(
    classes: int, groups: int, constraint: Constraint
) -> None:
    """On rows whose classes and groups are known, probabilities of 0 and 1, they are the metrics of the counts.

    But for equalized odds of more than two groups: the widest gaps of two rates may be those of different pairs.
    """
    probability = drawn(classes, groups, 3000)
    rules = torch.randn(6, classes * groups, classes, generator=torch.Generator().manual_seed(0))
    cell = torch.multinomial(probability, 1, generator=torch.Generator().manual_seed(1))[:, 0]
    known = torch.nn.functional.one_hot(cell, classes * groups).float()
    shares = shares_of(known, classes)
    decided = decide(known, rules)
    counts = torch.stack(
        [confusion_counts(cell // groups, one, cell % groups, classes=classes, groups=groups) for one in decided]
    )
    expected = COUNT_METRICS[f"delta_{constraint}"](counts)
    gaps = expected_gaps(known, rules, shares, constraint).double()
    if constraint == "dp" or groups == 2:
        torch.testing.assert_close(gaps, expected, atol=1e-5, rtol=0)
    else:
        assert ((gaps > expected - 1e-5) & (gaps < 1.5 * expected + 1e-5)).all()


def test_rows_beyond_what_is_looked_at_are_represented() -> None:
    probability = drawn(2, 2, 3 * DUAL_ROWS + 7)
    shares = shares_of(probability, 2)
    solved = dual(probability, shares, "eo", [0.05], torch.ones(1, 2))
    of_all = rule(torch.ones(1, 1, 2), solved, shares, "eo")
    parts = [expected_gaps(part, of_all, shares_of(part, 2), "eo") for part in probability.chunk(4)]
    assert torch.stack(parts).mean() == pytest.approx(float(expected_gaps(probability, of_all, shares, "eo")), abs=0.01)
