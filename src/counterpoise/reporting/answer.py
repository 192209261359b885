"""The answer in plain language, which depends on the verdicts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from counterpoise.fairness import METRICS
from counterpoise.reporting._frames import rows_of
from counterpoise.reporting.context import ReportContext
from counterpoise.reporting.wording import (
    enumerate_words,
    gap_symbol,
    interval,
    interval_title,
    is_missing,
    method_phrase,
    metric_order,
    metric_symbol,
    metric_unit,
    number,
    part_title,
    split_method,
    split_part,
)

SUPPORTED: Final = "supported"
CONTRADICTED: Final = "contradicted"
NOT_DISTINGUISHABLE: Final = "not distinguishable"
AT_A_GLANCE: Final = 12
"""The most comparisons that are written as sentences; of more, only those that contradict a claim are."""
GAPS: Final = ("delta_dp", "delta_eo")
"""A model in which both are 0 in every seed decides nothing."""
VERDICTS: Final = (SUPPORTED, CONTRADICTED, NOT_DISTINGUISHABLE)


@dataclass(frozen=True)
class Answer:
    """A headline, and the sentences that support it: findings, one per pair of methods, and how to read them.

    Where the headline is a section's own, how the claims came out is the first of the comparisons.
    """

    headline: str
    findings: tuple[str, ...]
    comparisons: tuple[str, ...]
    reservations: tuple[str, ...]


def answer(context: ReportContext) -> Answer:
    """Summarise the claims' verdicts, the detectable differences and the noise floor."""
    compared = _comparisons(context.claims, context.claim_specs, context.level)
    if context.headline is not None and len(context.claims):
        compared = [headline(context.claims), *compared]
    return Answer(
        headline=context.headline or headline(context.claims),
        findings=(*context.findings, *_constants(context.summary)),
        comparisons=tuple(compared),
        reservations=tuple(_reservations(context)),
    )


def headline(claims: pd.DataFrame) -> str:
    """Count the verdicts in one sentence."""
    total = len(claims)
    if not total:
        return "No claim was tested."
    counts = {name: int((claims["verdict"] == name).sum()) for name in VERDICTS}
    if total == 1:
        return f"The claim tested {_predicate(claims['verdict'].iloc[0], 1)}."
    if counts[NOT_DISTINGUISHABLE] == total:
        return f"No claim shows a detectable difference ({total} tested)."
    parts = [f"{count} {_predicate(name, count)}" for name, count in counts.items() if count]
    return f"Of {total} claims tested, {enumerate_words(parts)}."


def _predicate(verdict: str, count: int) -> str:
    if verdict == NOT_DISTINGUISHABLE:
        return f"{'shows' if count == 1 else 'show'} no detectable difference"
    return f"{'is' if count == 1 else 'are'} {verdict}"


def _comparisons(claims: pd.DataFrame, specs: Sequence[Mapping[str, Any]], level: float) -> list[str]:
    """One sentence for each pair of sides, over all the metrics on which they were compared; see `AT_A_GLANCE`."""
    pairs: dict[tuple[str, str], list[Any]] = {}
    for row, spec in zip(rows_of(claims), specs, strict=True):
        pairs.setdefault((_side(spec["left"]), _side(spec["right"])), []).append(row)
    if len(pairs) <= AT_A_GLANCE:
        return [_compare(left, right, rows, level) for (left, right), rows in pairs.items()]
    against = {
        sides: contradicting
        for sides, rows in pairs.items()
        if (contradicting := [row for row in rows if row.verdict == CONTRADICTED])
    }
    sentences = [_compare(left, right, rows, level) for (left, right), rows in against.items()]
    return [*sentences, f"The table of claims has all comparisons ({len(pairs)} pairs)."]


def _compare(left: str, right: str, rows: Sequence[Any], level: float) -> str:
    undecided = [gap_symbol(row.metric) for row in rows if row.verdict == NOT_DISTINGUISHABLE]
    clauses = [_difference(row, right, level) for row in rows if row.verdict != NOT_DISTINGUISHABLE]
    if undecided:
        clauses.append(f"shows no detectable difference from {right} on {enumerate_words(undecided)}")
    return f"{left[:1].upper()}{left[1:]} {'; it '.join(clauses)}."


