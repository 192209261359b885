"""Tables on unbiased sub-networks: what they know, what can be told of the bias from them, and what they leave out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from counterpoise.fairness import LEVEL, PairedDifference, paired_difference, summarize
from counterpoise.reporting._outcomes import with_part
from counterpoise.reporting.context import Table
from counterpoise.reporting.tables_costs import saving_table
from counterpoise.reporting.wording import (
    NOT_AVAILABLE,
    difference,
    enumerate_words,
    epoch_kept,
    interval_title,
    is_missing,
    method_phrase,
    method_title,
    metric_label,
    number,
    part_title,
    plus_minus,
)

EXTRACTION_KEYS = (
    *("method", "variant", "seed", "epoch", "epochs", "sparsity"),
    *("information", "leakage", "conflicting_accuracy", "unbiased_average"),
)
MEASURED = ("conflicting_accuracy", "unbiased_average", "information", "leakage")
"""Figures of the extractions that are metrics too."""
REFERENCE, VANILLA = "ffw", "vanilla"


def report_tables(
    metrics: pd.DataFrame, extractions: pd.DataFrame, costs: pd.DataFrame | None = None, *, level: float = LEVEL
) -> list[Table]:
    """Everything the report tabulates on sub-networks: `extraction_tables`, and what those that leave save."""
    saving = [saving_table(costs)] if costs is not None and len(costs) else []
    return [*extraction_tables(metrics, extractions, level=level), *saving]


def extraction_tables(metrics: pd.DataFrame, extractions: pd.DataFrame, *, level: float = LEVEL) -> list[Table]:
    """One table per part: accuracy, what is left of the bias, and how the sub-network was chosen.

    Args:
        metrics: long frame as in `tables.summary`.
        extractions: one row per variant and seed with `EXTRACTION_KEYS`; nulls where a method has no such thing.

    Raises:
        InputError: a missing column.
    """
    frame = with_part(extractions, EXTRACTION_KEYS, "extractions")
    accuracy = _values(metrics, "accuracy")
    tables = []
    for part in dict.fromkeys(frame["part"]):
        own = frame[frame["part"] == part]
        reference = dict(zip(own["name"], own["variant"], strict=True)).get(REFERENCE)
        rows = [
            (
                method_title(found["method"].iloc[0]),
                _mean(accuracy.loc[variant].to_numpy(np.float64), "accuracy"),
                ""
                if reference in (None, variant)
                else difference(_beside(accuracy.loc[variant], accuracy.loc[reference], level), "accuracy"),
                *(_mean(found[key].to_numpy(np.float64), key) for key in MEASURED),
                _mean(found["sparsity"].to_numpy(np.float64), ""),
                epoch_kept(found["epoch"], found["epochs"]),
            )
            for variant, found in own.groupby("variant", sort=False)
        ]
        tables.append(
            Table(
                title=f"Sub-networks: {part_title(part)}" if part else "Sub-networks",
                note="Unbiased test split, hard gates: mean ± standard deviation over the seeds. Beside FFW: "
                f"difference in accuracy, paired by seed, with the {interval_title(level)} of this one comparison. "
                "Bias information: what a linear head, fitted to its plateau on the rows that gates are learnt on, "
                "says of the bias on all test rows, over ln C. Leakage: balanced accuracy of a converged "
                "logistic probe fitted to the same rows; a head that has stopped early can say little of what "
                "such a probe reads. Sparsity: share of the gates that are closed. Epoch: median, in brackets "
                "the range over the seeds.",
                columns=(
                    "Method",
                    metric_label("accuracy"),
                    "Beside FFW",
                    *map(metric_label, MEASURED),
                    "Sparsity",
                    "Epoch kept",
                ),
                rows=rows,
            )
        )
    return tables


def findings(metrics: pd.DataFrame, extractions: pd.DataFrame, *, level: float = LEVEL) -> list[str]:
    """What became of the vanilla network, in words: for each part the sub-network beside it, and beside its peers.

    What is better or worse than the sub-network is so by its own interval; the intervals are in `extraction_tables`.
    """
    frame = with_part(extractions, EXTRACTION_KEYS, "extractions")
    accuracy = _values(metrics, "accuracy")
    said = []
    for part in dict.fromkeys(frame["part"]):
        own = frame[frame["part"] == part]
        variants = dict(zip(own["name"], own["variant"], strict=True))
        if REFERENCE not in variants or VANILLA not in variants:
            continue
        where = f"{part_title(part)}: t" if part else "T"
        reached = {name: accuracy.loc[variant] for name, variant in variants.items()}
        leaked = own.groupby("name")["leakage"].mean()
        said.append(
            f"{where}he vanilla network is right about {_percent(reached[VANILLA])} of the unbiased test images, its "
            f"sub-network (FFW) about {_percent(reached[REFERENCE])}; a probe still reads the bias from them in "
            f"{number(leaked[VANILLA])} and {number(leaked[REFERENCE])} of the cases.{_peers(reached, level)}"
        )
    return said


def _peers(reached: Mapping[str, pd.Series], level: float) -> str:
    """The peers by what becomes of them beside the sub-network: ` Better than it: a (96.1%). Worse: b (93.6%).`"""
    groups: dict[str, list[str]] = {"Better than the sub-network": [], "Not distinguishable from it": [], "Worse": []}
    for name, own in reached.items():
        if name in (REFERENCE, VANILLA):
            continue
        found = _beside(own, reached[REFERENCE], level)
        undecided = is_missing(found.ci_low) or found.ci_low <= 0 <= found.ci_high
        better, same, worse = groups.values()
        group = same if undecided else better if found.difference > 0 else worse
        group.append(f"{method_phrase(name)} ({_percent(own)})")
    return "".join(f" {group}: {enumerate_words(names)}." for group, names in groups.items() if names)


def _beside(own: pd.Series, reference: pd.Series, level: float) -> PairedDifference:
    return paired_difference(own.to_numpy(np.float64), reference.loc[own.index].to_numpy(np.float64), level=level)


def _values(metrics: pd.DataFrame, metric: str) -> pd.Series:
    """A metric by variant and seed."""
    test = metrics[(metrics["split"] == "test") & (metrics["metric"] == metric)]
    return test.set_index(["variant", "seed"])["value"].sort_index()


def _percent(values: pd.Series) -> str:
    mean = values.mean()
    return NOT_AVAILABLE if is_missing(mean) else f"{mean:.1%}"


def _mean(values: np.ndarray, metric: str) -> str:
    found = summarize(values)
    return plus_minus(float(found.mean), float(found.std), metric)
