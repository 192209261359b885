"""Dense features: standardised by their own rows, held back as far as validation rows ask for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as sklearn_log_loss

from counterpoise.methods.bases import dense
from counterpoise.methods.bases.dense import FIRST_PULL, LAST_PULL, STEP, choose_pull, fit, rows_of
from counterpoise.methods.heads.newton import Rows


def drawn(rows: int, columns: int, noise: float, seed: int = 0) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=generator)
    s = (torch.rand(rows, generator=generator) < 0.5).long()
    y = (x[:, 0] + 0.5 * x[:, 1] + noise * torch.randn(rows, generator=generator) > 0).long()
    return rows_of((x, x.new_zeros(rows)), y, s)


def test_features_are_standardised_by_the_rows_of_the_fit(generator: torch.Generator) -> None:
    x = 3 + 5 * torch.randn(200, 4, generator=generator)
    base = fit(x)
    features, offset = base.view(x)
    torch.testing.assert_close(features.mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.std(dim=0, correction=0), torch.ones(4))
    assert not offset.any()
    other = torch.randn(3, 4, generator=generator)
    torch.testing.assert_close(base.view(other)[0], (other - x.mean(dim=0)) / x.std(dim=0, correction=0))


def test_a_constant_column_is_centred_and_not_scaled(generator: torch.Generator) -> None:
    x = torch.randn(50, 2, generator=generator)
    x[:, 1] = 4.0
    base = fit(x)
    assert base.scale[1] == 1.0
    assert not base.view(x)[0][:, 1].any()
    assert base.view(torch.tensor([[0.0, 6.0]]))[0][0, 1] == 2.0


def test_a_base_survives_its_tensors(generator: torch.Generator) -> None:
    x = torch.randn(20, 3, generator=generator)
    base = fit(x)
    for mine, other in zip(base.view(x), dense.Dense.from_tensors(base.tensors()).view(x), strict=True):
        assert mine.equal(other)


def test_log_loss_is_scikit_learns(generator: torch.Generator) -> None:
    rows = drawn(100, 3, 0.5)
    head = torch.randn(4, generator=generator)
    probability = (rows.x.double() @ head[:-1].double() + head[-1].double()).sigmoid()
    assert dense.log_loss(head, rows) == pytest.approx(sklearn_log_loss(rows.y.numpy(), probability.numpy()), abs=1e-6)


def test_balanced_rows_give_both_classes_half(generator: torch.Generator) -> None:
    y = torch.tensor([0] * 30 + [1] * 10)
    x = torch.randn(40, 2, generator=generator)
    rows = rows_of((x, x.new_zeros(40)), y, y, balanced=True)
    assert float(rows.weights[y == 1].sum()) == pytest.approx(0.5)


@pytest.mark.parametrize(("train", "noise"), [(60, 2.0), (2000, 0.3)])
def test_the_pull_is_as_good_as_a_wide_grid_of_scikit_learns(train: int, noise: float) -> None:
    """Few noisy rows ask for a strong pull, many clean ones for a weak one; the grid is independent of ours."""
    rows, watched = drawn(train, 20, noise), drawn(1000, 20, noise, seed=1)
    pull, head, loss = choose_pull(rows, watched)
    assert loss == pytest.approx(dense.log_loss(head, watched))
    losses = {}
    for other in np.geomspace(1e-6, 10, 22):
        model = LogisticRegression(C=1 / (other * train), max_iter=5000, tol=1e-8).fit(rows.x.numpy(), rows.y.numpy())
        losses[other] = sklearn_log_loss(watched.y.numpy(), model.predict_proba(watched.x.numpy()))
    assert loss <= min(losses.values()) + 0.002
    assert LAST_PULL < pull <= FIRST_PULL
    assert float(np.emath.logn(STEP, FIRST_PULL / pull)) == pytest.approx(
        round(np.log(FIRST_PULL / pull) / np.log(STEP))
    )


def test_noisier_rows_are_held_back_more() -> None:
    strong, _, _ = choose_pull(drawn(60, 20, 2.0), drawn(1000, 20, 2.0, seed=1))
    weak, _, _ = choose_pull(drawn(2000, 20, 0.3), drawn(1000, 20, 0.3, seed=1))
    assert strong > 10 * weak
