"""Sections of experiments on repaired networks: the results of each repair, what it pruned, and how it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from counterpoise.catalogue import METHODS, THRESHOLD
from counterpoise.fairness import LEVEL, paired_difference
from counterpoise.reporting import figures_repairs, tables_repairs
from counterpoise.reporting._outcomes import REPAIR_KEYS, objective_of, outcomes, title_of, with_part
from counterpoise.reporting.context import Findings, ReportContext, Table
from counterpoise.reporting.sections import figure, section
from counterpoise.reporting.tables import written_mean
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

COST_KEYS = (
    *("method", "variant", "seed", "parameters", "parameters_compact", "nonzero", "macs", "macs_compact"),
    *("latency", "latency_compact", "latency_ratio", "batch", "difference", "compared"),
)
LITTLE = 0.05
"""A saving below this share of the multiplications is called little."""


def saving_table(costs: pd.DataFrame) -> Table:
    """One row per pruned network: numbers stored, multiplications and time with and without what can be cut out.

    Args:
        costs: one row per variant and seed with `COST_KEYS`; times in milliseconds.

    Raises:
        InputError: a missing column.
    """
    frame = with_part(costs, COST_KEYS, "costs")
    parts = any(frame["part"])
    rows = []
    for _, seeds in frame.groupby("variant", sort=False):
        first = seeds.iloc[0]
        rows.append(
            (
                title_of(first["name"], first["method"]),
                *([part_title(first["part"])] if parts else []),
                f"{first['parameters']:,}",
                _percent(1 - seeds["nonzero"] / seeds["parameters"]),
                _percent(1 - seeds["parameters_compact"] / seeds["parameters"]),
                f"{first['macs']:,}",
                _percent(1 - seeds["macs_compact"] / seeds["macs"]),
                f"{number(seeds['latency'].median())} → {number(seeds['latency_compact'].median())}",
                written_mean(seeds["latency_ratio"]),
                f"{seeds['difference'].max():.1g}",
            )
        )
    return Table(
        title="What pruning saves",
        note=_note(frame),
        columns=(
            *("Network", *(["Part"] if parts else []), "Parameters", "Of them zero", "Parameters cut out"),
            *("Multiply-adds", "Multiply-adds cut out", "Latency (ms)", "Latency, after / before"),
            "Largest difference",
        ),
        rows=rows,
    )


def _note(costs: pd.DataFrame) -> str:
    if costs.empty:
        return ""
    batch = " or ".join(f"{size:,}" for size in sorted(costs["batch"].unique()))
    compared = " or ".join(f"{rows:,}" for rows in sorted(costs["compared"].unique()))
    return (
        "Zeros alone save neither time nor memory. A unit or filter can be cut out without a change of the outputs if "
        "all its weights are pruned, or if nothing uses its output; then its other parameters go too. "
        f"{_verdict(costs)} Mean ± standard deviation over the seeds; numbers of parameters and multiply-adds (for one "
        f"row; two FLOPs each) are those before. Latency: a pass of {batch} rows on one thread, before → after, median "
        "over the seeds of the median of passes that took turns, and the ratio of the two: below 1 is faster; on a "
        "busy machine it varies by a few percent. Largest difference: between the outputs before and after, on "
        f"{compared} test rows."
    )


def _verdict(costs: pd.DataFrame) -> str:
    """Say how much was saved."""
    saved = 1 - costs["macs_compact"] / costs["macs"]
    uncut = int((costs["parameters_compact"] == costs["parameters"]).sum())
    sentence = f"{uncut} of {len(costs)} networks have none; at most {saved.max():.1%} of the multiply-adds are saved"
    if saved.max() < LITTLE:
        return f"{sentence}, which is little: masks that prune single weights leave few units empty."
    return f"{sentence}."


def _percent(shares: pd.Series) -> str:
    return f"{written_mean(100 * shares, 'err')}%"  # with the decimals of percentages


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


JUDGED = ("params:objective", "repairs")
"""What an experiment has that judges its repairs by an objective."""


@figure(place=20, needs=JUDGED)
def plane(context: ReportContext, metrics: pd.DataFrame) -> go.Figure:
    """Performance and bias of every repair."""
    return figures_repairs.repair_plane(metrics, context.objectives, level=context.level)


@figure(place=80)
def pruned(context: ReportContext, pruned_layers: pd.DataFrame) -> go.Figure:
    """What masks leave out, layer by layer."""
    return figures_repairs.pruned_layers(pruned_layers)


@figure(place=90, needs=JUDGED)
def agreement(context: ReportContext, mask_agreement: pd.DataFrame) -> go.Figure:
    """Whether masks of different seeds agree."""
    return figures_repairs.mask_agreement(mask_agreement)


@figure(place=100)
def curves(context: ReportContext, curves: pd.DataFrame, repairs: pd.DataFrame) -> go.Figure:
    """How the repairs were learned."""
    return figures_repairs.repair_curves(curves, repairs, context.objectives)


@figure(place=110, needs=JUDGED)
def critic(context: ReportContext, curves: pd.DataFrame) -> go.Figure:
    """What the critics learned."""
    return figures_repairs.critic_curves(curves)


@section(place=10, needs=JUDGED)
def in_words(context: ReportContext, metrics: pd.DataFrame, repairs: pd.DataFrame) -> Findings:
    """The best repair within the tolerance, and the controls."""
    return repair_findings(metrics, repairs, context.objectives, level=context.level)


@section(place=60, needs=JUDGED)
def tables(context: ReportContext, metrics: pd.DataFrame, repairs: pd.DataFrame) -> list[Table]:
    """The paper's tables, and what they omit."""
    objectives = context.objectives
    return [
        tables_repairs.paper_table(metrics, objectives, repairs=repairs, published_rows=context.published),
        *tables_repairs.repair_tables(metrics, repairs, objectives, noise_floors=context.noise_floor),
        tables_repairs.last_epoch_table(metrics, repairs, objectives, level=context.level),
        tables_repairs.critic_table(repairs),
    ]


@section(place=80)
def saving(context: ReportContext, costs: pd.DataFrame) -> Table:
    """What leaving weights out saves."""
    return saving_table(costs)
