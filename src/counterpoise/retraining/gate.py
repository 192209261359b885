r"""The gate: whether a challenger takes the champion's place, on evidence that may be looked at every week for years.

A challenger is promoted when every one of these hypotheses is refuted at its significance $α_c$:

- its error exceeds that of the first champion, or of the present one, by more than `error_margin`;
- a group's error does by more than `group_margin`;
- a bias metric (a name of `fairness.CERTIFIABLE`) exceeds its tolerance.

If the challenger is bad, at least one of them is true, and its e-process ever reaches $1/α_c$ with a probability of at
most $α_c$; as all have to be refuted, there is no correction for their number. The $α_c$ of all bad challengers sum to
at most `significance` (`sequential.Budget`). So the probability that any bad challenger is ever promoted is at most
`significance`, for any number of weeks, of challengers, and of looks at each. Comparing with the *first* champion keeps
small losses from adding up (Feng, Emerson and Simon, Biometrics 77, 2021).

**What the rows must be.** Rows that did not train the challenger, and whose outcomes had no influence on which one came
to be: rows that arrived after it was trained, or held-out rows that no challenger's training depends on, neither
directly nor through earlier decisions. In the second case each challenger has one look only (docs/retraining.md).
A row is evidence once its label is there, in the batch of the week in which the label arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64, Num
from numpy.typing import NDArray

from counterpoise.bounds import Bounded, Count, Inside, Positive, Share
from counterpoise.errors import InputError
from counterpoise.retraining.evidence import BiasEvidence, Evidence, require_tolerances
from counterpoise.retraining.sequential import PAIRED, bets_above, bets_below, mean_bounds, mixed

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


NEWEST = "error_newest"
"""The error on the newest batch: harm that is shown there refuses, but it need not be shown to be harmless."""

REFUTED = 0.01
"""Significance at which a challenger is refused early, because a hypothesis of harm is not only open but confirmed."""


@dataclass(frozen=True, kw_only=True)
class Gate(Bounded):
    """What a challenger has to show.

    Attributes:
        error_margin: by which its error (share of wrong predictions) may exceed a champion's.
        group_margin: by which a group's error may.
        tolerances: largest bias, by the name of a metric of `fairness.CERTIFIABLE`.
        significance: probability that any bad challenger is ever promoted.
        horizon: challengers on which half of the significance is spent; the other half lasts for ever.
        patience: decisions for which a challenger may wait for more rows; the last one promotes or refuses.
        rows_per_group, rows_per_cell: labelled rows of each group, and of each group and class, before any promotion.
    """

    block = "gate"

    error_margin: Share = 0.01
    group_margin: Share = 0.03
    tolerances: Mapping[str, Positive] = field(default_factory=lambda: {"delta_dp": 0.1})
    significance: Inside = 0.05
    horizon: Count = 26
    patience: Count = 4
    rows_per_group: Count = 100
    rows_per_cell: Count = 20

    def __post_init__(self) -> None:
        """Raise InputError also for a metric that has no test, or a tolerance that is not positive."""
        super().__post_init__()
        require_tolerances(self.block, self.tolerances)


@dataclass(frozen=True, eq=False)
class Examination:
    """One hypothesis of harm: "the quantity exceeds the limit"; arrays over the evidence's batch axes.

    Attributes:
        name: `error_first`, `error_champion`, `error_newest`, `error_first_group_0`, or a metric's.
        limit: of the quantity.
        estimate: of it; NaN without rows.
        log_e: evidence that it is within the limit, natural logarithm; infinite where none is asked for (`NEWEST`).
        log_harm: evidence that it exceeds it.
        upper_bound: of the quantity, as a function of the significance; worked out for one decision, not for many.
    """

    name: str
    limit: float
    estimate: Float64[np.ndarray, "*batch"]
    log_e: Float64[np.ndarray, "*batch"]
    log_harm: Float64[np.ndarray, "*batch"]
    upper_bound: Callable[[float], Float64[np.ndarray, "*batch"]]


def examine(evidence: Evidence, settings: Gate) -> list[Examination]:
    """Return the hypotheses of harm with the evidence about each, for many challengers at once."""
    examinations = []
    for other, paired in (("first", evidence.against_first), ("champion", evidence.against_champion)):
        by_group = paired.sum((-4, -2))  # *batch G 3
        examinations.append(_of_errors(f"error_{other}", by_group.sum(-2), settings.error_margin))
        examinations += [
            _of_errors(f"error_{other}_group_{group}", by_group[..., group, :], settings.group_margin)
            for group in range(by_group.shape[-2])
        ]
    newest = _of_errors(NEWEST, evidence.against_champion[..., -1, :, :, :].sum((-3, -2)), settings.error_margin)
    examinations.append(replace(newest, log_e=np.full_like(newest.log_e, np.inf)))
    for metric, tolerance in settings.tolerances.items():
        bias = BiasEvidence.of(evidence.confusion, metric, evidence.compared)
        within, beyond = bias.log_e_within(tolerance), bias.log_e_beyond(tolerance)
        examinations.append(Examination(metric, tolerance, bias.estimate(), within, beyond, bias.upper_bound))
    return examinations


def enough_rows(evidence: Evidence, settings: Gate) -> Bool[np.ndarray, "*batch"]:
    """Return whether each group, and each class in it, has the rows that it needs."""
    cells = evidence.confusion.sum((-4, -1))  # *batch G k
    groups = (cells.sum(-1) >= settings.rows_per_group).all(-1)
    return np.asarray(groups & (cells >= settings.rows_per_cell).all((-2, -1)))


def verdicts(
    evidence: Evidence,
    settings: Gate,
    *,
    level: Float64[np.ndarray, "*batch"],
    looks: Int64[np.ndarray, "*batch"],
) -> tuple[Bool[np.ndarray, "*batch"], Bool[np.ndarray, "*batch"]]:
    """Return which challengers are promoted and which are refused; the others wait.

    Args:
        level: significance of each challenger (`sequential.Budget.enter`).
        looks: decisions on the same challenger before this one.
    """
    return _verdicts(examine(evidence, settings), enough_rows(evidence, settings), settings, level, looks)


def decide(
    evidence: Evidence, settings: Gate, *, level: float, looks: int = 0, groups: Sequence[str] | None = None
) -> Decision:
    """Return the decision on one challenger; the same for the same arguments.

    Args:
        level: significance of the challenger (`history.level_of`).
        looks: decisions on it before this one (`history.looks_at`).
        groups: names of the groups, for sentences.

    Raises:
        InputError: the level is not between 0 and 1, or the evidence has no rows.
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level:g}, expected a number between 0 and 1")
    rows = int(evidence.confusion.sum())
    if rows == 0:
        raise InputError(f"The evidence has no labelled row ({evidence.waiting} wait for labels), expected some.")
    examinations, enough = examine(evidence, settings), enough_rows(evidence, settings)
    promoted, refused = _verdicts(examinations, enough, settings, np.asarray(level), np.asarray(looks))
    checks = (_row_check(evidence, settings), *(_check(item, level, groups) for item in examinations))
    verdict: Verdict = "promote" if promoted else "refuse" if refused else "wait"
    decision = Decision(verdict, "", float(level), rows, evidence.waiting, checks)
    return replace(decision, reason=reason(decision, looks + 1, settings.patience))


