r"""How far models are from the ideal of a metric, without the contribution of chance on few rows.

A gap measured on few rows is above the true one: of 120 positive women a perfectly fair model shows an equalized odds
gap of 0.05. A tolerance is therefore held against an estimate. For a single gap $\Delta$ that is measured in several
samples as $\hat\Delta_i$, each with the sampling variance $\hat\sigma_i^2$ that its rates imply,
$E(\hat\Delta_i^2 - \hat\sigma_i^2) = \Delta_i^2$, so that

$$\sqrt{\max\left(0, \tfrac1S \sum_i \hat\Delta_i^2 - \hat\sigma_i^2\right)}$$

estimates the root mean square of the true gaps. A metric made of several gaps is put together from such estimates.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int, Int64, Num
from torch import Tensor

from counterpoise.errors import InputError, suggest
from counterpoise.fairness import _rates
from counterpoise.fairness._registry import METRICS, UndefinedMetricWarning, compared_counts
from counterpoise.fairness.compared import Compared
from counterpoise.fairness.metrics import COUNT_METRICS, PERCENT

CRITERIA: tuple[str, ...] = tuple(name for name in (*COUNT_METRICS, "auc") if METRICS[name].perfect is not None)
"""The metrics of predictions and groups with a known ideal: a model can be asked to come within a tolerance of it."""

_Gap = tuple[Tensor, Tensor]
"""The differences of two groups' rates [*batch, S, V, P, c], and their sampling variances."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Models whose biases inform each other: those that differ by a step of one setting.

    index [V, n]: each model's neighbours, itself among them. weight [V, n]: of each neighbour; 0 for padding.
    """

    index: Int[Tensor, "V n"]
    weight: Float[Tensor, "V n"]


def shortfall(metric: str, value: Num[Tensor, "*any"]) -> Float64[Tensor, "*any"]:
    """How far values of a metric are from its ideal, as fractions: |value| of a gap, 1 − value of an accuracy.

    The error, in %, is divided by 100. 0 is perfect, whatever the metric.

    Raises:
        InputError: no metric has this name, or its ideal is unknown (`leakage`, which belongs to features).
    """
    info = METRICS[_checked(metric)]
    return (value.double() - (info.perfect or 0.0)).abs() / (PERCENT if info.unit == "%" else 1.0)


def _checked(metric: str) -> str:
    if metric not in CRITERIA:
        raise InputError(f"No metric with an ideal value is called {metric!r}{suggest(metric, CRITERIA)}.")
    return metric


def underlying_bias(
    metric: str,
    counts: Int64[Tensor, "*batch S V G k k"],
    neighbours: Neighbours | None = None,
    *,
    compared: Compared = None,
) -> Float64[Tensor, "*batch V"]:
    """Estimate the shortfall of V models, apart from what chance adds on few rows, from S samples of it.

    A gap is estimated as this module says: near 0 for a fair model, and near the truth for a biased one. (No estimate
    is below 0, so that on few samples of a fair model half of them are above it.) A metric that is no gap between rates
    of groups is not corrected: the mean of its shortfall. A sample in which a gap, or the metric of every model, is
    undefined, because it lacks a class or a group, says nothing and is left out.

    Args:
        neighbours: if given, what is known of a model is averaged with what is known of its neighbours, before the
            root is taken: there is less noise in the estimates, and less luck in what is chosen by them.
        compared: the groups that gaps are taken of.

    Returns:
        NaN where no sample says anything.

    Raises:
        InputError: as `shortfall`, or the metric is no function of counts.
    """
    counts = compared_counts(metric, counts, compared)
    if metric in _GAP_METRICS:
        combine, parts = _GAP_METRICS[metric]
        sizes = [_sizes(*part(counts), neighbours) for part in parts]
        return combine(*sizes).amax((-2, -1))
    if _checked(metric) not in COUNT_METRICS:
        raise InputError(f"The metric {metric!r} cannot be computed from counts{suggest(metric, COUNT_METRICS)}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # left out below
        return mean_shortfall(shortfall(metric, COUNT_METRICS[metric](counts)), neighbours)


def mean_shortfall(
    values: Float64[Tensor, "*batch S V"], neighbours: Neighbours | None = None
) -> Float64[Tensor, "*batch V"]:
    """Mean over the samples in which any model has a value, averaged with neighbours; as in `underlying_bias`."""
    there = ~values.isnan().all(dim=-1, keepdim=True)
    mean = values.masked_fill(~there, 0.0).sum(dim=-2) / there.sum(dim=-2)
    return _averaged(mean.unsqueeze(-1), neighbours).squeeze(-1)


def _sizes(difference: Tensor, variance: Tensor, neighbours: Neighbours | None) -> Float64[Tensor, "*batch V P c"]:
    """Estimate the root mean square of the true gaps behind measured ones."""
    square = (difference.square() - variance).nanmean(dim=-4)
    return _averaged(square.flatten(-2), neighbours).clamp(min=0).sqrt().unflatten(-1, square.shape[-2:])


def _averaged(values: Float64[Tensor, "*batch V q"], neighbours: Neighbours | None) -> Float64[Tensor, "*batch V q"]:
    """Average over neighbours, of which those without a value have no weight; what has no value keeps none."""
    if neighbours is None:
        return values
    beside = values[..., neighbours.index, :]  # *batch, V, n, q
    weight = neighbours.weight.double().unsqueeze(-1).masked_fill(beside.isnan(), 0.0)
    mean = (beside.nan_to_num(0.0) * weight).sum(dim=-2) / weight.sum(dim=-2)
    return mean.masked_fill(values.isnan(), torch.nan)


def _gap(rates: Float64[Tensor, "*batch G c"], sizes: Float64[Tensor, "*batch G #c"]) -> _Gap:
    # n − 1, or the variance of a rate that is itself estimated would be too low on average.
    variances = rates * (1 - rates) / (sizes - 1).clamp(min=1)
    return _rates.pair_differences(rates), _rates.pair_sums(variances)


def _selection(counts: Tensor) -> _Gap:
    return _gap(_rates.selection_rates(counts), _rates.members(counts))


def _tpr(counts: Tensor) -> _Gap:
    return _gap(_rates.true_positive_rates(counts), _rates.positives(counts))


def _fpr(counts: Tensor) -> _Gap:
    return _gap(_rates.false_positive_rates(counts), _rates.negatives(counts))


def _mean_odds(counts: Tensor) -> _Gap:
    (tpr, tpr_variance), (fpr, fpr_variance) = _tpr(counts), _fpr(counts)
    return (tpr + fpr) / 2, (tpr_variance + fpr_variance) / 4


_GAP_METRICS: Mapping[str, tuple[Callable[..., Tensor], tuple[Callable[[Tensor], _Gap], ...]]] = {
    # metric → how the estimated sizes of its gaps are put together, and the gaps
    "delta_dp": (torch.clone, (_selection,)),
    "spd": (torch.clone, (_selection,)),
    "eod": (torch.clone, (_tpr,)),
    "aod": (torch.clone, (_mean_odds,)),
    "delta_eo": (torch.add, (_tpr, _fpr)),
    "equalized_odds_difference": (torch.maximum, (_tpr, _fpr)),
}
