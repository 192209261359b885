"""Choosing under a tolerance: counts of subsets, whose rows judge, what chance adds, and which model is taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.fairness import (
    choose,
    confusion_counts,
    counts_above,
    counts_within,
    err,
    typical,
    untested,
)

NAN = float("nan")


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 30),
    st.integers(2, 3),
    st.integers(2, 3),
    st.integers(0, 2**32 - 1),
)
def test_counts_within_are_confusion_counts_under_masks(
    models: int, subsets: int, rows: int, groups: int, classes: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    y, s = (torch.randint(high, (rows,), generator=generator) for high in (classes, groups))
    prediction = torch.randint(classes, (models, rows), generator=generator, dtype=torch.int8)
    kept = torch.rand(subsets, rows, generator=generator) < 0.6
    found = counts_within(y, s, prediction, kept, groups=groups, classes=classes)
    assert found.dtype == torch.int64
    for t in range(subsets):
        expected = confusion_counts(y, prediction, s, groups=groups, classes=classes, mask=kept[t])
        assert torch.equal(found[t], expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 11), st.integers(0, 30), st.integers(2, 3), st.integers(0, 2**32 - 1))
def test_counts_above_cuts_are_those_of_the_decisions(
    models: int, subsets: int, rows: int, groups: int, seed: int
) -> None:
    """Scores and cuts are of few values, so that many are equal; one score in ten belongs to a model that diverged."""
    generator = torch.Generator().manual_seed(seed)
    y, s = (torch.randint(high, (rows,), generator=generator) for high in (2, groups))
    score = torch.randint(5, (3, rows), generator=generator) / 4
    score[torch.rand(3, generator=generator) < 0.1] = -torch.inf
    scored, cut = (torch.randint(high, (models,), generator=generator) for high in (3, 5))
    kept = torch.rand(subsets, rows, generator=generator) < 0.6
    counts = counts_above(y, s, score, scored, cut / 4, kept, groups=groups)
    prediction = (score[scored] > (cut / 4).unsqueeze(1)).to(torch.int8)
    assert counts.equal(counts_within(y, s, prediction, kept, groups=groups, classes=2))


class TestUntested:
    """Two replicates of four rows each; the second one's overlap with the first one's test part."""

    rows = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7]])
    tested = torch.tensor([[6, 7, 8, 9], [4, 2, 8, 9]])
    y = torch.tensor([[0, 1, 0, 1], [0, 1, 0, 1]])
    s = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])

    def counts(self, prediction: torch.Tensor) -> torch.Tensor:
        """Count as whoever chooses may, [whose rows, who chooses, V, G, k, k]."""
        may = untested(self.rows, self.tested)
        return torch.stack(
            [counts_within(self.y[r], self.s[r], prediction[r], may[r], groups=2, classes=2) for r in (0, 1)]
        )

    def test_all_rows_but_those_tested_on(self) -> None:
        may = untested(self.rows, self.tested)
        for whose, chooser, place in np.ndindex(2, 2, 4):
            tested = int(self.rows[whose, place]) in self.tested[chooser].tolist()
            assert bool(may[whose, chooser, place]) == (not tested)
        assert may[1, 0].sum() == 2, "two of four rows are tested on by the first"
        assert may[0, 0].all(), "of its own rows none is"
        assert may[0, 1].tolist() == [True, True, False, True]

    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 4), st.integers(1, 12), st.integers(0, 2**32 - 1))
    def test_a_replicate_whose_parts_are_apart_may_use_all_of_its_rows(self, seeds: int, size: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        orders = torch.stack([torch.randperm(2 * size, generator=generator) for _ in range(seeds)])
        rows, tested = orders[:, :size], orders[:, size:]
        may = untested(rows, tested)
        assert may.diagonal().all()
        for whose, chooser in np.ndindex(seeds, seeds):
            common = set(rows[whose].tolist()) & set(tested[chooser].tolist())
            assert int(may[whose, chooser].sum()) == size - len(common)

    def test_the_choice_does_not_see_the_rows_tested_on(self) -> None:
        """The first model is the better one where the first replicate may look, the second one where it is tested."""
        right = self.y[1]
        first = torch.where(torch.isin(self.rows[1], self.tested[0]), 1 - right, right)
        prediction = torch.stack([self.y[0].expand(2, -1), torch.stack([first, 1 - first])])
        allowed, everything = self.counts(prediction)[:, 0], torch.ones(1, 4, dtype=torch.bool)
        all_rows = torch.stack(
            [counts_within(self.y[r], self.s[r], prediction[r], everything, groups=2, classes=2)[0] for r in (0, 1)]
        )
        assert err(allowed).mean(dim=0).argmin() == 0
        assert err(allowed)[1].tolist() == [0.0, 100.0]
        assert err(all_rows)[1, 0] == err(all_rows)[1, 1], "with the tested rows the two could not be told apart"

        def choice_with(predicted_for_tested: torch.Tensor) -> int:
            changed = prediction.clone()
            changed[1][:, torch.isin(self.rows[1], self.tested[0])] = predicted_for_tested
            return int(err(self.counts(changed)[:, 0]).mean(dim=0).argmin())

        assert {choice_with(torch.full((2, 2), c)) for c in (0, 1)} == {0}


class TestChoose:
    @pytest.mark.parametrize(
        ("err", "bias", "chosen", "meets"),
        [
            ([15.0, 14.0, 16.0], [0.04, 0.06, 0.01], 0, True),  # the lowest error within, not the lowest bias
            ([15.0, 14.0, 16.0], [0.04, 0.05, 0.01], 1, True),  # at the tolerance is within it
            ([15.0, 14.0, 16.0], [0.04, -0.06, -0.01], 0, True),  # of a signed bias the size counts
            ([15.0, 15.0, 15.0], [0.04, 0.01, 0.00], 0, True),  # equals: the first
            ([15.0, 14.0, 16.0], [0.09, 0.30, 0.08], 2, False),  # none within: the nearest, whatever its error
            ([15.0, 14.0, 13.0], [0.08, -0.08, 0.09], 1, False),  # equally near: the lower error
            ([14.0, 14.0, 13.0], [0.08, -0.08, 0.09], 0, False),  # equal in both: the first
            ([NAN, 14.0, 16.0], [0.01, 0.30, 0.02], 2, True),  # without an error it is no candidate
            ([10.0, 14.0, 16.0], [NAN, 0.30, 0.20], 2, False),  # nor without a bias
            ([10.0, NAN, 16.0], [NAN, 0.01, 0.90], 2, False),
        ],
    )
    def test_rules(self, err: list[float], bias: list[float], chosen: int, meets: bool) -> None:
        best, met = choose(torch.tensor([err]), torch.tensor([bias]), 0.05 + 1e-9)
        assert (best.tolist(), met.tolist()) == ([chosen], [meets])

    def test_each_replicate_chooses_for_itself(self) -> None:
        best, met = choose(torch.tensor([[2.0, 1.0], [2.0, 1.0]]), torch.tensor([[0.1, 0.4], [0.1, 0.2]]), 0.2 + 1e-6)
        assert (best.tolist(), met.tolist()) == ([0, 1], [True, True])

    @settings(max_examples=50, deadline=None)
    @given(st.data())
    def test_it_is_what_a_search_finds(self, data: st.DataObject) -> None:
        numbers = st.lists(
            st.tuples(st.sampled_from([1.0, 2.0, 3.0, NAN]), st.sampled_from([0.0, 0.1, -0.1, 0.2, NAN])),
            min_size=1,
            max_size=6,
        )
        pairs = data.draw(numbers)
        there = [(e, abs(b), i) for i, (e, b) in enumerate(pairs) if e == e and b == b]
        err, bias = (torch.tensor([[pair[i] for pair in pairs]], dtype=torch.float64) for i in (0, 1))
        within = [(e, i) for e, b, i in there if b <= 0.1]
        expected = min(within)[-1] if within else min(((b, e, i) for e, b, i in there), default=(-1,))[-1]
        best, met = choose(err, bias, 0.1)
        assert (int(best), bool(met)) == (expected, bool(within))

    def test_nothing_to_choose_from_in_one_replicate(self) -> None:
        best, met = choose(torch.tensor([[1.0, 2.0], [NAN, 1.0]]), torch.tensor([[0.1, 0.1], [0.1, NAN]]), float("inf"))
        assert (best.tolist(), met.tolist()) == ([0, -1], [True, False])


class TestTypical:
    def test_it_is_the_lower_median_of_those_that_meet_the_tolerance(self) -> None:
        err = torch.tensor([5.0, 1.0, 3.0, 4.0, 2.0])
        bias = torch.tensor([0.0, 9.0, 1.0, 1.0, 1.0])
        assert typical(err, bias, torch.tensor([True] * 5)) == 2
        assert typical(err, bias, torch.tensor([True, False, True, True, True])) == 2
        assert typical(err, bias, torch.tensor([True, False, False, True, False])) == 3
        assert typical(torch.ones(4), torch.ones(4), torch.tensor([False, True, True, True])) == 2

    def test_it_is_the_least_biased_if_none_meets_it(self) -> None:
        bias = torch.tensor([NAN, -0.3, 0.2, -0.2])
        assert typical(torch.tensor([1.0, 2.0, 3.0, 1.0]), bias, torch.zeros(4, dtype=torch.bool)) == 2
