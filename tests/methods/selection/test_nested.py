"""What a choice among many models exceeds its tolerance by: against a loop, and on models of known bias."""

from __future__ import annotations

import pytest
import torch

from counterpoise.fairness import choose, underlying_bias
from counterpoise.methods.selection.nested import SHARES, Folded, bounds, divisions_of, folds_of_rows

R, F, V = 3, 4, 40


def counts_of(gap: torch.Tensor, rows: int, generator: torch.Generator) -> torch.Tensor:
    """Draw counts [F, R, 1, V, 2, 2, 2] of models whose groups' rates of class 1 differ by `gap` [V] in every class."""
    rates = torch.stack([0.5 - gap / 2, 0.5 + gap / 2], dim=1)  # V, G
    rates = rates[None, None, None, :, :, None].expand(F, R, 1, -1, 2, 2)  # of each true class
    positive = torch.binomial(torch.full(rates.shape, float(rows)), rates.contiguous(), generator=generator)
    return torch.stack([rows - positive, positive], dim=-1).long()


def folded_of(counts: torch.Tensor, err: torch.Tensor) -> Folded:
    total = counts.sum(dim=0)
    without = torch.stack([underlying_bias("delta_dp", total - one) for one in counts])
    return Folded(1, {"err": err.double().expand(F, R, -1), "delta_dp": without}, counts)


def test_bounds_are_those_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    gap, err = 0.3 * torch.rand(V, generator=generator), torch.rand(V, generator=generator)
    folded = folded_of(counts_of(gap, 12, generator), err)
    tolerances, place = (0.05, 0.1, 0.2), torch.arange(5, V)
    found = bounds(folded, place, "delta_dp", tolerances)
    for t, tolerance in enumerate(tolerances):
        for r in range(R):
            expected = tolerance * SHARES[-1]
            for share in SHARES:
                taken = torch.zeros(1, 1, 2, 2, 2, dtype=torch.int64)
                for fold in range(F):
                    of_fold = (folded.judged[name][fold, r : r + 1, place] for name in ("err", "delta_dp"))
                    best, _ = choose(*of_fold, share * tolerance)
                    taken[0, 0] += folded.counts[fold, r, 0, place[int(best)]]
                if float(underlying_bias("delta_dp", taken)) <= tolerance:
                    expected = share * tolerance
                    break
            assert float(found[t, r]) == pytest.approx(expected)


def test_the_choice_under_the_bound_has_the_bias_that_was_asked_for() -> None:
    """Of many models, on few rows, the luckiest exceeds the tolerance; under its bound it does so by far less."""
    generator = torch.Generator().manual_seed(1)
    gap = torch.linspace(0.0, 0.3, 300)
    err = 30 - 50 * gap  # the fairer, the more errors
    truth: dict[str, list[float]] = {"tolerance": [], "bound": []}
    for _ in range(8):
        counts = counts_of(gap, 60, generator)
        judged = underlying_bias("delta_dp", counts.sum(dim=0))
        bound = bounds(folded_of(counts, err), torch.arange(300), "delta_dp", [0.1])[0]
        for name, within in (("tolerance", 0.1), ("bound", bound)):
            best, _ = choose(err.double().expand(R, -1), judged, within)
            truth[name] += gap[best].tolist()
    lucky, corrected = (sum(values) / len(values) for values in truth.values())
    assert lucky > 0.13
    assert abs(corrected - 0.1) < 0.5 * (lucky - 0.1)


def test_many_rows_need_no_correction_and_no_choice_has_none() -> None:
    generator = torch.Generator().manual_seed(2)
    gap = torch.linspace(0.0, 0.3, 4)
    folded = folded_of(counts_of(gap, 2_000_000, generator), torch.tensor([4.0, 3.0, 2.0, 1.0]))
    every = torch.arange(4)
    assert bounds(folded, every, "delta_dp", [0.15]).tolist() == [[0.15] * R]
    assert bounds(folded, every[:1], "delta_dp", [0.01]).tolist() == [[0.01] * R]
    assert bounds(folded, every, "auc", [0.01]).tolist() == [[0.01] * R]
    assert bounds(None, every, "delta_dp", [0.01]).tolist() == [[0.01]]


@pytest.mark.parametrize("lost", ["err", "delta_dp", "both"])
def test_lost_models_are_not_taken(lost: str) -> None:
    """The second one is judged to be at a bound, 0.06, and is at 0.4; the third would be the best if not diverged."""
    counts = counts_of(torch.tensor([0.0, 0.4, 0.0]), 2_000, torch.Generator().manual_seed(3))
    counts[..., 2, :, :, :] = 0
    judged = {
        "err": torch.tensor([3.0, 2.0, 1.0]),
        "delta_dp": torch.tensor([0.0, 0.1 * SHARES[8], 0.0], dtype=torch.float64),
    }
    judged = {name: values.double().repeat(F, R, 1) for name, values in judged.items()}
    for name in judged if lost == "both" else [lost]:
        judged[name][..., 2] = torch.nan
    found = bounds(Folded(1, judged, counts), torch.arange(3), "delta_dp", [0.1])
    assert found.flatten().tolist() == pytest.approx([0.055] * R)


def test_rows_are_divided_as_often_as_few_of_them_need() -> None:
    assert [divisions_of(rows) for rows in (1_000, 5_000, 15_000, 10**6)] == [5, 4, 2, 1]
    folds = folds_of_rows(1_000, 4, 3)
    assert folds.shape == (12, 1_000)
    assert folds.unflatten(0, (3, 4)).sum(dim=1).eq(1).all()
    assert not folds[:4].equal(folds[4:8])


def test_rows_of_one_unit_are_in_one_fold_of_each_division() -> None:
    unit = torch.tensor([0, 1, 0, 2, 1, 3])
    folds = folds_of_rows(len(unit), 3, 4, unit)
    assert folds.shape == (12, 6)
    assert (folds.unflatten(0, (4, 3)).sum(dim=1) == 1).all()
    assert torch.equal(folds[:, 0], folds[:, 2])
    assert torch.equal(folds[:, 1], folds[:, 4])
    assert not torch.equal(folds[:, 0], folds[:, 1])
