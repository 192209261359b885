"""The history of champions: decisions as plain records, one JSON line each, and what can be read from them.

Records are ordered by their sequence number, never by the clock, which may be moved back. All else is a function of
them: who is champion and was on a day, which significance a challenger has, how often it was decided on. A week that
was decided is answered with its record, whoever asks again, so that it spends its significance once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Any, Literal

from counterpoise.errors import InputError, shown
from counterpoise.retraining.evidence import Evidence
from counterpoise.retraining.gate import Check, Gate, Verdict, decide
from counterpoise.retraining.sequential import Budget

Kind = Literal["start", "decision", "rollback"]


@dataclass(frozen=True)
class Record:
    """One event.

    Attributes:
        sequence: from 0, without gaps.
        kind: `start` installs the first champion, `decision` is the gate's on a challenger, `rollback` puts the
            previous champion back.
        at: when, by the clock: ISO 8601 with its offset from UTC.
        champion: after this event.
        reason: one sentence.
        week: of a decision: the question's name, for instance `2026-W09`.
        challenger, verdict, level, rows, waiting, checks: of a decision.
        terms: what the history's statement is about, plain values by name; None where that was not recorded.
    """

    sequence: int
    kind: Kind
    at: str
    champion: str
    reason: str
    week: str | None = None
    challenger: str | None = None
    verdict: Verdict | None = None
    level: float | None = None
    rows: int = 0
    waiting: int = 0
    checks: tuple[Check, ...] = ()
    terms: Mapping[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True)
class Tenure:
    """Who was champion on a day, by which record, and why."""

    champion: str
    since: str
    sequence: int
    reason: str


def start(
    model: str, *, at: str, reason: str = "First champion.", terms: Mapping[str, Any] | None = None
) -> tuple[Record, ...]:
    """Return a history that begins with a model."""
    _moment(at)
    return (Record(0, "start", at, model, reason, terms=terms),)


def ask(
    records: Sequence[Record],
    settings: Gate,
    *,
    week: str,
    challenger: str,
    evidence: Evidence,
    at: str,
    groups: Sequence[str] | None = None,
    terms: Mapping[str, Any] | None = None,
) -> tuple[Record, tuple[Record, ...]]:
    """Return the record of a week's decision, and the history with it.

    A week that has a record is answered with it, on whatever evidence and challenger it is asked again.

    Args:
        evidence: against the first champion and the present one (`first_champion`, `champion`).
        at: the clock's time, ISO 8601 with its offset.
        groups: names of the groups, for sentences. terms: see `Record`.

    Raises:
        InputError: the history has not begun; the challenger was promoted or refused before; nothing is left of the
            significance; the evidence has no rows.
    """
    present = champion(records)
    for record in records:
        if record.kind == "decision" and record.week == week:
            return record, tuple(records)
    _moment(at)
    closed = next((r for r in records if r.challenger == challenger and r.verdict in ("promote", "refuse")), None)
    if closed is not None or challenger in {record.champion for record in records}:
        where = f"in {closed.week} ({closed.verdict})" if closed is not None else "as a champion"
        raise InputError(f"{shown(challenger)} was decided on {where}, expected a new challenger")
    decision = decide(
        evidence,
        settings,
        level=level_of(challenger, records, settings),
        looks=looks_at(challenger, records),
        groups=groups,
    )
    record = Record(
        len(records),
        "decision",
        at,
        challenger if decision.verdict == "promote" else present,
        decision.reason,
        week,
        challenger,
        decision.verdict,
        decision.level,
        decision.rows,
        decision.waiting,
        decision.checks,
        terms,
    )
    return record, (*records, record)


def rollback(records: Sequence[Record], *, at: str, reason: str) -> tuple[Record, ...]:
    """Return the history after the previous champion was put back; again, and the one before that is.

    Raises:
        InputError: the first champion is the present one, or the history has not begun.
    """
    present, line = champion(records), _succession(records)
    _moment(at)
    if len(line) < 2:
        raise InputError(f"{shown(present)} is the first champion, expected one with a predecessor to put back")
    return (*records, Record(len(records), "rollback", at, line[-2], reason))


def first_champion(records: Sequence[Record]) -> str:
    """Return the model that the history began with.

    Raises:
        InputError: the history has not begun.
    """
    if not records:
        raise InputError("The history has no records, expected a first champion.")
    return records[0].champion


def champion(records: Sequence[Record]) -> str:
    """Return the present champion; raises InputError as `first_champion`."""
    first_champion(records)
    return records[-1].champion


def latest_challenger(records: Sequence[Record]) -> str | None:
    """Return the model that was decided on last, None if there was none since the latest rollback."""
    return records[-1].challenger


def champion_on(records: Sequence[Record], day: str | date | None) -> Tenure:
    """Return who was champion at the end of a day (UTC), and why; without one who is now, whatever the clock says.

    A record whose time is before that of an earlier record, because the clock was moved back, counts as of the earlier
    one's time.

    Raises:
        InputError: the day is before the first record, or is no ISO date.
    """
    try:
        wanted = date.fromisoformat(day) if isinstance(day, str) else day
    except ValueError:
        raise InputError(f"day is {shown(day)}, expected a date such as 2026-03-01") from None
    tenure, latest, present = None, None, None
    for record in records:
        moment = _moment(record.at)
        latest = moment if latest is None else max(latest, moment)
        if wanted is not None and latest.date() > wanted:
            break
        if record.champion != present:
            present = record.champion
            tenure = Tenure(present, latest.isoformat(), record.sequence, record.reason)
    if tenure is None:
        start_of = f"the history begins at {records[0].at}" if records else "the history has no records"
        raise InputError(f"There was no champion on {wanted}: {start_of}.")
    return tenure


def level_of(challenger: str, records: Sequence[Record], settings: Gate) -> float:
    """Return the significance of a challenger: that of its first decision, or what it gets when it enters now.

    Raises:
        InputError: nothing is left, because `significance` was lowered below what is spent.
    """
    budget, levels, promoted = Budget(), dict[str, float](), set[str]()
    for record in records:
        if record.challenger is None or record.level is None:
            continue
        if record.challenger not in levels:
            levels[record.challenger] = record.level
            _, budget = budget.enter(settings.significance, settings.horizon)
        if record.verdict == "promote":
            promoted.add(record.challenger)
            budget = budget.release(record.level)
    if challenger in levels:
        return levels[challenger]
    rest = settings.significance - sum(level for name, level in levels.items() if name not in promoted)
    if rest <= 0:
        raise InputError(f"gate: significance is {settings.significance:g}, expected more: challengers have spent it")
    return min(float(budget.enter(settings.significance, settings.horizon)[0]), rest)


def looks_at(challenger: str, records: Sequence[Record]) -> int:
    """Return the number of decisions on a challenger."""
    return sum(record.challenger == challenger for record in records)


def to_line(record: Record) -> str:
    """Return a record as one line of JSON."""
    return json.dumps(asdict(record), allow_nan=False, sort_keys=True)


def from_lines(lines: Iterable[str]) -> tuple[Record, ...]:
    """Return the records of lines; empty lines are passed over.

    Raises:
        InputError: a line is no record, or the sequence numbers are not 0, 1, 2, …
    """
    records: list[Record] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        record = _parsed(line, number)
        if record.sequence != len(records):
            raise InputError(f"history: line {number} has sequence {record.sequence}, expected {len(records)}")
        records.append(record)
    return tuple(records)


def _parsed(line: str, number: int) -> Record:
    try:
        values: dict[str, Any] = json.loads(line)
        checks = tuple(Check(**check) for check in values.pop("checks", ()))
        record = Record(**values, checks=checks)
        _moment(record.at)
    except (ValueError, TypeError, AttributeError):
        expected = ", ".join(each.name for each in fields(Record))
        raise InputError(f"history: line {number} is {shown(line)}, expected a record with {expected}") from None
    return record


def _succession(records: Sequence[Record]) -> list[str]:
    """Return the champions that a rollback goes back through, the present one last."""
    line: list[str] = []
    for record in records:
        if record.kind == "rollback":
            line.pop()
        elif not line or record.champion != line[-1]:
            line.append(record.champion)
    return line


def _moment(at: str) -> datetime:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InputError(f"at is {shown(at)}, expected a time with its offset, such as 2026-03-01T06:00:00+00:00")
    return moment.astimezone(UTC)