def _of_errors(name: str, paired: Num[np.ndarray, "*batch 3"], margin: float) -> Examination:
    rows = paired.sum(-1)
    estimate = (paired[..., 2] - paired[..., 0]) / np.where(rows > 0, rows, np.nan)
    within, beyond = (mixed(bets(paired, PAIRED, margin)) for bets in (bets_below, bets_above))
    return Examination(
        name, margin, np.asarray(estimate), within, beyond, lambda level: mean_bounds(paired, PAIRED, level)[1]
    )


def _verdicts(
    examinations: Sequence[Examination], enough: NDArray[Any], settings: Gate, level: NDArray[Any], looks: NDArray[Any]
) -> tuple[Bool[np.ndarray, "*batch"], Bool[np.ndarray, "*batch"]]:
    harmful = np.any([item.log_harm >= -np.log(REFUTED) for item in examinations], axis=0)
    with np.errstate(divide="ignore"):  # a challenger without significance is never promoted
        shown = np.all([item.log_e >= -np.log(level) for item in examinations], axis=0)
    promoted = shown & enough & ~harmful
    refused = ~promoted & (harmful | (looks + 1 >= settings.patience))
    return np.asarray(promoted), np.asarray(refused)


def _row_check(evidence: Evidence, settings: Gate) -> Check:
    cells = evidence.confusion.sum((-4, -1))
    smallest, cell = float(cells.sum(-1).min()), float(cells.min())
    outcome: Outcome = "passed" if enough_rows(evidence, settings) else "undecided"
    sentence = (
        f"Labelled rows: the smallest group has {smallest:,.0f} (at least {settings.rows_per_group:,}), the smallest "
        f"class of a group {cell:,.0f} (at least {settings.rows_per_cell:,})."
    )
    return Check("rows", outcome, smallest, None, float(settings.rows_per_group), None, None, sentence)


