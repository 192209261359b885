"""LEACE: what the paper proves of it, as properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss
from torch import Tensor
from torch.nn.functional import one_hot

from counterpoise.methods.heads.erasure import fit_eraser

N, D = 400, 6
GROUPS = (2, 4)


def draw(generator: torch.Generator, groups: int, *, n: int = N) -> tuple[Tensor, Tensor]:
    """Return correlated features whose mean depends on the group, and groups of unequal size."""
    s = (torch.rand(n, generator=generator) ** 2 * groups).long()
    means = torch.randn(groups, D, generator=generator, dtype=torch.float64)
    noise = torch.randn(n, D, generator=generator, dtype=torch.float64)
    return means[s] + noise @ torch.randn(D, D, generator=generator, dtype=torch.float64), s


def covariances(x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Return Σ_XX [d, d] and Σ_XS [d, G]."""
    joint = torch.cat([x, one_hot(s).double()], dim=1).T.cov(correction=0)
    return joint[: x.shape[1], : x.shape[1]], joint[: x.shape[1], x.shape[1] :]


@pytest.mark.parametrize("groups", GROUPS)
class TestErasure:
    def test_nothing_linear_is_left(self, generator: torch.Generator, groups: int) -> None:
        x, s = draw(generator, groups)
        erased = fit_eraser(x, s)(x)
        assert covariances(x, s)[1].abs().max() > 0.1
        assert covariances(erased, s)[1].abs().max() < 1e-12

    def test_no_linear_predictor_beats_the_constant(self, generator: torch.Generator, groups: int) -> None:
        """Least squares explains nothing, and logistic regression's log loss is that of the base rates."""
        x, s = draw(generator, groups)
        base_rates = np.bincount(s) / len(s)
        floor = -(base_rates * np.log(base_rates)).sum()
        explained, losses = [], []
        for features in (x.numpy(), fit_eraser(x, s)(x).numpy()):
            explained.append(LinearRegression().fit(features, one_hot(s)).score(features, one_hot(s)))
            logistic = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(features, s)
            losses.append(log_loss(s, logistic.predict_proba(features)))
        assert explained[0] > 0.1
        assert losses[0] < floor - 0.05
        assert abs(explained[1]) < 1e-10
        assert losses[1] == pytest.approx(floor, abs=1e-6)

    def test_erasing_twice_is_erasing_once(self, generator: torch.Generator, groups: int) -> None:
        x, s = draw(generator, groups)
        eraser = fit_eraser(x, s)
        erased = eraser(x)
        torch.testing.assert_close(eraser(erased), erased)
        assert torch.equal(fit_eraser(erased, s)(erased), erased)

    def test_is_affine_equivariant(self, generator: torch.Generator, groups: int) -> None:
        x, s = draw(generator, groups)
        matrix = torch.randn(D, D, generator=generator, dtype=torch.float64)
        shift = torch.randn(D, generator=generator, dtype=torch.float64)
        moved = x @ matrix + shift
        torch.testing.assert_close(fit_eraser(moved, s)(moved), fit_eraser(x, s)(x) @ matrix + shift)

    def test_changes_least(self, generator: torch.Generator, groups: int) -> None:
        """Every affine map x − Q (x − mean) with Q Σ_XS = Σ_XS erases s; none has a smaller mean squared change."""
        x, s = draw(generator, groups)
        eraser = fit_eraser(x, s)
        covariance, cross = covariances(x, s)
        centred = x - x.mean(dim=0)
        directions = torch.linalg.svd(cross, full_matrices=False).U[:, : groups - 1]
        others = [directions @ directions.T]  # projects the differences of the groups' means away
        for size in (1e-2, 1.0):
            skew = torch.randn(D, D, generator=generator, dtype=torch.float64) * size
            others.append(others[0] + skew @ (torch.eye(D) - directions @ directions.T))
        for norm in (covariance.inverse(), torch.eye(D, dtype=torch.float64)):
            least = _change(eraser(x) - x, norm)
            for q in others:
                competitor = x - centred @ q.T
                assert covariances(competitor, s)[1].abs().max() < 1e-10, "the comparison is with maps that erase"
                assert _change(competitor - x, norm) > least
        # Whitened, r takes away an orthogonal projection on G − 1 directions of unit variance.
        assert _change(eraser(x) - x, covariance.inverse()) == pytest.approx(groups - 1)
        torch.testing.assert_close(eraser(x).mean(dim=0), x.mean(dim=0))

    def test_rank_deficient_features(self, generator: torch.Generator, groups: int) -> None:
        """Dead units, a constant and a copy: as without them, and they stay what they are."""
        x, s = draw(generator, groups)
        padded = torch.cat([x, torch.zeros(N, 1), torch.full((N, 1), 3.0), x[:, :1] - 2 * x[:, 1:2]], dim=1)
        erased, alone = fit_eraser(padded, s)(padded), fit_eraser(x, s)(x)
        torch.testing.assert_close(erased[:, :D], alone)
        torch.testing.assert_close(erased[:, D:-1], padded[:, D:-1])
        torch.testing.assert_close(erased[:, -1], alone[:, 0] - 2 * alone[:, 1])

    def test_more_features_than_rows(self, generator: torch.Generator, groups: int) -> None:
        wide = torch.randn(40, 90, generator=generator, dtype=torch.float64)
        s = torch.arange(40) % groups
        erased = fit_eraser(wide, s)(wide)
        assert erased.isfinite().all()
        assert covariances(erased, s)[1].abs().max() < 1e-12

    def test_leading_axes_are_maps_of_their_own(self, generator: torch.Generator, groups: int) -> None:
        drawn = [draw(generator, groups) for _ in range(3)]
        x, s = torch.stack([x for x, _ in drawn]), torch.stack([s for _, s in drawn])
        together = fit_eraser(x, s)(x)
        for r in range(3):
            torch.testing.assert_close(together[r], fit_eraser(x[r], s[r])(x[r]))


def _change(difference: Tensor, norm: Tensor) -> float:
    """Return the mean of ‖difference‖² in a norm."""
    return float(torch.einsum("nd,de,ne->", difference, norm, difference) / len(difference))


def test_a_single_group_changes_nothing(generator: torch.Generator) -> None:
    x, _ = draw(generator, 2)
    assert torch.equal(fit_eraser(x, torch.zeros(N, dtype=torch.int64))(x), x)


def test_precision_is_that_of_the_features(generator: torch.Generator) -> None:
    """Features far from zero in float32: the map is computed in float64, the result comes back as it was given."""
    x, s = draw(generator, 2)
    far = (x + 1e3).float()
    erased = fit_eraser(far, s)(far)
    assert erased.dtype == torch.float32
    torch.testing.assert_close(erased, fit_eraser(far.double(), s)(far.double()).float())
    assert covariances(erased.double(), s)[1].abs().max() < 1e-4
