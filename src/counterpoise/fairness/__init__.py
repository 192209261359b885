"""Fairness metrics, their statistics over replicates, their noise floor, and the error–bias frontier.

Plain tensors and arrays in and out, over any leading batch axes:

    counts = confusion_counts(y, prediction, s, groups=2, classes=2)  # [R, V, G, k, k]
    gap = delta_eo(counts)                                            # [R, V]
    summarize(gap.T.numpy())                                          # mean, std and interval over R, for each V
    noise_floor("delta_eo", counts)                                   # what a perfectly fair model would show
"""

from counterpoise.fairness._counts import confusion_counts
from counterpoise.fairness._registry import METRICS, MetricInfo, UndefinedMetricWarning
from counterpoise.fairness.association import Association, association
from counterpoise.fairness.certify import CERTIFIABLE, Certification, certify, rows_needed
from counterpoise.fairness.compared import Compared, groups_compared, of_groups
from counterpoise.fairness.evaluation import evaluate
from counterpoise.fairness.frontier import hypervolume, non_dominated
from counterpoise.fairness.metrics import (
    accuracy,
    aod,
    balanced_accuracy,
    delta_dp,
    delta_eo,
    disparate_impact,
    eod,
    equalized_odds_difference,
    err,
    f1,
    mean_bias,
    spd,
    worst_group_accuracy,
)
from counterpoise.fairness.noise import noise_floor
from counterpoise.fairness.scores import auc, leakage, leakage_elsewhere
from counterpoise.fairness.selection import choose, counts_above, counts_within, typical, untested
from counterpoise.fairness.spurious import (
    aligned_value,
    alignment_cells,
    conflict_gap,
    conflicting_accuracy,
    information,
    unbiased_average,
)
from counterpoise.fairness.statistics import (
    LEVEL,
    Claimed,
    PairedDifference,
    Summary,
    Verdict,
    design_effect,
    holm,
    paired_difference,
    summarize,
    verdict,
    verdicts,
    wilson,
)
from counterpoise.fairness.underlying import CRITERIA, Neighbours, mean_shortfall, shortfall, underlying_bias

__all__ = [
    "CERTIFIABLE",
    "CRITERIA",
    "LEVEL",
    "METRICS",
    "Association",
    "Certification",
    "Claimed",
    "Compared",
    "MetricInfo",
    "Neighbours",
    "PairedDifference",
    "Summary",
    "UndefinedMetricWarning",
    "Verdict",
    "accuracy",
    "aligned_value",
    "alignment_cells",
    "aod",
    "association",
    "auc",
    "balanced_accuracy",
    "certify",
    "choose",
    "conflict_gap",
    "conflicting_accuracy",
    "confusion_counts",
    "counts_above",
    "counts_within",
    "delta_dp",
    "delta_eo",
    "design_effect",
    "disparate_impact",
    "eod",
    "equalized_odds_difference",
    "err",
    "evaluate",
    "f1",
    "groups_compared",
    "holm",
    "hypervolume",
    "information",
    "leakage",
    "leakage_elsewhere",
    "mean_bias",
    "mean_shortfall",
    "noise_floor",
    "non_dominated",
    "of_groups",
    "paired_difference",
    "rows_needed",
    "shortfall",
    "spd",
    "summarize",
    "typical",
    "unbiased_average",
    "underlying_bias",
    "untested",
    "verdict",
    "verdicts",
    "wilson",
    "worst_group_accuracy",
]