def _check(item: Examination, level: float, groups: Sequence[str] | None) -> Check:
    harmful = bool(item.log_harm >= -np.log(REFUTED))
    asked = not np.isposinf(item.log_e)
    outcome: Outcome = "failed" if harmful else "passed" if item.log_e >= -np.log(level) else "undecided"
    check = Check(
        item.name,
        outcome,
        None if np.isnan(item.estimate) else float(item.estimate),
        float(item.upper_bound(level)) if asked else None,
        item.limit,
        float(item.log_e / np.log(10)) if asked else None,
        float(-np.log10(level)) if asked else None,
        "",
    )
    return replace(check, sentence=sentence(check, groups))


IMPROVEMENT = 0.02
"""By which the error of the imagined model is below the champion's."""

DRAWS = 400
"""Imagined weeks: the standard error of a probability is at most 2.5 points."""


def chance(
    evidence: Evidence,
    settings: Gate,
    *,
    level: float,
    improvement: float = IMPROVEMENT,
    draws: int = DRAWS,
    seed: int = 0,
) -> float:
    """Return the share of draws in which a better model is promoted on as many rows as the evidence has.

    In each draw, of the same numbers of rows by batch, group and class, the model is right where the champion is wrong
    more often by `improvement` of all rows, in proportion to the champion's errors, and wrong where it is right as
    often as the challenger. Its other errors, and so its biases, are those of the challenger. Against the first
    champion it is as against the present one.

    Args:
        evidence: of one challenger, [B, G, k, …].
        level: significance that the model is tested at.
    """
    generator = np.random.default_rng(seed)
    sizes = evidence.confusion.sum(-1)  # B G k
    paired, confusion = evidence.against_champion.sum(0), evidence.confusion.sum(0)
    classes = np.arange(confusion.shape[-1])
    wrong = confusion.sum(-1) - confusion[:, classes, classes] - paired[..., 2] + paired[..., 0]  # the champion's, G k
    champion = wrong / np.maximum(confusion.sum(-1), 1)
    error = float(wrong.sum() / confusion.sum())
    lost = paired[..., 2] / np.maximum(paired.sum(-1), 1)
    gained = np.minimum(lost + (improvement / error if error else 0.0) * champion, 1 - lost)
    shares = np.stack([gained, 1 - gained - lost, lost], axis=-1)
    shape = (draws, *sizes.shape)
    against = generator.multinomial(np.broadcast_to(sizes, shape), shares)
    confused = generator.multinomial(np.broadcast_to(sizes, shape), _rates(confusion))
    imagined = Evidence(against, against, confused, evidence.waiting, evidence.compared)
    looks = np.zeros(draws, dtype=np.int64)
    return float(verdicts(imagined, settings, level=np.full(draws, level), looks=looks)[0].mean())


def _rates(counts: NDArray[np.integer]) -> Float64[np.ndarray, "G k c"]:
    totals = counts.sum(-1, keepdims=True)
    return np.where(totals > 0, counts / np.maximum(totals, 1), 1 / counts.shape[-1])
