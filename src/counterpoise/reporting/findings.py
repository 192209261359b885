"""The results of the repairs in words: the best within the tolerance, and the controls, which lack its idea."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from counterpoise.catalogue import METHODS, THRESHOLD
from counterpoise.fairness import LEVEL, paired_difference
from counterpoise.reporting._outcomes import REPAIR_KEYS, objective_of, outcomes, with_part
from counterpoise.reporting.wording import (
    capital,
    enumerate_words,
    gap_symbol,
    interval,
    interval_title,
    is_missing,
    method_phrase,
    metric_symbol,
    number,
    part_title,
)


def repair_findings(
    metrics: pd.DataFrame, repairs: pd.DataFrame, objectives: Mapping[str, Mapping[str, Any]], *, level: float = LEVEL
) -> tuple[str, ...]:
    """Sentences for the top of a report: for each part, what is best within the tolerance on test, and the controls.

    A method is within the tolerance if the mean of its bias over the seeds is. Differences are paired by seed, with
    intervals of the single comparison: verdicts that count all comparisons are for the claims.

    Args:
        metrics: long frame as in `tables.summary`; see `_outcomes.outcomes`.
        repairs: frame with `REPAIR_KEYS`, for what needs the group.
        objectives: part → `bias, performance, tolerance, margin`.

    Raises:
        InputError: a missing column, objective or metric.
    """
    reached = outcomes(metrics, objectives)
    reached = reached[~reached["last"]]
    chosen = with_part(repairs, REPAIR_KEYS, "repairs")
    group = set(chosen.loc[chosen["needs_group"].astype(bool), "variant"])
    sentences = []
    for part in dict.fromkeys(reached["part"]):
        of_part = _Part(reached[reached["part"] == part], objective_of(part, objectives), group, level)
        head = f"{capital(part_title(part))}: " if part else ""
        sentences += [f"{head}{sentence}" for sentence in of_part.sentences()]
    return tuple(sentences)


class _Part:
    """The repairs of one part by name, with their means."""

    def __init__(self, reached: pd.DataFrame, objective: Mapping[str, Any], group: set[str], level: float) -> None:
        self.objective, self.level = objective, level
        by_name = reached.groupby("name", sort=False)
        self.seeds = {str(name): seeds.set_index("seed").sort_index() for name, seeds in by_name}
        self.phrases = {name: method_phrase(name) for name in self.seeds}
        self.needs_group = {name for name, seeds in self.seeds.items() if seeds["variant"].iloc[0] in group}

    def sentences(self) -> list[str]:
        within = [name for name, seeds in self.seeds.items() if seeds["bias"].mean() <= self.objective["tolerance"]]
        gap = f"a mean {gap_symbol(self.objective['bias'])} within {self.objective['tolerance']:g} on test"
        if not within:
            nearest = min(self.seeds, key=lambda name: self.seeds[name]["bias"].mean())
            first = f"No method has {gap} ({len(self.seeds)} were run); {self.reached(nearest)} is nearest."
            return [first, *self.controls()]
        best = max(within, key=self.performance)
        first = (
            f"{len(within)} of {len(self.seeds)} methods have {gap}; among them, "
            f"{self.reached(best)} has the highest {metric_symbol(self.objective['performance'])}."
        )
        blind = [name for name in within if name not in self.needs_group]
        if best in self.needs_group and blind:
            best = max(blind, key=self.performance)
            first += f" It needs the group for each prediction; of those that do not, {self.reached(best)} is the best."
        moved = [self.threshold(best)] if THRESHOLD in self.seeds and best != THRESHOLD else []
        return [first, *moved, *self.controls()]

    def performance(self, name: str) -> float:
        return float(self.seeds[name]["performance"].mean())

    def reached(self, name: str) -> str:
        """`NetAug (0.790, |AOD| 0.032, within the tolerance in 4 of 4 seeds)`."""
        within = self.seeds[name]["within"].dropna()
        seeds = f"{int(within.sum())} of {len(within)} seeds"
        return f"{self.phrases[name]} ({self.pair(name)}, within the tolerance in {seeds})"

    def pair(self, name: str) -> str:
        bias = number(self.seeds[name]["bias"].mean(), self.objective["bias"])
        shown = number(self.performance(name), self.objective["performance"])
        return f"{shown}, {gap_symbol(self.objective['bias'])} {bias}"

    def threshold(self, best: str) -> str:
        return (
            f"Moving only the threshold of the baseline reaches {self.pair(THRESHOLD)}: "
            f"{self.compared(THRESHOLD, best)}."
        )

    def controls(self) -> list[str]:
        """Compare the controls with the methods whose idea they lack."""
        return [
            f"{capital(self.phrases[method.name])} reaches {self.pair(method.name)}: "
            f"{self.compared(method.name, method.beside)}."
            for method in METHODS
            if {method.name, method.beside} <= self.seeds.keys()
        ]

    def compared(self, left: str, right: str) -> str:
        """Compare `left` with `right` in performance and in bias."""
        first, second = self.seeds[left], self.seeds[right].reindex(self.seeds[left].index)
        clauses = []
        for key in ("performance", "bias"):
            metric = self.objective[key]
            pairs = (side[key].to_numpy(np.float64) for side in (first, second))
            compared = paired_difference(*pairs, level=self.level)
            spread = interval(compared.ci_low, compared.ci_high, metric, signed=True)
            size = f"{gap_symbol(metric)} {number(compared.difference, metric, signed=True)}"
            shown = f"{size}, {interval_title(self.level)} {spread}"
            clauses.append(f"{_judged(compared.ci_low, compared.ci_high, lower_is_better=key == 'bias')} ({shown})")
        return f"compared with {self.phrases[right]} ({self.pair(right)}) it is {enumerate_words(clauses)}"


def _judged(low: float, high: float, *, lower_is_better: bool) -> str:
    """Better or worse where the interval excludes zero."""
    what = "fairer" if lower_is_better else "better"
    if is_missing(low) or is_missing(high) or low <= 0 <= high:
        return f"not detectably {what} or {'less fair' if lower_is_better else 'worse'}"
    if (high < 0) == lower_is_better:
        return what
    return "less fair" if lower_is_better else "worse"
