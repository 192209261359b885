"""The history: one answer for one week, significance spent once, and who was champion when."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from counterpoise.errors import InputError
from counterpoise.retraining.evidence import Evidence
from counterpoise.retraining.gate import Gate
from counterpoise.retraining.history import (
    Record,
    ask,
    champion,
    champion_on,
    first_champion,
    from_lines,
    latest_challenger,
    level_of,
    looks_at,
    rollback,
    start,
    to_line,
)

GATE = Gate(significance=0.05, horizon=9)


def evidence(change: float, rows: int = 8000) -> Evidence:
    """Return rows on which a challenger is better or worse than both champions by so much, without bias."""
    better, worse = 0.05 + max(0, -change), 0.05 + max(0, change)
    pairs = np.round(np.full((1, 2, 2, 1), rows / 4) * [better, 1 - better - worse, worse]).astype(int)
    confusion = np.round(np.full((1, 2, 2, 2), rows / 4) * [[0.9, 0.1], [0.1, 0.9]]).astype(int)
    return Evidence(pairs, pairs, confusion)


GOOD, OPEN, HARMFUL = evidence(-0.03), evidence(0.0, 800), evidence(0.08)


def at(day: int, month: int = 3) -> str:
    return f"2026-{month:02d}-{day:02d}T06:00:00+01:00"


def history(*weeks: tuple[str, Evidence], records: tuple[Record, ...] | None = None) -> tuple[Record, ...]:
    """Return a history of challengers, one a week."""
    records = start("v0", at=at(1)) if records is None else records
    for challenger, seen in weeks:
        day = len(records) + 1
        _, records = ask(records, GATE, week=f"W{day}", challenger=challenger, evidence=seen, at=at(day))
    return records


class TestDecisions:
    def test_a_promotion_makes_the_challenger_champion_and_a_refusal_does_not(self) -> None:
        records = history(("v1", GOOD), ("v2", HARMFUL), ("v3", OPEN))
        assert [record.verdict for record in records] == [None, "promote", "refuse", "wait"]
        assert [record.champion for record in records] == ["v0", "v1", "v1", "v1"]
        assert (champion(records), first_champion(records)) == ("v1", "v0")
        assert records[2].reason.startswith("Refused on 8,000 labelled rows: Error")

    def test_a_week_that_is_asked_again_is_answered_with_its_record(self) -> None:
        records = history(("v1", OPEN), ("v2", OPEN))
        for challenger, seen in (("v2", OPEN), ("v2", GOOD), ("v9", GOOD)):
            record, again = ask(records, GATE, week="W3", challenger=challenger, evidence=seen, at=at(9))
            assert record == records[2]
            assert again == records

    def test_the_same_records_come_from_the_same_questions(self) -> None:
        weeks = (("v1", OPEN), ("v1", GOOD), ("v2", HARMFUL))
        assert [to_line(record) for record in history(*weeks)] == [to_line(record) for record in history(*weeks)]

    @pytest.mark.parametrize(("name", "how"), [("v1", "promote"), ("v2", "refuse"), ("v0", "as a champion")])
    def test_a_challenger_is_decided_on_for_good(self, name: str, how: str) -> None:
        with pytest.raises(InputError, match=f"'{name}' was decided on .*{how}.*expected a new challenger"):
            history((name, GOOD), records=history(("v1", GOOD), ("v2", HARMFUL)))

    def test_names_a_history_that_has_not_begun(self) -> None:
        with pytest.raises(InputError, match="no records, expected a first champion"):
            ask((), GATE, week="W1", challenger="v1", evidence=GOOD, at=at(1))

    @pytest.mark.parametrize("clock", ["yesterday", "2026-03-01T06:00:00"])
    def test_names_a_time_that_is_none(self, clock: str) -> None:
        with pytest.raises(InputError, match="expected a time with its offset"):
            start("v0", at=clock)


class TestSignificance:
    def test_a_challenger_that_waits_keeps_what_it_entered_with(self) -> None:
        records = history(("v1", OPEN), ("v1", OPEN), ("v1", OPEN))
        assert [record.level for record in records[1:]] == pytest.approx([0.05 / 10] * 3)
        assert looks_at("v1", records) == 3
        assert history(("v1", OPEN), records=records)[-1].verdict == "refuse"

    def test_a_promoted_challengers_significance_passes_on_and_a_refused_ones_does_not(self) -> None:
        second = 0.05 * 9 / (10 * 11)
        assert level_of("v2", history(("v1", GOOD)), GATE) == pytest.approx(0.05 / 10 + second)
        assert level_of("v2", history(("v1", HARMFUL)), GATE) == pytest.approx(second)
        assert level_of("v3", history(("v1", GOOD), ("v2", HARMFUL)), GATE) == pytest.approx(0.05 * 9 / (11 * 12))

    def test_refused_challengers_never_have_more_than_the_total(self) -> None:
        records = history(*((f"v{i}", GOOD if i % 3 else HARMFUL) for i in range(1, 9)))
        refused = sum(record.level for record in records if record.verdict == "refuse")
        assert 0 < refused < 0.05

    def test_a_significance_that_is_lowered_cannot_be_spent_again(self) -> None:
        records = history(("v1", HARMFUL), ("v2", HARMFUL))
        spent = sum(record.level or 0 for record in records)
        assert level_of("v3", records, replace(GATE, significance=spent + 1e-5)) == pytest.approx(1e-5)
        with pytest.raises(InputError, match="challengers have spent it"):
            level_of("v3", records, replace(GATE, significance=spent / 2))


class TestChampions:
    def test_who_was_champion_on_a_day_and_why(self) -> None:
        records = history(("v1", GOOD), ("v2", OPEN), ("v3", GOOD))  # days 2, 3, 4
        assert [champion_on(records, f"2026-03-0{day}").champion for day in range(1, 6)] == [
            "v0",
            "v1",
            "v1",
            "v3",
            "v3",
        ]
        tenure = champion_on(records, date(2026, 3, 3))
        assert (tenure.sequence, tenure.since) == (1, "2026-03-02T05:00:00+00:00")
        assert tenure.reason.startswith("Promoted on 8,000 labelled rows")

    def test_a_clock_that_is_moved_back_does_not_change_the_order(self) -> None:
        records = start("v0", at=at(10))
        _, records = ask(records, GATE, week="W1", challenger="v1", evidence=GOOD, at=at(20))
        _, records = ask(records, GATE, week="W2", challenger="v2", evidence=GOOD, at=at(5))
        assert champion(records) == "v2"
        assert [champion_on(records, f"2026-03-{day}").champion for day in (10, 19, 20, 30)] == ["v0", "v0", "v2", "v2"]
        assert champion_on(records, None).champion == "v2", "now, whatever the clock says"

    def test_rollback_goes_back_one_champion_at_a_time(self) -> None:
        records = history(("v1", GOOD), ("v2", GOOD))
        records = rollback(records, at=at(10), reason="Complaints.")
        assert champion(records) == "v1"
        assert champion_on(records, "2026-03-10").reason == "Complaints."
        records = history(("v3", GOOD), records=records)
        records = rollback(rollback(records, at=at(11), reason="."), at=at(12), reason=".")
        assert champion(records) == "v0"
        with pytest.raises(InputError, match="'v0' is the first champion"):
            rollback(records, at=at(13), reason=".")

    def test_the_latest_challenger_is_the_one_decided_on_last_and_none_after_a_rollback(self) -> None:
        records = history(("v1", GOOD), ("v2", OPEN))
        assert [latest_challenger(records[:number]) for number in (1, 2, 3)] == [None, "v1", "v2"]
        assert latest_challenger(rollback(records, at=at(9), reason=".")) is None

    def test_names_a_day_without_a_champion(self) -> None:
        with pytest.raises(InputError, match=r"no champion on 2026-02-01: the history begins at 2026-03-01"):
            champion_on(history(), "2026-02-01")
        with pytest.raises(InputError, match="day is 'March', expected a date"):
            champion_on(history(), "March")


class TestLines:
    def test_records_survive_a_file(self) -> None:
        records = rollback(history(("v1", GOOD), ("v2", OPEN)), at=at(9), reason="Complaints.")
        lines = [to_line(record) for record in records]
        assert from_lines([*lines, ""]) == records
        assert all("\n" not in line and json.loads(line)["sequence"] == i for i, line in enumerate(lines))

    @pytest.mark.parametrize("line", ["{", "[]", '{"sequence": 0}', '{"sequence": 0, "color": 1}'])
    def test_names_a_line_that_is_no_record(self, line: str) -> None:
        with pytest.raises(InputError, match=r"history: line 1 is .* expected a record with sequence, kind"):
            from_lines([line])

    def test_names_a_gap(self) -> None:
        lines = [to_line(record) for record in history(("v1", GOOD), ("v2", GOOD))]
        with pytest.raises(InputError, match="history: line 2 has sequence 2, expected 1"):
            from_lines([lines[0], lines[2]])
