"""AUC against scikit-learn, and a probe that finds what is there and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.errors import InputError
from counterpoise.fairness import UndefinedMetricWarning, _counts, auc, leakage


class TestAuc:
    @settings(deadline=None, max_examples=50, derandomize=True)
    @given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=1))
    def test_as_scikit_learn_with_ties(self, drawn):
        y, score = torch.tensor([(0, 1), (1, 0), *drawn]).unbind(1)
        assert auc(y, score / 4).item() == pytest.approx(sk.roc_auc_score(y, score))

    def test_batch_axes_and_masks_equal_a_loop(self, generator, monkeypatch):
        monkeypatch.setattr(_counts, "SAMPLES_AT_ONCE", 100)
        y = torch.randint(2, (3, 1, 40), generator=generator)
        score = torch.randint(10, (3, 4, 40), generator=generator) / 10
        mask = torch.rand(3, 1, 40, generator=generator) < 0.6
        score = score.where(mask, torch.tensor([torch.nan, torch.inf]).repeat(20))  # padding is not read
        expected = [
            [sk.roc_auc_score(y[r, 0][mask[r, 0]], score[r, v][mask[r, 0]]) for v in range(4)] for r in range(3)
        ]
        np.testing.assert_allclose(auc(y, score, mask), expected)

    def test_infinite_scores_rank_last_and_first(self):
        y, score = torch.tensor([0, 1, 0, 1]), torch.tensor([-torch.inf, torch.inf, 0.0, 0.0])
        assert auc(y, score).item() == pytest.approx(3.5 / 4)

    def test_only_the_order_matters_and_reversing_it_mirrors(self, generator):
        y, score = torch.arange(30) % 2, torch.randn(30, generator=generator)
        assert auc(y, score.exp()).item() == auc(y, score).item()
        assert auc(y, -score).item() == pytest.approx(1 - auc(y, score).item())

    def test_an_absent_class_gives_nan_and_a_warning(self):
        with pytest.warns(UndefinedMetricWarning, match=r"auc is undefined .* 1 of 2 .* absent: class 1\."):
            value = auc(torch.tensor([[0, 1], [0, 0]]), torch.tensor([[0.1, 0.2], [0.1, 0.2]]))
        assert value[0] == 1
        assert value[1].isnan()

    @pytest.mark.parametrize("label", [-1, 2])
    def test_other_labels_are_refused(self, label):
        with pytest.raises(InputError, match=f"y holds {label}, expected 0 or 1"):
            auc(torch.tensor([0, label]), torch.tensor([0.1, 0.2]))

    def test_scores_that_cannot_be_ranked_are_refused(self):
        with pytest.raises(InputError, match="score holds NaN"):
            auc(torch.tensor([0, 1]), torch.tensor([0.1, torch.nan]))


class TestLeakage:
    def test_reads_a_group_that_is_there(self, generator):
        s = torch.arange(300) % 3
        representation = torch.nn.functional.one_hot(s).float() + 0.05 * torch.randn(300, 3, generator=generator)
        assert leakage(representation, s, seed=0) == 1

    def test_is_at_chance_where_nothing_is_there_even_if_a_group_is_rare(self, generator):
        s = (torch.arange(2000) % 10 == 0).long()
        assert leakage(torch.randn(2000, 3, generator=generator), s, seed=0) == pytest.approx(0.5, abs=0.06)

    def test_reads_a_weak_signal_of_a_rare_group(self, generator):
        # two normals 2 apart: the best cut reads Φ(1) = .841 of each group; one that favours the majority far less
        s = (torch.arange(4000) % 20 == 0).long()
        shifted = torch.randn(4000, 1, generator=generator, dtype=torch.float64) + 2 * s[:, None]
        assert leakage(shifted, s, seed=0) == pytest.approx(0.841, abs=0.03)

    def test_does_not_depend_on_the_scale_of_a_column(self, generator):
        s = torch.arange(200) % 2
        representation = torch.randn(200, 3, generator=generator, dtype=torch.float64) + s[:, None]
        scaled = representation * torch.tensor([1e-6, 1.0, 1e6]) + torch.tensor([0.0, 5.0, -1e3])
        assert leakage(scaled, s, seed=1) == leakage(representation, s, seed=1)

    def test_is_reproducible(self, generator):
        s, representation = torch.arange(100) % 2, torch.randn(100, 5, generator=generator)
        assert leakage(representation, s, seed=3) == leakage(representation, s, seed=3)

    @pytest.mark.parametrize(("ones", "said"), [(0, "a second group"), (1, "a second sample of the smallest group")])
    def test_too_few_groups_give_nan_and_a_warning(self, ones, said):
        s = (torch.arange(10) < ones).long()
        with pytest.warns(UndefinedMetricWarning, match=f"leakage is undefined .*{said}"):
            assert np.isnan(leakage(torch.arange(10.0)[:, None], s, seed=0))

    def test_of_leaves_it_is_that_of_their_indicators(self, generator):
        s = torch.arange(200) % 2
        leaf = torch.stack([torch.randint(4, (200,), generator=generator), 4 + 2 * s + (torch.arange(200) % 3 > 0)], 1)
        leaf[::5, 0] = -1
        matrix = torch.zeros(200, 9)
        matrix.scatter_(1, torch.where(leaf < 0, 8, leaf), 1.0)
        matrix[:, 8] = 0
        assert leakage(leaf.int(), s, seed=0) == leakage(matrix[:, :8], s, seed=0) == 1.0
        other = torch.randint(2, (200,), generator=generator)
        assert leakage(leaf.int(), other, seed=0) == pytest.approx(leakage(matrix[:, :8], other, seed=0), abs=0.02)
