"""The base that is a classifier of scikit-learn's kind: its log odds, to which heads on the columns add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoise.errors import InputError
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
    """A fitted classifier of two classes, and the statistics of the columns [q] that heads see.

    Attributes:
        unfitted: what it was cloned from.
    """

    fitted: Classifier
    unfitted: Classifier
    columns: Dense

    def view(self, x: Float[Tensor, "n q"]) -> tuple[Float[Tensor, "n q"], Float[Tensor, "n"]]:
        """Return the standardised columns, and the classifier's log odds."""
        probability = np.asarray(self.fitted.predict_proba(x.numpy()), dtype=np.float64)[:, 1]
        inside = torch.from_numpy(probability).clamp(CERTAIN, 1 - CERTAIN)
        return self.columns.view(x)[0], torch.logit(inside).float()

    def tensors(self) -> dict[str, Tensor]:
        """Raise InputError: what an estimator consists of only a pickle can hold."""
        raise InputError("an estimator of scikit-learn has no tensors, expected a base that can be written down")


def fit(unfitted: Classifier, x: Float[Tensor, "n q"], y: Int[Tensor, "n"]) -> Estimated:
    """Fit a clone of a classifier.

    Raises:
        InputError: it gives no probabilities of two classes.
    """
    from sklearn.base import clone

    fitted = clone(unfitted).fit(x.numpy(), y.numpy())
    said = np.asarray(fitted.predict_proba(x[:1].numpy()))
    if said.shape != (1, 2):
        raise InputError(f"base: {unfitted!r} gives probabilities of the shape {list(said.shape)}, expected [1, 2]")
    return Estimated(fitted, unfitted, dense.fit(x))
