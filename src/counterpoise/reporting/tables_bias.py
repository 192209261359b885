"""Tables on networks that shall not rely on a bias: what they get right, what can be read of the bias from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from counterpoise.catalogue import BASES, REFERENCES
from counterpoise.fairness import LEVEL, PairedDifference, paired_difference
from counterpoise.reporting._outcomes import with_part
from counterpoise.reporting.context import Table
from counterpoise.reporting.tables import written_mean
from counterpoise.reporting.wording import (
    capital,
    difference,
    enumerate_words,
    epoch_chosen,
    interval_title,
    is_missing,
    method_phrase,
    method_title,
    metric_label,
    number,
    part_title,
    percent,
)

MEASURED: Final = ("conflicting_accuracy", "unbiased_average", "information", "leakage")
"""Columns of `repairs` that are metrics too."""
BIAS_KEYS: Final = ("method", "variant", "seed", "epoch", "epochs", "sparsity", *MEASURED)
BASE: Final = BASES["gates"]
REFERENCE: Final = REFERENCES["gates"]


def measures_bias(repairs: pd.DataFrame) -> bool:
    """Whether anything was measured of the bias that networks rely on."""
    return "information" in repairs and bool(repairs["information"].notna().any())


def bias_tables(metrics: pd.DataFrame, repairs: pd.DataFrame, *, level: float = LEVEL) -> list[Table]:
    """One table per part: accuracy, what remains of the bias, and how the network was chosen.

    Args:
        metrics: long frame as in `tables.summary`.
        repairs: one row per variant and seed with `BIAS_KEYS`; nulls where a method has no such thing.

    Raises:
        InputError: a missing column.
    """
    frame = with_part(repairs, BIAS_KEYS, "repairs")
    accuracy = _values(metrics, "accuracy")
    beside = f"Beside {method_title(REFERENCE)}"
    tables = []
    for part in dict.fromkeys(frame["part"]):
        of_part = frame[frame["part"] == part]
        reference = dict(zip(of_part["name"], of_part["variant"], strict=True)).get(REFERENCE)
        rows = [
            (
                method_title(seeds["method"].iloc[0]),
                written_mean(accuracy.loc[variant], "accuracy"),
                ""
                if reference in (None, variant)
                else difference(_beside(accuracy.loc[variant], accuracy.loc[reference], level), "accuracy"),
                *(written_mean(seeds[key], key) for key in MEASURED),
                written_mean(seeds["sparsity"]),
                epoch_chosen(seeds["epoch"], seeds["epochs"]),
            )
            for variant, seeds in of_part.groupby("variant", sort=False)
        ]
        tables.append(
            Table(
                title=f"Sub-networks: {part_title(part)}" if part else "Sub-networks",
                note=f"Unbiased test split, hard gates: mean ± standard deviation over the seeds. {beside}: difference "
                f"in accuracy, paired by seed, with the {interval_title(level)} of this one comparison. Bias "
                "information: how much a linear head, trained to convergence on the rows that the gates are learned "
                "on, reads of the bias on all test rows, over ln C. Leakage: balanced accuracy of a converged logistic "
                "probe trained on the same rows; such a probe can read more than a head that stopped early. Sparsity: "
                "share of the gates that are closed. Epoch: median, in brackets the range over the seeds.",
                columns=(
                    "Method",
                    metric_label("accuracy"),
                    beside,
                    *map(metric_label, MEASURED),
                    "Sparsity",
                    "Epoch chosen",
                ),
                rows=rows,
            )
        )
    return tables


def bias_findings(metrics: pd.DataFrame, repairs: pd.DataFrame, *, level: float = LEVEL) -> tuple[str, ...]:
    """What became of the network as it was, in words: for each part the sub-network beside it, and beside its peers.

    What is better or worse than the sub-network is so by its own interval; the intervals are in `bias_tables`.
    """
    frame = with_part(repairs, BIAS_KEYS, "repairs")
    accuracy = _values(metrics, "accuracy")
    sentences = []
    for part in dict.fromkeys(frame["part"]):
        of_part = frame[frame["part"] == part]
        variants = dict(zip(of_part["name"], of_part["variant"], strict=True))
        if not {REFERENCE, BASE} <= variants.keys():
            continue
        phrase = method_phrase(BASE)
        head = f"{part_title(part)}: {phrase}" if part else capital(phrase)
        reached = {name: accuracy.loc[variant] for name, variant in variants.items()}
        leaked = of_part.groupby("name")["leakage"].mean()
        sentences.append(
            f"{head} is right about {percent(reached[BASE].mean())} of the unbiased test images, its sub-network "
            f"({method_title(REFERENCE)}) about {percent(reached[REFERENCE].mean())}; a probe still reads the bias "
            f"from them in {number(leaked[BASE])} and {number(leaked[REFERENCE])} of the cases.{_peers(reached, level)}"
        )
    return tuple(sentences)


def _peers(reached: Mapping[str, pd.Series], level: float) -> str:
    """The peers by how they compare with the sub-network: ` Better than it: a (96.1%). Worse: b (93.6%).`"""
    better, same, worse = list[str](), list[str](), list[str]()
    for name, accuracy in reached.items():
        if name in (REFERENCE, BASE):
            continue
        compared = _beside(accuracy, reached[REFERENCE], level)
        undecided = is_missing(compared.ci_low) or compared.ci_low <= 0 <= compared.ci_high
        group = same if undecided else better if compared.difference > 0 else worse
        group.append(f"{method_phrase(name)} ({percent(accuracy.mean())})")
    titles = {"Better than the sub-network": better, "No detectable difference from it": same, "Worse": worse}
    return "".join(f" {title}: {enumerate_words(names)}." for title, names in titles.items() if names)


def _beside(accuracy: pd.Series, reference: pd.Series, level: float) -> PairedDifference:
    return paired_difference(
        accuracy.to_numpy(np.float64), reference.loc[accuracy.index].to_numpy(np.float64), level=level
    )


def _values(metrics: pd.DataFrame, metric: str) -> pd.Series:
    """A metric by variant and seed."""
    test = metrics[(metrics["split"] == "test") & (metrics["metric"] == metric)]
    return test.set_index(["variant", "seed"])["value"].sort_index()
