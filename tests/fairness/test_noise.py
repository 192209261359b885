"""The noise floor against a simulated classifier that is fair by construction."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from counterpoise import fairness
from counterpoise.errors import InputError
from counterpoise.fairness import METRICS, noise, noise_floor

GAPS = ["delta_dp", "spd", "delta_eo", "eod", "aod", "equalized_odds_difference"]
PARITY = {"delta_dp", "spd"}
FLOORS = noise_floor_dp, noise_floor_eo = partial(noise_floor, "delta_dp"), partial(noise_floor, "delta_eo")

BINARY = torch.tensor([[[300, 100], [80, 120]], [[500, 60], [70, 90]]])
THREE_GROUPS = torch.cat([BINARY, torch.tensor([[[90, 30], [50, 70]]])])
THREE_CLASSES = torch.tensor([[[90, 30, 20], [10, 80, 40], [20, 30, 60]], [[60, 40, 30], [20, 90, 30], [40, 20, 50]]])


def simulated_floor(name, counts, draws=4000):
    """Mean |metric| over multinomial tables of a classifier whose predictions ignore the group."""
    rng = np.random.default_rng(5)
    table = counts.numpy()
    sizes = table.sum(-1)  # [G, k]
    pooled = table.sum(0) if name not in PARITY else np.broadcast_to(table.sum((0, 1)), table.shape[1:])
    q = pooled / pooled.sum(-1, keepdims=True)  # [k, k]
    drawn = rng.multinomial(sizes, np.broadcast_to(q, table.shape), size=(draws, *sizes.shape))
    return getattr(fairness, name)(torch.from_numpy(drawn)).abs().mean().item()


@pytest.mark.parametrize("name", GAPS)
@pytest.mark.parametrize(
    "counts", [BINARY, THREE_GROUPS, THREE_CLASSES], ids=["binary", "three groups", "three classes"]
)
def test_is_what_a_fair_classifier_shows(name, counts):
    assert noise_floor(name, counts).item() == pytest.approx(simulated_floor(name, counts), rel=0.05)


@pytest.mark.parametrize("name", GAPS)
def test_the_simulation_agrees_with_the_closed_form(name):
    assert noise._simulated(name, BINARY).item() == pytest.approx(noise_floor(name, BINARY).item(), rel=0.05)


def test_of_two_groups_and_classes_it_is_the_mean_of_a_half_normal() -> None:
    """σ √(2/π) with σ² = p (1 − p) (1/n₀ + 1/n₁), for each gap; groups choose far more often than classes occur."""
    one = np.array([[[90, 30], [20, 45]], [[40, 160], [5, 30]]])
    batch = np.stack([one, one[::-1, ::-1], 3 * one])

    def expected(chosen: np.ndarray, rows: np.ndarray) -> float:
        p = chosen.sum() / rows.sum()
        return float(np.sqrt(2 / np.pi * p * (1 - p) * (1 / rows).sum()))

    for counts, dp, eo in zip(batch, *(floor(torch.from_numpy(batch)) for floor in FLOORS), strict=True):
        assert dp.item() == pytest.approx(expected(counts[..., 1].sum(1), counts.sum((1, 2))))
        of_each = [expected(counts[:, y, 1], counts[:, y].sum(1)) for y in (0, 1)]
        assert eo.item() == pytest.approx(sum(of_each))
        for floor, gap in zip(FLOORS, (dp, eo), strict=True):
            assert floor(torch.from_numpy(counts)).item() == pytest.approx(gap.item())


def test_adult_with_248_positive_women():
    """METHODS: about 0.033 on Adult's test part, at a TPR near .6 and an FPR near .07."""
    men, women = [[2919, 219], [570, 856]], [[1811, 136], [99, 149]]
    assert noise_floor_eo(torch.tensor([women, men])).item() == pytest.approx(0.033, abs=0.001)


def test_ignores_how_unfair_the_classifier_is():
    fair, unfair = [[[60, 40], [40, 60]]] * 2, [[[80, 20], [60, 40]], [[40, 60], [20, 80]]]
    for name in GAPS:
        assert noise_floor(name, torch.tensor(fair)) == pytest.approx(noise_floor(name, torch.tensor(unfair)))


@pytest.mark.parametrize("counts", [BINARY, THREE_GROUPS])
def test_halves_with_four_times_the_samples(counts):
    for floor in (noise_floor_dp, noise_floor_eo):
        assert floor(4 * counts).item() == pytest.approx(floor(counts).item() / 2)


@pytest.mark.parametrize("counts", [BINARY, THREE_GROUPS])
def test_does_not_depend_on_the_rest_of_the_batch(counts, monkeypatch):
    monkeypatch.setattr(noise, "ENTRIES_AT_ONCE", 1)  # one row at a time
    batch = torch.stack([counts, 2 * counts, counts.flip(0), 3 * counts]).reshape(2, 2, *counts.shape)
    floors = noise_floor("delta_eo", batch)
    assert floors.shape == (2, 2)
    assert torch.equal(floors[0, 0], noise_floor("delta_eo", counts))


def test_differences_of_rates_between_groups_have_a_floor_and_nothing_else():
    assert {name for name in METRICS if noise_floor(name, BINARY) is not None} == set(GAPS)


@pytest.mark.parametrize("groups", [2, 3])
def test_nan_where_the_gap_is_undefined(groups):
    counts = THREE_GROUPS[:groups].clone()
    counts[1, 1] = 0  # no positives in group 1
    assert noise_floor_eo(counts).isnan()
    assert not noise_floor_dp(counts).isnan()
    counts[1] = 0
    assert noise_floor_dp(counts).isnan()


def test_an_unknown_metric_is_named():
    with pytest.raises(InputError, match=r"no metric 'delta_e0' .*delta_eo"):
        noise_floor("delta_e0", BINARY)
