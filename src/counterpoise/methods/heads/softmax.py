"""Linear models of several classes, or groups: L2-penalised softmax regression."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from counterpoise.methods.heads.newton import Rows, plain_head, row_weights

ABSENT = -30.0
"""Log odds of a class that no row has, where those of the others are about 0."""

ITERATIONS = 1000


def softmax_head(
    x: Float[Tensor, "n q"], target: Int[Tensor, "n"], pull: float, classes: int
) -> Float64[Tensor, "p k"]:
    """Return log odds, the last row the intercepts, that minimise the cross-entropy + ½ pull |coefficients|².

    A class that no row has is told apart for sure; of two the first one's log odds are 0.
    """
    head = torch.zeros(x.shape[1] + 1, classes, dtype=torch.float64)
    present = target.unique().tolist()
    if len(present) < 2:
        head[-1] = ABSENT
        head[-1, present] = 0.0
        return head
    if classes == 2:
        rows = Rows(x, x.new_zeros(len(x)), target, target, row_weights(target))
        head[:, 1] = plain_head(rows, pull).double()
        return head
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of a weak pull on classes that are easily told apart
        model = LogisticRegression(C=1 / (pull * len(x)), max_iter=ITERATIONS).fit(x.numpy(), target.numpy())
    head[-1] = ABSENT
    coefficients, intercepts = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    if len(present) == 2:
        coefficients, intercepts = np.stack([-coefficients[0], coefficients[0]]) / 2, np.array([-1, 1]) * intercepts / 2
    for place, label in enumerate(present):
        head[:-1, label] = torch.from_numpy(coefficients[place])
        head[-1, label] = float(intercepts[place])
    return head
