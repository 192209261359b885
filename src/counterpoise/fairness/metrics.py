r"""Performance and fairness metrics that are functions of confusion counts, one function per metric.

Each takes counts [*batch, G, k, k] (group, true class, predicted class; see `confusion_counts`) and returns float64
[*batch]. Conventions, the same for all:

- Two classes: class 1 is the positive one. More: every class in turn against the rest, and the largest gap counts.
- Two groups: a signed metric is group s = 0 minus group s = 1. More: the largest gap between any two groups; a signed
  metric takes the pair i < j whose s_i − s_j is largest in absolute value.
- Groups can be left out of a comparison, as `delta_eo(counts, compared=[0, 2])`: the gaps are then those of the others.
  Metrics that compare no groups (error, accuracy, F1) count every row in any case.
- A class or group that a metric needs and that is absent gives NaN, and one `UndefinedMetricWarning` per call that
  names it.

In the definitions $D$ is a group's share of predictions, $P(\hat y = 1 \mid s)$, and TPR, FPR are its true and false
positive rates. Sources: fairlearn's user guide for the names; arXiv 2403.00625, Section 4.1, for err, ΔDP and ΔEO;
Zhang, Gao and Huang (ECCV 2022), Section 3.1, Eq. 4 to 6, for SPD, EOD and AOD.
"""

from __future__ import annotations

import torch
from jaxtyping import Float64, Num
from torch import Tensor

from counterpoise.fairness._rates import (
    accuracies,
    false_positive_rates,
    hits,
    largest,
    pair_differences,
    recalls,
    selection_rates,
    true_positive_rates,
)
from counterpoise.fairness._registry import COUNT_METRICS as COUNT_METRICS  # filled here, so to be had from here
from counterpoise.fairness._registry import count_metric, describe

PERCENT = 100.0


