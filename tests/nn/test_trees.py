"""Trees as features and a head: against LightGBM, and sparse features against the dense matrix that they stand for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.nn.trees import (
    NO_LEAF,
    Boosting,
    Trees,
    columns,
    grow,
    grow_classes,
    is_sparse,
    leaf_sums,
    leaf_totals,
    sparse_product,
)

SMALL = Boosting(rounds=12, num_leaves=6, min_data_in_leaf=5)
N, D = 400, 5


def rows(generator: torch.Generator, n: int = N) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, D, generator=generator)
    y = x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * torch.randn(n, generator=generator) > 0
    return x, y.long()


def dense(leaf: Tensor, leaves: int) -> Tensor:
    """Return the matrix of zeros and ones, entry by entry."""
    matrix = torch.zeros(len(leaf), leaves, dtype=torch.float64)
    for n, row in enumerate(leaf.tolist()):
        for column in row:
            if column != NO_LEAF:
                matrix[n, column] = 1
    return matrix


@pytest.fixture
def data(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return rows(generator)


@pytest.fixture
def trees(data: tuple[Tensor, Tensor]) -> Trees:
    return grow(*data, SMALL)[0]


class TestClassTrees:
    def drawn(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.randn(400, 3, generator=generator)
        return x, (x[:, 0] > -0.5).long() + (x[:, 0] + 0.3 * x[:, 1] > 0.6).long()

    def test_they_learn_and_watched_rows_end_the_growth(self, generator: torch.Generator) -> None:
        x, y = self.drawn(generator)
        many = Boosting(rounds=200, num_leaves=8, learning_rate=0.3)
        watched = (x[300:], y[300:])
        trees, loss = grow_classes(x[:300], y[:300], many, classes=3, watched=watched, patience=5)
        assert 0 < trees.rounds < 200
        odds = trees.log_odds(x[300:])
        assert odds.shape == (100, 3)
        assert loss == pytest.approx(float(torch.nn.functional.cross_entropy(odds, y[300:])), abs=1e-6)
        assert (odds.argmax(dim=1) == y[300:]).double().mean() > 0.85
        again, _ = grow_classes(x[:300], y[:300], replace(many, rounds=trees.rounds), classes=3)
        torch.testing.assert_close(again.log_odds(x), trees.log_odds(x))

    def test_a_class_without_rows_is_never_likely(self, generator: torch.Generator) -> None:
        x, y = self.drawn(generator)
        trees, _ = grow_classes(x[y < 2], y[y < 2], Boosting(rounds=5), classes=3)
        assert trees.log_odds(x).softmax(dim=1)[:, 2].max() < 1e-3


class TestTrees:
    def test_margins_are_the_leaf_values_of_each_row(self, trees: Trees, data: tuple[Tensor, Tensor]) -> None:
        leaf = trees.leaf_of(data[0])
        assert leaf.shape == (N, len(trees.sizes))
        assert len(trees.values) == trees.leaves == sum(trees.sizes)
        torch.testing.assert_close(dense(leaf, trees.leaves) @ trees.values, trees.margins(data[0]))
        torch.testing.assert_close(dense(leaf, trees.leaves).sum(1), torch.full((N,), 12.0, dtype=torch.float64))

    def test_they_have_learnt(self, trees: Trees, generator: torch.Generator) -> None:
        x, y = rows(generator)
        assert ((trees.margins(x) > 0).long() == y).double().mean() > 0.7

    def test_other_values_are_an_ordinary_model(
        self, trees: Trees, data: tuple[Tensor, Tensor], generator: torch.Generator, tmp_path: Path
    ) -> None:
        import lightgbm

        values = torch.randn(trees.leaves, generator=generator, dtype=torch.float64)
        repaired = trees.with_values(values, shift=0.7)
        path = tmp_path / "model.txt"
        path.write_text(repaired.text)
        margins = lightgbm.Booster(model_file=path).predict(data[0].numpy(), raw_score=True)
        expected = dense(trees.leaf_of(data[0]), trees.leaves) @ values + 0.7
        np.testing.assert_allclose(margins, expected.numpy(), rtol=0, atol=1e-9)
        assert torch.equal(repaired.leaf_of(data[0]), trees.leaf_of(data[0])), "the trees stay as they are"

    def test_values_that_do_not_fit_are_refused(self, trees: Trees) -> None:
        one_is_none = trees.values.clone()
        one_is_none[3] = torch.nan
        for values in (torch.zeros(1), one_is_none):
            with pytest.raises(InputError, match=f"{len(values)} leaf values, expected {trees.leaves} finite ones"):
                trees.with_values(values)

    def test_a_text_that_is_no_model_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"no LightGBM model: .*, expected the text of one"):
            _ = Trees("tree\nversion=v4\n").booster

    def test_a_model_of_more_classes_is_refused(self, data: tuple[Tensor, Tensor]) -> None:
        import lightgbm

        y = (data[0][:, 0] > 0).long() + (data[0][:, 1] > 0).long()
        parameters = {"objective": "multiclass", "num_class": 3, "verbose": -1}
        booster = lightgbm.train(parameters, lightgbm.Dataset(data[0].numpy(), y.numpy()), 2)
        with pytest.raises(InputError, match="3 trees per round, expected one of two classes"):
            _ = Trees(booster.model_to_string()).booster


class TestGrow:
    def test_rows_settings_and_seed_decide(self, data: tuple[Tensor, Tensor]) -> None:
        assert grow(*data, SMALL, seed=1)[0].text == grow(*data, SMALL, seed=1)[0].text

    def test_any_seed_of_ours_is_one(self, data: tuple[Tensor, Tensor]) -> None:
        settings = Boosting(rounds=3, num_leaves=4, feature_fraction=0.4)
        texts = {grow(*data, settings, seed=seed)[0].values.sum().item() for seed in (0, 1, 2**32 - 1)}
        assert len(texts) == 3

    def test_watched_rows_end_the_growth(self, data: tuple[Tensor, Tensor], generator: torch.Generator) -> None:
        many = Boosting(rounds=300, num_leaves=20, learning_rate=0.3)
        watched = rows(generator)
        trees, loss = grow(*data, many, watched=watched, patience=10)
        assert len(trees.sizes) < 200
        margin, sign = trees.margins(watched[0]), (2 * watched[1] - 1).double()
        assert loss == pytest.approx(torch.log1p((-sign * margin).exp()).mean().item())
        for rounds in (max(1, len(trees.sizes) // 2), len(trees.sizes) + 8):
            other, _ = grow(*data, Boosting(rounds=rounds, num_leaves=20, learning_rate=0.3))
            assert torch.log1p((-sign * other.margins(watched[0])).exp()).mean().item() >= loss

    def test_rows_that_cannot_be_split_give_the_base_rate(self) -> None:
        x, y = torch.zeros(30, 2), torch.tensor([0, 1, 1] * 10)
        trees, _ = grow(x, y, SMALL)
        assert trees.leaf_of(x).shape == (30, len(trees.sizes))
        torch.testing.assert_close(trees.margins(x), torch.full((30,), 2.0, dtype=torch.float64).log())


class TestSparseFeatures:
    @pytest.fixture
    def leaf(self, generator: torch.Generator) -> Tensor:
        """Rows of two replicates with three trees of four leaves; some rows of the second lack a tree."""
        leaf = torch.randint(0, 4, (2, 30, 3), generator=generator) + torch.tensor([0, 4, 8])
        leaf[1, ::3, 2] = NO_LEAF
        return leaf.int()

    def test_the_product_and_its_gradient_are_the_dense_ones(self, leaf: Tensor, generator: torch.Generator) -> None:
        w = torch.randn(2, 13, 5, generator=generator, dtype=torch.float64).requires_grad_()
        x = torch.stack([dense(rows_, 13) for rows_ in leaf])
        torch.testing.assert_close(sparse_product(leaf, w), x @ w)
        upstream = torch.randn(2, 30, 5, generator=generator, dtype=torch.float64)
        sparse, full = (torch.autograd.grad(value, w, upstream)[0] for value in (sparse_product(leaf, w), x @ w))
        torch.testing.assert_close(sparse, full)
        assert torch.equal(sparse[:, 12], torch.zeros(2, 5, dtype=torch.float64)), "a leaf in no row"

    @pytest.mark.parametrize("width", [1, 3, 16, 17])
    def test_a_columns_bits_do_not_depend_on_those_beside_it(
        self, leaf: Tensor, width: int, generator: torch.Generator
    ) -> None:
        w = torch.randn(2, 13, 40, generator=generator).requires_grad_()
        upstream = torch.randn(2, 30, 40, generator=generator)
        everything = sparse_product(leaf, w)
        (gradient,) = torch.autograd.grad(everything, w, upstream)
        few = w.detach()[..., :width].clone().requires_grad_()
        alone = sparse_product(leaf, few)
        assert torch.equal(alone, everything[..., :width])
        assert torch.equal(torch.autograd.grad(alone, few, upstream[..., :width])[0], gradient[..., :width])

    def test_their_width_is_that_of_the_matrix(self, leaf: Tensor) -> None:
        assert (is_sparse(leaf), columns(leaf)) == (True, 12)
        assert (is_sparse(torch.zeros(3, 7)), columns(torch.zeros(3, 7))) == (False, 7)
        assert columns(leaf[:, :0]) == 0

    def test_sums_over_leaves_and_over_rows_are_products_with_the_indicators(self, trees: Trees) -> None:
        x = torch.randn(50, D, generator=torch.Generator().manual_seed(3))
        leaf, values, of_rows = trees.leaf_of(x), torch.randn(trees.leaves, 3), torch.randn(50, 2)
        matrix = dense(leaf, trees.leaves).float()
        torch.testing.assert_close(leaf_sums(leaf, values), matrix @ values)
        torch.testing.assert_close(leaf_totals(leaf, of_rows, trees.leaves), matrix.T @ of_rows, rtol=1e-4, atol=1e-4)
