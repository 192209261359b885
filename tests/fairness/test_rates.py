"""Rates by group against counting, and the largest difference of two groups."""

from __future__ import annotations

import math

import pytest
import torch

from counterpoise.errors import InputError
from counterpoise.fairness import _rates as rates
from counterpoise.fairness import confusion_counts

N, G = 90, 3


@pytest.fixture(params=[2, 4], ids=["two classes", "four classes"])
def labels(request: pytest.FixtureRequest, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    classes = request.param
    y, prediction, s = (torch.randint(high, (N,), generator=generator) for high in (classes, classes, G))
    return y, prediction, s, confusion_counts(y, prediction, s, groups=G, classes=classes)


def counted(labels: tuple[torch.Tensor, ...]) -> list[int]:
    """Return the positive classes: of two the second."""
    classes = labels[3].shape[-1]
    return [1] if classes == 2 else list(range(classes))


def test_rates_are_shares_of_the_rows_that_they_are_of(labels: tuple[torch.Tensor, ...]) -> None:
    y, prediction, s, counts = labels
    for g in range(G):
        of_group = s == g
        for place, c in enumerate(counted(labels)):
            selected, positive = prediction == c, y == c
            for rate, size, rows in (
                (rates.selection_rates, rates.members, of_group),
                (rates.true_positive_rates, rates.positives, of_group & positive),
                (rates.false_positive_rates, rates.negatives, of_group & ~positive),
            ):
                assert rate(counts)[g, place].item() == pytest.approx(selected[rows].double().mean().item())
                sizes = size(counts)[g]
                assert sizes[place if len(sizes) > 1 else 0] == rows.sum()
        assert rates.accuracies(counts)[g].item() == pytest.approx((y == prediction)[of_group].double().mean().item())
        for c in range(counts.shape[-1]):
            assert rates.recalls(counts)[g, c].item() == pytest.approx(
                (prediction == c)[of_group & (y == c)].double().mean().item()
            )
    assert rates.hits(counts).sum() == (y == prediction).sum()


def test_a_group_without_rows_has_no_rate() -> None:
    counts = torch.tensor([[[3, 1], [2, 4]], [[0, 0], [0, 0]]])
    for rate in (rates.selection_rates, rates.true_positive_rates, rates.false_positive_rates):
        assert math.isnan(rate(counts)[1])
        assert not math.isnan(rate(counts)[0])


def test_pairs_are_the_first_less_the_second() -> None:
    of_groups = torch.tensor([[0.9], [0.2], [0.5]]).double()
    assert rates.pair_differences(of_groups).squeeze(1).tolist() == pytest.approx([0.7, 0.4, -0.3])
    assert rates.pair_sums(of_groups).squeeze(1).tolist() == pytest.approx([1.1, 1.4, 0.7])
    with pytest.raises(InputError, match="got counts for 1 group, expected at least 2"):
        rates.pair_differences(of_groups[:1])


def test_the_largest_keeps_its_sign_and_an_undefined_one_counts() -> None:
    differences = torch.tensor([[[0.25, -0.5], [0.25, 0.0]], [[0.25, 0.5], [-0.25, 0.0]]]).double()
    assert rates.largest(differences).tolist() == [-0.5, 0.5]
    differences[1, 0, 0] = torch.nan
    assert rates.largest(differences).isnan().tolist() == [False, True]
