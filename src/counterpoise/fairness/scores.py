"""Metrics that need more than counts: the ranking of scores, and the accuracy of a probe on a representation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int32, Integer
from torch import Tensor

from counterpoise.errors import InputError
from counterpoise.fairness._counts import check_shape, flatten_shared, row_chunks
from counterpoise.fairness._registry import describe, warn_undefined

PROBE_ITERATIONS = 10_000
"""L-BFGS stops at its tolerance long before; if it does not, scikit-learn's ConvergenceWarning says so."""


@describe(
    title="AUC",
    perfect=1.0,
    definition="Probability that a random positive sample scores above a random negative one (ties count half).",
)
def auc(
    y: Integer[Tensor, "*#batch n"], score: Float[Tensor, "*batch n"], mask: Bool[Tensor, "*#batch n"] | None = None
) -> Float64[Tensor, "*batch"]:
    r"""Area under the ROC curve, $P(z_+ > z_-) + \frac12 P(z_+ = z_-)$. Perfect: 1; chance: ½.

    Args:
        y: true classes, 0 or 1; broadcasts over the batch axes of `score`.
        score: higher means class 1 is more likely; only the order matters.
        mask: the samples that count (default: all).

    Returns:
        NaN, with a warning, where one of the classes has no sample.

    Raises:
        InputError: if a counted label is neither 0 nor 1, a counted score is NaN, or the shapes do not broadcast.
    """
    check_shape("y", y, score)
    if mask is not None:
        check_shape("mask", mask, score)
        uncounted = -1
        y = torch.where(mask, y.long(), uncounted)
        score = score.masked_fill(~mask, 0.0)
    elif (y < 0).any():
        raise InputError(f"y holds {int(y.min())}, expected 0 or 1.")
    if (y > 1).any():
        raise InputError(f"y holds {int(y.max())}, expected 0 or 1.")
    if score.isnan().any():
        raise InputError("score holds NaN, expected numbers that can be ranked.")
    labels, source = flatten_shared(y, score.shape[:-1])
    scores = score.reshape(len(source), score.shape[-1])

    value = torch.empty(len(scores), dtype=torch.float64, device=score.device)
    for rows in row_chunks(*scores.shape):
        value[rows] = _auc_rows(labels[source[rows]], scores[rows])
    value = value.reshape(score.shape[:-1])
    if value.isnan().any():
        missing = [f"class {c}" for c in (0, 1) if not (y == c).any(-1).all()]
        warn_undefined("auc", value, ", ".join(missing))
    return value


def _auc_rows(labels: Integer[Tensor, "rows n"], scores: Float[Tensor, "rows n"]) -> Float64[Tensor, "rows"]:
    """Mann–Whitney's U over the number of pairs; labels other than 0 and 1 have no weight."""
    ranked, order = scores.contiguous().sort(-1)
    labels = labels.gather(-1, order)
    negatives = torch.nn.functional.pad((labels == 0).cumsum(-1), (1, 0))
    below = negatives.gather(-1, torch.searchsorted(ranked, ranked))
    not_above = negatives.gather(-1, torch.searchsorted(ranked, ranked, right=True))
    positive = labels == 1
    won = ((below + not_above) * positive).sum(-1).double() / 2  # a tie is half a win
    return won / (positive.sum(-1) * negatives[:, -1])


@describe(
    title="Leakage",
    perfect=None,
    definition="Balanced accuracy with which a logistic probe reads s from the representation; chance, 1/G, is best.",
)
def leakage(
    representation: Float[Tensor, "n d"] | Int32[Tensor, "n T"], s: Integer[Tensor, "n"], *, seed: int, folds: int = 5
) -> float:
    r"""How well a linear probe reads the group from a representation. Perfect: 1/G, chance.

    Balanced accuracy of out-of-fold predictions of a *converged* logistic regression on standardised inputs, in
    stratified cross-validation. The classes are weighted equally, as the balanced accuracy does: otherwise a probe that
    always answers with the majority hides what it could read. Converged, because a head trained for a few epochs can
    report far less than is there.

    Args:
        representation: one row per sample; whole numbers are the columns of sparse indicators, negative ones none.
        s: the group of each row; groups are the values that occur.
        folds: reduced to the size of the smallest group where that is smaller.

    Returns:
        NaN, with a warning, if fewer than two groups occur or a group has a single sample.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    sparse = not representation.is_floating_point()
    inputs = _indicators(representation) if sparse else representation.detach().double().cpu().numpy()
    labels = s.cpu().numpy()
    _, sizes = np.unique(labels, return_counts=True)
    if len(sizes) < 2 or sizes.min() < 2:
        absent = "a second group" if len(sizes) < 2 else "a second sample of the smallest group"
        warn_undefined("leakage", torch.tensor(torch.nan), absent)
        return float("nan")
    probe = _probe(centred=not sparse)
    parts = StratifiedKFold(min(folds, int(sizes.min())), shuffle=True, random_state=seed)
    return float(balanced_accuracy_score(labels, cross_val_predict(probe, inputs, labels, cv=parts)))


def leakage_elsewhere(
    representation: Float[Tensor, "n d"],
    s: Integer[Tensor, "n"],
    other: Float[Tensor, "m d"],
    s_other: Integer[Tensor, "m"],
) -> float:
    r"""How well the probe of `leakage`, fitted to all of these rows, reads the group from *other* rows' representation.

    Returns:
        Its balanced accuracy there; NaN, with a warning, if fewer than two groups occur.
    """
    from sklearn.metrics import balanced_accuracy_score

    groups = s.cpu().numpy()
    if len(np.unique(groups)) < 2:
        warn_undefined("leakage", torch.tensor(torch.nan), "a second group")
        return float("nan")
    fitted = _probe().fit(representation.detach().double().cpu().numpy(), groups)
    guessed = fitted.predict(other.detach().double().cpu().numpy())
    return float(balanced_accuracy_score(s_other.cpu().numpy(), guessed))


def _indicators(leaf: Int32[Tensor, "n T"]) -> Any:
    """Return the sparse matrix of zeros and ones whose ones stand in the columns of each row."""
    from scipy.sparse import csr_array

    columns = leaf.cpu().numpy()
    row, position = np.nonzero(columns >= 0)
    return csr_array((np.ones(len(row)), (row, columns[row, position])))


def _probe(*, centred: bool = True) -> Any:
    """Return a logistic regression on standardised inputs, which is fitted until it has converged.

    Its intercept has no penalty, so that it is the same whether inputs are centred; sparse ones cannot be.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        StandardScaler(with_mean=centred), LogisticRegression(class_weight="balanced", max_iter=PROBE_ITERATIONS)
    )
