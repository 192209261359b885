"""The base that is a classifier of scikit-learn's kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from counterpoise.errors import InputError
from counterpoise.methods.bases.estimator import CERTAIN, fit


def rows(generator: torch.Generator, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(300, 3, generator=generator) * torch.tensor([1.0, 5.0, 0.0])
    return x, (x[:, 0] + torch.randn(300, generator=generator) > 0).long() + (classes - 2) * (x[:, 1] > 3).long()


@pytest.mark.parametrize("classes", [2, 3])
def test_the_margin_gives_back_the_classifiers_probabilities(generator: torch.Generator, classes: int) -> None:
    x, y = rows(generator, classes)
    unfitted = LogisticRegression()
    base = fit(unfitted, x, y)
    features, margin = base.view(x[:50])
    expected = LogisticRegression().fit(x.numpy(), y.numpy()).predict_proba(x[:50].numpy())
    probability = margin.softmax(dim=1) if classes > 2 else torch.stack([-margin, margin], dim=1).mul(0.5).softmax(1)
    np.testing.assert_allclose(probability.numpy(), expected, atol=1e-5)
    assert not hasattr(unfitted, "coef_"), "a clone is fitted"
    mean, scale = x.mean(dim=0), x.std(dim=0, correction=0)
    torch.testing.assert_close(features, (x[:50] - mean) / torch.where(scale > 0, scale, 1.0))


def test_a_classifier_that_is_certain_has_finite_margins(generator: torch.Generator) -> None:
    x, y = rows(generator, 2)
    _, margin = fit(DecisionTreeClassifier(), x, y).view(x)
    limit = torch.logit(torch.tensor(1 - CERTAIN).double()).item()
    assert margin[y == 1].mean().item() == pytest.approx(limit, rel=1e-3)
    assert margin[y == 0].mean().item() == pytest.approx(-limit, rel=1e-3)


class Fixed(LogisticRegression):
    """It gives one probability too many."""

    def predict_proba(self, X: Any) -> Any:
        return np.full((len(X), 3), 1 / 3)


class Refuses(LogisticRegression):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        raise ValueError("names are needed")


def test_what_cannot_be_a_base_is_refused(generator: torch.Generator) -> None:
    x, y = rows(generator, 2)
    with pytest.raises(InputError, match=r"probabilities of the shape \[1, 3\], expected \[1, 2\]"):
        fit(Fixed(), x, y)
    with pytest.raises(InputError, match=r"cannot be fitted to the 3 encoded columns.*names are needed"):
        fit(Refuses(), x, y)
    with pytest.raises(InputError, match="has no tensors"):
        fit(LogisticRegression(), x, y).tensors()