def _difference(row: Any, right: str, level: float) -> str:
    """`has a lower error than f+SVD (better: −0.42 points, 95% interval −0.61 to −0.23)`, merit where defined."""
    lower = row.difference < 0
    info = METRICS.get(row.metric)
    merit = ""
    if info is not None:  # of a signed metric absolute values are compared, and the lower is the better
        merit = "better: " if lower == (info.lower_is_better is not False) else "worse: "
    unit = " points" if metric_unit(row.metric) == "%" else ""
    return (
        f"has a {'lower' if lower else 'higher'} {gap_symbol(row.metric)} than {right} "
        f"({merit}{number(row.difference, row.metric, signed=True)}{unit}, {interval_title(level)} "
        f"{interval(row.ci_low, row.ci_high, row.metric, signed=True)})"
    )


def _side(selector: Mapping[str, Any]) -> str:
    """Name a selector's variant: the method's name, with the settings that were needed to single it out."""
    settings = [f"{key} {value}" for key, value in selector.items() if key not in ("method", "variant")]
    name = method_phrase(str(selector["method"])) if "method" in selector else _phrase(str(selector.get("variant", "")))
    return f"{name} ({', '.join(settings)})" if settings and name else name or enumerate_words(settings)


def _phrase(variant: str) -> str:
    """Name a variant that is selected by its name: `eo_0.1/win_r2_a0.5` → WIN (EO 0.1, r2 a0.5)."""
    part, name = split_part(variant)
    method, settings = split_method(name)
    if not method:
        return variant
    details = [detail for detail in (part_title(part) if part else "", settings.replace("_", " ")) if detail]
    return f"{method_phrase(method)} ({', '.join(details)})" if details else method_phrase(method)


def _reservations(context: ReportContext) -> list[str]:
    sentences = []
    if context.replicates:
        seeds = f"{context.replicates} seeds" if context.replicates > 1 else "a single seed"
        sentences.append(
            f"The numbers come from {seeds}, each with its own split of the same data: the intervals say how "
            "much a result changes from one split to another, not how it would change in another population."
        )
    if small := context.left_out.get("small_sentence"):
        sentences.append(small)
    tested = set(context.claims["metric"])
    floors = [(metric, value) for metric, value in _floors(context.noise_floor) if metric in tested or not tested]
    if floors:
        listed = enumerate_words(f"{number(value, metric)} for {metric_symbol(metric)}" for metric, value in floors)
        sentences.append(
            f"A perfectly fair model would not measure 0 on a test split of this size, but about {listed}."
        )
    return sentences


def _constants(summary: pd.DataFrame) -> list[str]:
    """Name the models without any gap in any seed: they predict the same class for every row."""
    none = summary[summary["metric"].isin(GAPS) & (summary["mean"] == 0) & (summary["std"].fillna(0) == 0)]
    constant = [str(name) for name, rows in none.groupby("variant", sort=False) if len(rows) == len(GAPS)]
    if not constant:
        return []
    who = "every model" if len(constant) == summary["variant"].nunique() else enumerate_words(map(_phrase, constant))
    verb = "predicts" if len(constant) == 1 or who == "every model" else "predict"
    return [
        f"Beware: {who} {verb} one class for all test rows, in every seed: gaps of 0 are no merit. The other class may "
        "be too rare for what is trained here."
    ]


def _floors(noise_floor: Mapping[str, Mapping[str, float]]) -> list[tuple[str, float]]:
    """The largest floor over the variants for each metric: no tolerance below it can be attained by all of them."""
    metrics = metric_order(metric for floors in noise_floor.values() for metric in floors)
    values = {
        metric: [floors[metric] for floors in noise_floor.values() if not is_missing(floors.get(metric))]
        for metric in metrics
    }
    return [(metric, max(measured)) for metric, measured in values.items() if measured]
