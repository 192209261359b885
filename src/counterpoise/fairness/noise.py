r"""Noise floor: the gap that a *perfectly fair* classifier shows on a finite test set.

Measured rates scatter around the true ones, and a gap is an absolute value, so it is above 0 even if nothing is there
to find. The floor is the expected gap of a classifier with the pooled rates of the one at hand, on as many samples of
each group and class. A tolerance below the floor is unattainable, and a gap near the floor is no evidence of bias.

The scatter is taken as normal: a rate p measured on n samples has variance p (1 − p) / n. For two classes and two
groups the expectations are closed forms, from $E|N(0, \sigma^2)| = \sigma \sqrt{2/\pi}$ with $\sigma^2 = p (1 - p)
(1/n_0 + 1/n_1)$. For more, the largest gap over pairs and classes is averaged over draws of that same normal model. The
draws come from a generator of their own and are shared by the whole batch: the same counts always have the same floor.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from math import pi, sqrt

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from counterpoise.errors import InputError, suggest
from counterpoise.fairness._registry import METRICS, UndefinedMetricWarning
from counterpoise.fairness.metrics import COUNT_METRICS

MEAN_ABSOLUTE_NORMAL = sqrt(2 / pi)
"""E|X| of a standard normal X."""

DRAWS = 2048
"""Simulated tables per floor: its standard error is then below 2% of it."""

DRAWS_SEED = 0

ENTRIES_AT_ONCE = 1 << 22
"""Simulated counts held at once: 32 MB."""

_CLOSED_FORMS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    # σ of the groups' difference in selection rate, TPR, FPR → E|metric| / E|N(0, 1)|
    "delta_dp": lambda selection, tpr, fpr: selection,
    "spd": lambda selection, tpr, fpr: selection,
    "delta_eo": lambda selection, tpr, fpr: tpr + fpr,
    "eod": lambda selection, tpr, fpr: tpr,
    "aod": lambda selection, tpr, fpr: torch.hypot(tpr, fpr) / 2,
    # max(|a|, |b|) = (|a + b| + |a − b|) / 2, and both sums have variance σ_a² + σ_b²
    "equalized_odds_difference": lambda selection, tpr, fpr: torch.hypot(tpr, fpr),
}

_PARITY_METRICS = frozenset({"delta_dp", "spd"})
"""Fair means: predictions independent of the group. For the others: independent of the group within each true class."""


def noise_floor(metric: str, counts: Int[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"] | None:
    """Expected absolute value of a fairness metric if the classifier were perfectly fair.

    Args:
        metric: a name of `METRICS`.
        counts: [group, true class, predicted class], of the classifier whose gap the floor is for.

    Returns:
        The floor in the metric's unit; NaN where the metric itself is undefined. None for a metric that is no
        difference of rates between groups.

    Raises:
        InputError: if there is no metric of this name, or there are fewer than two groups.
    """
    if metric not in METRICS:
        raise InputError(f"There is no metric {metric!r}{suggest(metric, METRICS)}.")
    if metric not in _CLOSED_FORMS:
        return None
    return _closed_form(metric, counts) if counts.shape[-3:] == (2, 2, 2) else _simulated(metric, counts)


def _closed_form(metric: str, counts: Int[Tensor, "*batch 2 2 2"]) -> Float64[Tensor, "*batch"]:
    counts = counts.double()
    selection = _deviation(counts.sum(-2))
    fpr, tpr = _deviation(counts.transpose(-3, -2)).unbind(-1)  # group axis next to the predicted class
    return MEAN_ABSOLUTE_NORMAL * _CLOSED_FORMS[metric](selection, tpr, fpr)


def _deviation(predicted: Float64[Tensor, "*cell 2 2"]) -> Float64[Tensor, "*cell"]:
    """Standard deviation of the difference of two groups' rates of class 1, from counts [group, predicted class]."""
    sizes = predicted.sum(-1)
    rate = predicted[..., 1].sum(-1) / sizes.sum(-1)
    deviation = (rate * (1 - rate) * (1 / sizes).sum(-1)).sqrt()
    return torch.where((sizes > 0).all(-1), deviation, torch.nan)


def _simulated(metric: str, counts: Int[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    """Mean of the metric itself over simulated tables of counts (normal approximation of the multinomial)."""
    batch, table = counts.shape[:-3], counts.shape[-3:]
    flat = counts.double().reshape(-1, *table)
    generator = torch.Generator().manual_seed(DRAWS_SEED)
    draws = torch.randn(DRAWS, 1, *table, generator=generator, dtype=torch.float64).to(flat.device)
    floor = torch.empty(len(flat), dtype=torch.float64, device=flat.device)
    step = max(1, ENTRIES_AT_ONCE // draws.numel())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # the metric of these counts has said it already
        for start in range(0, len(flat), step):
            block = flat[start : start + step]
            tables = _fair_tables(block, draws, given_class=metric not in _PARITY_METRICS)
            floor[start : start + step] = COUNT_METRICS[metric](tables).abs().mean(0)
    return floor.reshape(batch)


def _fair_tables(
    counts: Float64[Tensor, "b G k k"], draws: Float64[Tensor, "m 1 G k k"], *, given_class: bool
) -> Float64[Tensor, "m b G k k"]:
    """Counts of a fair classifier: each (group, class) row has mean n q and covariance n (diag q − q qᵀ).

    q is the pooled distribution of predictions, of the row's true class or of all. With z standard normal,
    √q ⊙ z − q (√q · z) has covariance diag q − q qᵀ, because √q is a unit vector.
    """
    pooled = counts.sum(-3, keepdim=True) if given_class else counts.sum((-3, -2), keepdim=True)
    q = pooled / pooled.sum(-1, keepdim=True)
    sizes = counts.sum(-1, keepdim=True)
    root = q.sqrt()
    scatter = root * draws - q * (root * draws).sum(-1, keepdim=True)
    return sizes * q + sizes.sqrt() * scatter
