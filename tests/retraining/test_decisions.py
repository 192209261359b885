"""Sentences of checks and decisions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from counterpoise.retraining.decisions import Check, Decision, reason, sentence, subject

ERROR = Check("error_first_group_1", "undecided", 0.012, 0.045, 0.03, 1.5, 3.0, "")
BIAS = Check("delta_dp", "passed", 0.04, 0.08, 0.1, 4.0, 3.0, "")
NEWEST = Check("error_newest", "passed", -0.002, None, 0.01, None, None, "")


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (
            ERROR,
            "Error of group Male against the first champion: +1.2 points, at most 4.5 points; "
            "not yet shown to be within the limit of 3 points.",
        ),
        (BIAS, "Bias delta_dp: +0.04, at most 0.08; within the limit of 0.1."),
        (replace(BIAS, outcome="failed"), "Bias delta_dp: +0.04, at most 0.08; shown to exceed the limit of 0.1."),
        (
            NEWEST,
            "Error against the champion on the newest rows: -0.2 points; not shown to exceed the limit of 1 points.",
        ),
        (
            replace(NEWEST, estimate=None),
            "Error against the champion on the newest rows: no rows; not shown to exceed the limit of 1 points.",
        ),
    ],
)
def test_a_check_says_what_it_shows(check: Check, expected: str) -> None:
    assert sentence(check, ["Female", "Male"]) == expected


def test_a_group_without_a_name_has_its_number() -> None:
    assert subject("error_champion_group_1") == "Error of group 1 against the champion"


@pytest.mark.parametrize(
    ("verdict", "outcomes", "start", "named"),
    [
        ("promote", ("passed", "passed"), "Promoted on 1,200 labelled rows: all 2 checks passed", ()),
        ("wait", ("undecided", "passed"), "Waiting after decision 2 of 4 on 1,200 labelled rows: ", ("A",)),
        ("refuse", ("undecided", "passed"), "Refused after decision 2 of 4 on 1,200 labelled rows: ", ("A",)),
        ("refuse", ("undecided", "failed"), "Refused on 1,200 labelled rows: ", ("B",)),
    ],
)
def test_a_decision_names_the_checks_that_it_rests_on(
    verdict: str, outcomes: tuple[str, str], start: str, named: tuple[str, ...]
) -> None:
    checks = tuple(replace(BIAS, outcome=o, sentence=f"{name} is so.") for o, name in zip(outcomes, "AB", strict=True))
    text = reason(Decision(verdict, "", 0.001, 1200, 30, checks), 2, 4)
    assert text.startswith(start)
    assert text.endswith("30 rows wait for their labels.")
    assert tuple(name for name in "AB" if f"{name} is so" in text) == named


def test_the_first_champion_that_is_the_present_one_is_named_once() -> None:
    first = Check("error_first", "failed", 0.02, 0.03, 0.01, -1.0, 3.0, "A.")
    same = replace(first, name="error_champion", sentence="B.")
    bias = replace(BIAS, outcome="failed", sentence="C.")
    decision = Decision("refuse", "", 0.001, 1200, 0, (first, same, bias))
    assert reason(decision, 1, 4) == "Refused on 1,200 labelled rows: A; C."
    other = replace(decision, checks=(first, replace(same, estimate=0.021), bias))
    assert reason(other, 1, 4) == "Refused on 1,200 labelled rows: A; B; C."
