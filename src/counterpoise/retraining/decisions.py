"""A decision on a challenger as plain data, and its sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["promote", "refuse", "wait"]
Outcome = Literal["passed", "undecided", "failed"]

POINTS = 100.0
"""Percentage points of a difference of shares."""

_OTHERS = {"first": "the first champion", "champion": "the champion", "newest": "the champion on the newest rows"}


@dataclass(frozen=True)
class Check:
    """One hypothesis of one decision, in numbers and a sentence.

    Attributes:
        name: `rows`, `error_first`, `error_champion`, `error_newest`, `error_first_group_0`, or a metric's.
        outcome: `passed`: shown to be within the limit. `failed`: shown to exceed it. `undecided`: neither yet.
        estimate, bound, limit: of the quantity, its upper confidence bound at the challenger's significance, its limit.
            Errors are differences of shares; of `rows`, the smallest group's number and its minimum.
        log10_e: evidence that it is within the limit; `needed`: what it takes. None where no evidence is asked for.
    """

    name: str
    outcome: Outcome
    estimate: float | None
    bound: float | None
    limit: float
    log10_e: float | None
    needed: float | None
    sentence: str


@dataclass(frozen=True)
class Decision:
    """What becomes of a challenger, and why.

    Attributes:
        verdict: `promote`; `refuse`, for good; or `wait` for more rows.
        level: significance that the challenger was tested at.
        rows: that were evidence. waiting: rows whose labels have not arrived, which were not.
    """

    verdict: Verdict
    reason: str
    level: float
    rows: int
    waiting: int
    checks: tuple[Check, ...]


def sentence(check: Check, groups: Sequence[str] | None = None) -> str:
    """Return what a check of an error or a metric shows, in one sentence."""
    scale, unit = (POINTS, " points") if check.name.startswith("error_") else (1.0, "")
    measured = "no rows" if check.estimate is None else f"{scale * check.estimate:+.3g}{unit}"
    bound = "" if check.bound is None else f", at most {scale * check.bound:.3g}{unit}"
    ends = {
        "passed": f"within the limit of {scale * check.limit:.3g}{unit}",
        "undecided": f"not yet shown to be within the limit of {scale * check.limit:.3g}{unit}",
        "failed": f"shown to exceed the limit of {scale * check.limit:.3g}{unit}",
    }
    if check.log10_e is None and check.outcome == "passed":
        ends["passed"] = f"not shown to exceed the limit of {scale * check.limit:.3g}{unit}"
    return f"{subject(check.name, groups)}: {measured}{bound}; {ends[check.outcome]}."


def subject(name: str, groups: Sequence[str] | None = None) -> str:
    """Return what a check is about."""
    if not name.startswith("error_"):
        return {"rows": "Labelled rows"}.get(name, f"Bias {name}")
    _, other, *of_group = name.split("_")
    group = f" of group {groups[int(of_group[1])] if groups else of_group[1]}" if of_group else ""
    return f"Error{group} against {_OTHERS[other]}"


def reason(decision: Decision, look: int, patience: int) -> str:
    """Return why, in one sentence."""
    rows = f"{decision.rows:,} labelled rows"
    late = f"; {decision.waiting:,} rows wait for their labels" if decision.waiting else ""
    failed, open_ones = (_sentences(decision.checks, outcome) for outcome in ("failed", "undecided"))
    if decision.verdict == "promote":
        return (
            f"Promoted on {rows}: all {len(decision.checks)} checks passed at significance {decision.level:.2g}{late}."
        )
    if failed:
        return f"Refused on {rows}: {'; '.join(failed)}{late}."
    start = "Refused" if decision.verdict == "refuse" else "Waiting"
    return f"{start} after decision {look} of {patience} on {rows}: {'; '.join(open_ones)}{late}."


def _sentences(checks: Sequence[Check], outcome: Outcome) -> list[str]:
    """Return what checks with an outcome show; once where the first and the present champion are the same model."""
    sentences = {
        (check.name.replace("error_champion", "error_first"), check.estimate, check.bound): check.sentence.rstrip(".")
        for check in reversed(checks)  # of two that are the same, the one against the first champion stays
        if check.outcome == outcome
    }
    return [*reversed(sentences.values())]
