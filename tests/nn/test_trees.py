"""Trees as a base: leaves are features and their values a head; what is written back is LightGBM's own model."""

import lightgbm
import numpy as np
import pytest
import torch

from counterpoise.errors import InputError
from counterpoise.nn.trees import Boosting, Trees, grow, leaf_sums, leaf_totals


@pytest.fixture(scope="module")
def data() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    return x, ((x[:, 0] * x[:, 1] + 0.3 * x[:, 2]) > 0).long()


@pytest.fixture(scope="module")
def trees(data: tuple[torch.Tensor, torch.Tensor]) -> Trees:
    return grow(*data, Boosting(rounds=7, num_leaves=5))[0]


def test_margins_are_sums_of_leaf_values(data: tuple[torch.Tensor, torch.Tensor], trees: Trees) -> None:
    leaf = trees.leaf_of(data[0])
    assert leaf.shape == (300, len(trees.sizes))
    torch.testing.assert_close(trees.values[leaf.long()].sum(dim=1), trees.margins(data[0]))


def test_sparse_products_are_those_of_the_indicators(data: tuple[torch.Tensor, torch.Tensor], trees: Trees) -> None:
    leaf = trees.leaf_of(data[0])
    dense = torch.nn.functional.one_hot(leaf.long(), trees.leaves).sum(dim=1).float()
    values, rows = torch.randn(trees.leaves, 3), torch.randn(300, 2)
    torch.testing.assert_close(leaf_sums(leaf, values), dense @ values)
    torch.testing.assert_close(leaf_totals(leaf, rows, trees.leaves), dense.T @ rows, rtol=1e-4, atol=1e-4)


def test_other_leaf_values_make_a_model_that_lightgbm_reads(
    data: tuple[torch.Tensor, torch.Tensor], trees: Trees, tmp_path
) -> None:
    values = torch.randn(trees.leaves, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    repaired = trees.with_values(values, shift=0.25)
    file = tmp_path / "model.txt"
    file.write_text(repaired.text)
    margins = lightgbm.Booster(model_file=str(file)).predict(data[0].numpy(), raw_score=True)
    expected = values[trees.leaf_of(data[0]).long()].sum(dim=1) + 0.25
    np.testing.assert_allclose(margins, expected.numpy(), atol=1e-9)
    torch.testing.assert_close(trees.leaf_of(data[0]), repaired.leaf_of(data[0]))


def test_watched_rows_end_the_training(data: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = data
    noise = torch.randint(2, (100,), generator=torch.Generator().manual_seed(2))
    trees, loss = grow(x, y, Boosting(rounds=200, num_leaves=5), watched=(x[:100], noise), patience=5)
    assert len(trees.sizes) < 50
    p = trees.margins(x[:100]).sigmoid()
    expected = torch.nn.functional.binary_cross_entropy(p, noise.double())
    assert loss == pytest.approx(float(expected), abs=1e-9)


def test_growing_is_deterministic(data: tuple[torch.Tensor, torch.Tensor], trees: Trees) -> None:
    assert grow(*data, Boosting(rounds=7, num_leaves=5))[0].text == trees.text


@pytest.mark.parametrize("values", [torch.zeros(3), torch.full((1,), torch.nan)])
def test_wrong_values_are_refused(trees: Trees, values: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"leaf values, expected \d+ finite ones"):
        trees.with_values(values)


def test_what_is_no_model_is_refused(data: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(InputError, match="no LightGBM model"):
        _ = Trees("tree\nversion=v4\n").booster
    x, _ = data
    three = lightgbm.train(
        {"objective": "multiclass", "num_class": 3, "verbose": -1}, lightgbm.Dataset(x.numpy(), np.arange(300) % 3), 1
    )
    with pytest.raises(InputError, match="3 trees per round"):
        _ = Trees(three.model_to_string()).booster
