r"""How far models are from the ideal of a metric, without the contribution of chance on few rows.

A gap measured on few rows is above the true one: of 120 positive women a perfectly fair model shows an equalized odds
gap of 0.05. A tolerance is therefore held against an estimate. For a single gap $\Delta$ that is measured in several
samples as $\hat\Delta_i$, each with the sampling variance $\hat\sigma_i^2$ that its rates imply,
$E(\hat\Delta_i^2 - \hat\sigma_i^2) = \Delta_i^2$, so that

$$\sqrt{\max\left(0, \tfrac1S \sum_i \hat\Delta_i^2 - \hat\sigma_i^2\right)}$$

estimates the root mean square of the true gaps. A metric made of several gaps is put together from such estimates.

Of more than two groups the largest gap counts, which is that of the two whose rates chance has moved furthest apart:
pair by pair, eight equal groups of a few hundred rows still seem 0.17 apart. There the groups' rates $\hat r_g$ with
sampling variances $\hat\sigma_g^2$ are first drawn towards their mean $\bar r$,

$$\bar r + \sqrt{\frac{\tau^2}{\tau^2 + \hat\sigma_g^2}}\,(\hat r_g - \bar r), \qquad
\tau^2 = \max\left(0, \tfrac1{G-1} \sum_g (\hat r_g - \bar r)^2 - \tfrac1G \sum_g \hat\sigma_g^2\right),$$

so that they vary as much as the true rates do (Louis, Journal of the American Statistical Association 79, 1984), with
$\tau^2$ and $\hat\sigma_g^2$ averaged over samples. Of two groups with variances alike it is the formula above.
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

_Measured = tuple[Tensor, Tensor]
"""The groups' rates [*batch, S, V, G, c], and their sampling variances."""


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


def _sizes(rates: Tensor, variances: Tensor, neighbours: Neighbours | None) -> Float64[Tensor, "*batch V P c"]:
    """Estimate the root mean square of the true gaps behind measured ones, of each pair of groups."""
    if rates.shape[-2] == 2:
        squares = _rates.pair_differences(rates).square() - _rates.pair_sums(variances)
    else:
        squares = _rates.pair_differences(_shrunk(rates, variances, neighbours)).square()
    return _mean(squares, neighbours).clamp(min=0).sqrt()


def _shrunk(rates: Tensor, variances: Tensor, neighbours: Neighbours | None) -> Float64[Tensor, "*batch S V G c"]:
    """Return how far each group's rate is from their mean, drawn towards it by what chance adds."""
    deviations = rates - rates.nanmean(dim=-2, keepdim=True)
    groups = (~rates.isnan()).sum(dim=-2, keepdim=True)
    between = deviations.square().nansum(dim=-2, keepdim=True) / (groups - 1) - variances.nanmean(dim=-2, keepdim=True)
    true = _mean(between.masked_fill(groups < 2, torch.nan), neighbours).clamp(min=0)
    share = true / (true + _mean(variances, neighbours))
    return deviations * share.nan_to_num(0.0).sqrt().unsqueeze(-4)


def _mean(values: Float64[Tensor, "*batch S V G c"], neighbours: Neighbours | None) -> Float64[Tensor, "*batch V G c"]:
    """Return the mean over the samples that have a value, averaged with neighbours."""
    mean = values.nanmean(dim=-4)
    return _averaged(mean.flatten(-2), neighbours).unflatten(-1, mean.shape[-2:])


def _averaged(values: Float64[Tensor, "*batch V q"], neighbours: Neighbours | None) -> Float64[Tensor, "*batch V q"]:
    """Average over neighbours, of which those without a value have no weight; what has no value keeps none."""
    if neighbours is None:
        return values
    beside = values[..., neighbours.index, :]  # *batch, V, n, q
    weight = neighbours.weight.double().unsqueeze(-1).masked_fill(beside.isnan(), 0.0)
    mean = (beside.nan_to_num(0.0) * weight).sum(dim=-2) / weight.sum(dim=-2)
    return mean.masked_fill(values.isnan(), torch.nan)


def _with_variances(rates: Float64[Tensor, "*batch G c"], sizes: Float64[Tensor, "*batch G #c"]) -> _Measured:
    # n − 1, or the variance of a rate that is itself estimated would be too low on average.
    return rates, rates * (1 - rates) / (sizes - 1).clamp(min=1)


def _selection(counts: Tensor) -> _Measured:
    return _with_variances(_rates.selection_rates(counts), _rates.members(counts))


def _tpr(counts: Tensor) -> _Measured:
    return _with_variances(_rates.true_positive_rates(counts), _rates.positives(counts))


def _fpr(counts: Tensor) -> _Measured:
    return _with_variances(_rates.false_positive_rates(counts), _rates.negatives(counts))


def _mean_odds(counts: Tensor) -> _Measured:
    (tpr, tpr_variance), (fpr, fpr_variance) = _tpr(counts), _fpr(counts)
    return (tpr + fpr) / 2, (tpr_variance + fpr_variance) / 4


_GAP_METRICS: Mapping[str, tuple[Callable[..., Tensor], tuple[Callable[[Tensor], _Measured], ...]]] = {
    # metric → how the estimated sizes of its gaps are put together, and the gaps
    "delta_dp": (torch.clone, (_selection,)),
    "spd": (torch.clone, (_selection,)),
    "eod": (torch.clone, (_tpr,)),
    "aod": (torch.clone, (_mean_odds,)),
    "delta_eo": (torch.add, (_tpr, _fpr)),
    "equalized_odds_difference": (torch.maximum, (_tpr, _fpr)),
}