@count_metric("sample")
@describe(
    title="Error",
    unit="%",
    perfect=0.0,
    bounds=(0.0, 100.0),
    definition="100 − 100 · weighted F1 (the F1 of each class, weighted by its share of samples).",
)
def err(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    r"""Error in %: 100 minus the weighted F1, $100 - 100 \sum_c \frac{n_c}{n} F_1(c)$. Perfect: 0.

    As scikit-learn's `f1_score(average="weighted", zero_division=0)`; the error of arXiv 2403.00625.
    """
    return PERCENT - PERCENT * _weighted_f1(counts)


@count_metric("sample")
@describe(title="Accuracy", perfect=1.0, definition="Share of samples predicted correctly.")
def accuracy(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    r"""Share of correct predictions, $P(\hat y = y)$. Perfect: 1."""
    return accuracies(counts.sum(-3))


@count_metric("class")
@describe(
    title="Balanced accuracy",
    perfect=1.0,
    definition="Mean over the classes of the share predicted correctly; chance is 1/k.",
)
def balanced_accuracy(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    r"""Mean recall of the classes, $\frac1k \sum_c P(\hat y = c \mid y = c)$. Perfect: 1."""
    return recalls(counts.sum(-3)).mean(-1)


@count_metric("class")
@describe(
    title="F1",
    perfect=1.0,
    definition="Harmonic mean of precision and recall of the positive class; more than two classes: weighted F1.",
)
def f1(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    r"""F1 of the positive class, $\frac{2 TP}{2 TP + FP + FN}$; for k > 2 the weighted F1, 1 − err / 100. Perfect: 1.

    0 when positives exist and none is predicted; NaN when there is no positive sample.
    """
    if counts.shape[-1] > 2:
        return _weighted_f1(counts)
    pooled = counts.sum(-3)
    return torch.where(pooled.sum(-1) > 0, _f1_scores(pooled), torch.nan)[..., 1]


@count_metric("group")
@describe(
    title="Worst-group accuracy",
    perfect=1.0,
    definition="Accuracy in the group of the sensitive attribute where it is lowest.",
)
def worst_group_accuracy(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    r"""Lowest accuracy of a group, $\min_g P(\hat y = y \mid s = g)$. Perfect: 1.

    Groups are the values of s (fairlearn's `MetricFrame.group_min`), not the (y, s) cells of Sagawa et al. (ICLR 2020).
    """
    return accuracies(counts).amin(-1)


@count_metric("group")
@describe(
    title="Demographic parity gap ΔDP",
    perfect=0.0,
    definition="|P(ŷ=1|s=0) − P(ŷ=1|s=1)|: the gap between the groups' selection rates.",
)
def delta_dp(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    r"""Demographic parity gap, $|D_0 - D_1|$: the absolute value of `spd`. Perfect: 0.

    As fairlearn's `demographic_parity_difference`.
    """
    return largest(pair_differences(selection_rates(counts))).abs()


@count_metric("cell")
@describe(
    title="Equalized odds gap ΔEO",
    perfect=0.0,
    bounds=(0.0, 2.0),
    definition="|TPR_0 − TPR_1| + |FPR_0 − FPR_1|: the sum of the two gaps of equalized odds (between 0 and 2).",
)
def delta_eo(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    r"""Equalized odds gap, $|TPR_0 - TPR_1| + |FPR_0 - FPR_1|$. Perfect: 0.

    More than two groups: the two gaps are summed for each pair of groups, and the pair with the largest sum counts.
    """
    return largest(_tpr_differences(counts).abs() + _fpr_differences(counts).abs())


@count_metric("group")
@describe(
    title="Statistical parity difference (SPD)", perfect=0.0, signed=True, definition="P(ŷ=1|s=0) − P(ŷ=1|s=1), signed."
)
def spd(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    r"""Statistical parity difference, $D_0 - D_1$, signed. Perfect: 0."""
    return largest(pair_differences(selection_rates(counts)))


@count_metric("cell")
@describe(title="Equal opportunity difference (EOD)", perfect=0.0, signed=True, definition="TPR_0 − TPR_1, signed.")
def eod(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    r"""Equal opportunity difference, $TPR_0 - TPR_1$, signed. Perfect: 0."""
    return largest(_tpr_differences(counts))


@count_metric("cell")
@describe(
    title="Average odds difference (AOD)",
    perfect=0.0,
    signed=True,
    definition="½ [(FPR_0 − FPR_1) + (TPR_0 − TPR_1)], signed; opposite gaps cancel.",
)
def aod(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    r"""Average odds difference, $\frac12 [(FPR_0 - FPR_1) + (TPR_0 - TPR_1)]$, signed. Perfect: 0.

    0 does not imply equalized odds: gaps of opposite sign cancel. (Eq. 6 of the ECCV paper lost the plus sign.)
    """
    return largest((_fpr_differences(counts) + _tpr_differences(counts)) / 2)


@count_metric("cell")
@describe(
    title="Equalized odds difference",
    perfect=0.0,
    definition="max(|TPR_0 − TPR_1|, |FPR_0 − FPR_1|): the larger of the two gaps of equalized odds, as in fairlearn.",
)
def equalized_odds_difference(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    r"""Larger of the two gaps, $\max(|TPR_0 - TPR_1|, |FPR_0 - FPR_1|)$. Perfect: 0.

    As fairlearn's function of this name.
    """
    return largest(torch.maximum(_tpr_differences(counts).abs(), _fpr_differences(counts).abs()))


@count_metric("group", "predicted class")
@describe(
    title="Disparate impact",
    perfect=1.0,
    definition="Lowest selection rate of a group divided by the highest (the 'four fifths rule' asks for 0.8).",
)
def disparate_impact(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    r"""Ratio of selection rates, $\min_g D_g / \max_g D_g$. Perfect: 1. As fairlearn's `demographic_parity_ratio`.

    NaN when nobody is predicted positive: 0 / 0 is no evidence of parity.
    """
    rates = selection_rates(counts)
    return (rates.amin(-2) / rates.amax(-2)).amin(-1)


@count_metric("group", "predicted class")
@describe(
    title="Mean bias",
    perfect=0.0,
    definition="Mean over predicted classes of |share of the class's predictions that come from one domain − ½| "
    "(CIFAR-10S; domains must be of equal size).",
)
def mean_bias(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    r"""Mean bias of CIFAR-10S, $\frac1C \sum_c \left| \frac{P_0(c)}{P_0(c) + P_1(c)} - \frac12 \right|$. Perfect: 0.

    $P_g(c)$: predictions of class c in domain g. It presumes domains of equal size, as in CIFAR-10S's test set (10,000
    colour and 10,000 grey images): otherwise a fair classifier is not at 0. More than two domains: half the largest
    difference of two domains' shares, which is the same number for two. Source: the CIFAR-10S
    benchmark of Wang et al. (CVPR 2020), as reported by Zhang, Gao and Huang (ECCV 2022), Table 1.
    """
    predicted = counts.double().sum(-2)
    shares = predicted / predicted.sum(-2, keepdim=True)
    bias = pair_differences(shares).abs().amax(-2).mean(-1) / 2
    return torch.where((predicted.sum(-1) > 0).all(-1), bias, torch.nan)


def _tpr_differences(counts: Tensor) -> Tensor:
    return pair_differences(true_positive_rates(counts))


def _fpr_differences(counts: Tensor) -> Tensor:
    return pair_differences(false_positive_rates(counts))


def _f1_scores(pooled: Num[Tensor, "*batch k k"]) -> Float64[Tensor, "*batch k"]:
    """F1 of every class: 2 TP / (true + predicted); 0 for a class that neither occurs nor is predicted."""
    occurrences = (pooled.sum(-1) + pooled.sum(-2)).double()
    return torch.where(occurrences > 0, 2 * hits(pooled) / occurrences, 0.0)


def _weighted_f1(counts: Num[Tensor, "*batch G k k"]) -> Float64[Tensor, "*batch"]:
    pooled = counts.sum(-3)
    support = pooled.sum(-1).double()
    return (support * _f1_scores(pooled)).sum(-1) / support.sum(-1)
