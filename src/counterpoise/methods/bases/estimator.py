"""The base that is a classifier of scikit-learn's kind: its log odds, to which heads on the columns add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.errors import InputError, reason, shown
from counterpoise.methods.bases import dense
from counterpoise.methods.bases.dense import Dense

CERTAIN = 1e-6
"""Probabilities nearer to 0 or 1 than this have its log odds."""


@runtime_checkable
class Classifier(Protocol):
    """What scikit-learn calls a classifier, with probabilities; it is cloned before it is fitted."""

    def fit(self, X: Any, y: Any) -> Any: ...

    def predict_proba(self, X: Any) -> Any: ...


@dataclass(frozen=True, eq=False)
class Estimated:
    """A fitted classifier, and the statistics of the columns [q] that heads see.

    Attributes:
        unfitted: what it was cloned from.
    """

    fitted: Classifier
    unfitted: Classifier
    columns: Dense

    def view(self, x: Float[Tensor, "n q"]) -> tuple[Float[Tensor, "n q"], Float[Tensor, "n *k"]]:
        """Return the standardised columns, and the classifier's log odds: of two classes [n], of more [n, k]."""
        probability = np.asarray(self.fitted.predict_proba(x.numpy()), dtype=np.float64)
        inside = torch.from_numpy(probability).clamp(CERTAIN, 1 - CERTAIN)
        odds = torch.logit(inside[:, 1]) if inside.shape[1] == 2 else inside.log()
        return self.columns.view(x)[0], odds.float()

    def tensors(self) -> dict[str, Tensor]:
        """Raise InputError: what an estimator consists of only a pickle can hold."""
        raise InputError("an estimator of scikit-learn has no tensors, expected a base that can be written down")


def fit(unfitted: Classifier, x: Float[Tensor, "n q"], y: Int[Tensor, "n"]) -> Estimated:
    """Fit a clone of a classifier.

    Raises:
        InputError: it cannot be fitted to the columns, or gives no probabilities of the classes.
    """
    from sklearn.base import clone

    try:
        fitted = clone(unfitted).fit(x.numpy(), y.numpy())
        said = np.asarray(fitted.predict_proba(x[:1].numpy()))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"base: {shown(unfitted)} cannot be fitted to the {x.shape[1]} encoded columns, all numbers without names "
            f"({reason(error)}), expected a classifier of such"
        ) from error
    if said.shape != (expected := (1, len(y.unique()))):
        raise InputError(
            f"base: {unfitted!r} gives probabilities of the shape {list(said.shape)}, expected {list(expected)}"
        )
    return Estimated(fitted, unfitted, dense.fit(x))
