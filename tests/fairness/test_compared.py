"""Groups that are not compared: no gap depends on their rows, and everything else still counts them."""

from __future__ import annotations

import pytest
import torch

from counterpoise.errors import InputError
from counterpoise.fairness import (
    CERTIFIABLE,
    UndefinedMetricWarning,
    certify,
    confusion_counts,
    evaluate,
    groups_compared,
    noise_floor,
    of_groups,
    underlying_bias,
)
from counterpoise.fairness.compared import group_sizes
from counterpoise.fairness.metrics import COUNT_METRICS

G, N = 4, 600
COMPARED = (0, 3)
OF_EVERYBODY = {"err", "accuracy", "balanced_accuracy", "f1"}


def drawn(classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y, prediction = (torch.randint(classes, (N,), generator=generator) for _ in range(2))
    return y, prediction, torch.randint(G, (N,), generator=generator)


def counted(y: torch.Tensor, prediction: torch.Tensor, s: torch.Tensor, groups: int = G) -> torch.Tensor:
    return confusion_counts(y, prediction, s, groups=groups, classes=int(y.max()) + 1)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("metric", sorted(COUNT_METRICS))
def test_a_metric_is_that_of_the_rows_of_the_groups_that_are_compared(metric: str, classes: int) -> None:
    y, prediction, s = drawn(classes)
    inside = (s == 0) | (s == 3)
    others = counted(y[inside], prediction[inside], s[inside].clamp(max=1), groups=2)
    expected = COUNT_METRICS[metric](counted(y, prediction, s) if metric in OF_EVERYBODY else others)
    torch.testing.assert_close(COUNT_METRICS[metric](counted(y, prediction, s), compared=COMPARED), expected)


@pytest.mark.parametrize("kind", ["labels", "predictions"])
def test_no_gap_depends_on_a_group_that_is_not_compared(kind: str) -> None:
    y, prediction, s = drawn(2)
    apart = (s == 1) | (s == 2)
    changed = {
        "labels": (torch.where(apart, 1 - y, y), prediction),
        "predictions": (y, torch.where(apart, 1, prediction)),
    }
    before, after = (
        evaluate(*pair, prediction=said, groups=G, classes=2, compared=COMPARED)
        for pair, said in (((y, s), prediction), ((changed[kind][0], s), changed[kind][1]))
    )
    assert {name for name in before if not before[name].equal(after[name])} <= OF_EVERYBODY
    assert not before["err"].equal(after["err"])


def test_estimates_floors_and_certificates_take_the_same_groups() -> None:
    y, prediction, s = drawn(2)
    counts, inside = counted(y, prediction, s), counted(y, prediction, s)[list(COMPARED)]
    assert of_groups(counts, COMPARED).equal(inside)
    for metric in CERTIFIABLE:
        estimate = underlying_bias(metric, counts[None, None], compared=COMPARED)
        assert estimate.equal(underlying_bias(metric, inside[None, None]))
        assert noise_floor(metric, of_groups(counts, COMPARED)).equal(noise_floor(metric, inside))
        assert certify(of_groups(counts, COMPARED)[None], metric, 0.2).p.equal(certify(inside[None], metric, 0.2).p)


def test_an_absent_group_matters_where_it_is_compared_and_has_its_own_number() -> None:
    y, prediction, s = drawn(2)
    there = s != 3
    counts = counted(y[there], prediction[there], s[there])
    assert not COUNT_METRICS["delta_dp"](counts, compared=(0, 1, 2)).isnan()
    with pytest.warns(UndefinedMetricWarning, match="absent: group 3"):
        assert COUNT_METRICS["delta_dp"](counts, compared=COMPARED).isnan()


def test_groups_are_compared_that_are_large_enough_in_every_replicate() -> None:
    sizes = torch.tensor([[40, 30, 29], [40, 31, 35]])
    assert groups_compared(sizes, 29) is None
    assert groups_compared(sizes, 30) == (0, 1)
    assert groups_compared(sizes[1], 30) is None
    assert groups_compared(sizes[1], 32) == (0, 2)
    assert groups_compared(sizes, 41) == ()
    assert groups_compared(sizes, 0) is None
    s = torch.tensor([[0, 0, 2], [1, 1, 1]])
    assert group_sizes(s, 4).tolist() == [[2, 0, 1, 0], [0, 3, 0, 0]]
    assert group_sizes(s[0], 4).tolist() == [2, 0, 1, 0]
    assert group_sizes(s.unsqueeze(1), 4).tolist() == [[[2, 0, 1, 0]], [[0, 3, 0, 0]]]


@pytest.mark.parametrize("compared", [(), (1,)])
def test_fewer_than_two_groups_cannot_be_compared(compared: tuple[int, ...]) -> None:
    counts = counted(*drawn(2))
    with pytest.raises(InputError, match=rf"{len(compared)} of 4 groups are compared, expected at least 2"):
        COUNT_METRICS["delta_eo"](counts, compared=compared)
    assert not COUNT_METRICS["accuracy"](counts, compared=compared).isnan()
