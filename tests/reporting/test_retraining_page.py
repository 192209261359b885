"""Pages of retraining: the decision comes first, names are shown as they are, and equal contents give equal bytes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from counterpoise.reporting.retraining_page import monitor_page, retraining_page
from counterpoise.reporting.tables_retraining import checks
from counterpoise.retraining.evidence import biases, by_group, error_sequence

GROUPS = ["women <b>", "men"]


def measured(seed: int) -> dict[str, Any]:
    confusion = np.random.default_rng(seed).integers(10, 90, (2, 2, 2, 2))
    return {
        "all": by_group(confusion.sum(0), GROUPS),
        "newest": by_group(confusion[-1], GROUPS),
        "biases": biases(confusion, {"delta_dp": 0.3}, 0.05),
        "newest_biases": biases(confusion[-1:], {"delta_dp": 0.3}, 0.05),
        "error": error_sequence(confusion, 0.05),
    }


def rates(keys: tuple[str, ...]) -> list[dict[str, Any]]:
    interval = {"rows": 10, "of": 20, "rate": 0.5, "share": 0.5, "ci_low": 0.3, "ci_high": 0.7}
    return [
        {**interval, **dict(zip(keys, (group, label), strict=False))} for group in GROUPS for label in ("no", "yes")
    ]


@pytest.fixture
def document() -> dict[str, Any]:
    check = {
        "name": "error_first_group_0",
        "outcome": "undecided",
        "estimate": 0.0123,
        "bound": 0.0456,
        "limit": 0.03,
        "log10_e": 1.5,
        "needed": 2.7,
        "sentence": "A check.",
    }
    return {
        "week": "2026-03-09",
        "experiment": "win_loans",
        "title": "loans",
        "groups": GROUPS,
        "decision": {
            "sequence": 1,
            "week": "2026-03-09",
            "verdict": "refuse",
            "reason": "Refused: the error of <women> may be higher.",
            "challenger": "2026-03-09-aaaa",
            "champion": "2026-03-02-bbbb",
            "champion_before": "2026-03-02-bbbb",
            "rows": 400,
            "checks": [check],
        },
        "evaluation": {
            "dates": ["reference", "2026-03-09"],
            "waiting": 7,
            "left_out": 3,
            "measured": {"challenger": measured(0), "champion": measured(1), "first": measured(2)},
        },
        "batch": {
            "reference": 400,
            "new": ["loans-2026-03-09"],
            "used": [{"name": "loans-2026-03-09", "date": "2026-03-09", "rows": 120}],
            "quarantined": {"loans-2026-03-08": "loans-2026-03-08: has 3 labelled rows, expected at least 50"},
        },
        "audit": {
            "drift": [
                {"column": "age", "kind": "number", "statistic": 0.2, "p_holm": 0.001, "psi": 0.3},
                {"column": "home", "kind": "category", "statistic": 0.1, "p_holm": None, "psi": 0.0},
            ],
            "label_rates": {"reference": rates(("group", "label")), "new": rates(("group", "label"))},
            "group_shares": {"reference": rates(("group",)), "new": rates(("group",))},
            "new_values": [{"column": "home", "values": ["boat"], "rows": 4}],
            "small_cells": [{"group": "men", "label": "yes", "rows": 2}],
        },
        "pages": ["impact.html", "model_card.md", "report.html"],
    }


def test_a_check_that_can_only_refuse_is_no_evidence_for_a_model(document: dict[str, Any]) -> None:
    """A measured excess beyond the limit that is not shown is not called within it."""
    (check,) = document["decision"]["checks"]
    newest = check | {"name": "error_newest", "outcome": "passed", "estimate": 0.0382, "log10_e": None, "bound": None}
    table = checks(document["decision"] | {"checks": [check, newest]}, GROUPS)
    assert [row[-1] for row in table.rows] == ["not shown", "excess not shown"]
    assert table.rows[1][1:4] == ["+3.82", "n/a", "+3.00"]


def test_the_decision_and_its_reason_come_first(document: dict[str, Any]) -> None:
    html = retraining_page(document, [], {"run_id": "abc"})
    order = ["Refused: the error of &lt;women&gt; may be higher.", "stays champion", "7 held-out rows wait", "+1.23"]
    main = html[html.index("<main>") :]
    places = [main.index(text) for text in (*order, "Models by group", "All retrainings", 'href="model/impact.html"')]
    assert places == sorted(places)
    assert "Put aside: loans-2026-03-08: has 3 labelled rows" in html
    assert "1 of 2 columns are distributed otherwise than in the reference: age." in html
    assert "<b>" not in html
    assert html == retraining_page(deepcopy(document), [], {"run_id": "abc"})


def test_a_model_that_predicts_one_class_is_named(document: dict[str, Any]) -> None:
    assert "one class for all held-out rows" not in retraining_page(document, [], {})
    document["evaluation"]["measured"]["challenger"]["all"][0]["selected"] = 0.0
    assert "the challenger predicts one class for all held-out rows" in retraining_page(document, [], {})


def test_groups_that_no_bias_is_taken_of_are_named(document: dict[str, Any]) -> None:
    said = "No bias is taken of groups with fewer held-out rows than min_test_rows"
    assert said not in retraining_page(document, [], {})
    document["groups"], document["evaluation"]["compared"] = ["women", "men", "others"], [0, 1]
    assert f"{said}: others." in retraining_page(document, [], {})


def test_trends_have_every_week(document: dict[str, Any]) -> None:
    before = deepcopy(document)
    before["week"], before["decision"]["verdict"] = "2026-03-02", "start"
    html = retraining_page(document, [before], {})
    assert html.index("Challengers: 1 first champion, 1 refused.") < html.index("errors_over_weeks")
    assert html.index("delta_dp_over_weeks") < html.index("All 2 decisions")
    table = html[html.index("All 2 decisions") :]
    assert table.index("2026-03-09") < table.index("2026-03-02") < table.index("first champion")


def test_the_monitor_says_what_alarms(document: dict[str, Any]) -> None:
    watched = {
        "name": "delta_dp",
        "limit": 0.1,
        "estimates": [0.05, None],
        "log10_e": [0.1, 2.0],
        "needed": 1.6,
        "sentence": "delta_dp: no labelled rows in the last week.",
    }
    content = {
        "champion": "m",
        "since": "2026-03-02",
        "expected_error": 0.15,
        "experiment": "win_loans",
        "title": "loans",
        "left_out": {"loans-x": "its name ends with no date"},
        "weeks": [{"date": "2026-03-09", "rows": 10, "waiting": 0}, {"date": "2026-03-16", "rows": 0, "waiting": 9}],
        "watches": [watched],
        "alarms": ["delta_dp of m exceeds 0.1"],
    }
    html = monitor_page(content)
    assert "<h1>Alarm</h1>" in html
    assert "loans-x was left out: its name ends with no date." in html
    assert "<h1>No alarm</h1>" in monitor_page({**content, "alarms": [], "weeks": [], "watches": []})
