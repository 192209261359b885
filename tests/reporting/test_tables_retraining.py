"""Tables of a retraining by hand: what each check shows, how columns moved, which rows are new."""

from __future__ import annotations

from typing import Any

import pytest

from counterpoise.reporting import tables_retraining as tables

GROUPS = ["women", "men"]


def check(name: str, outcome: str, log10_e: float | None = 1.5, **numbers: float | None) -> dict[str, Any]:
    values = {"estimate": 0.0123, "bound": -0.0456, "limit": 0.03, "needed": 2.7}
    return {"name": name, "outcome": outcome, "log10_e": log10_e, **values, **numbers}


@pytest.mark.parametrize(
    ("made", "row"),
    [
        (check("rows", "passed", None, estimate=1364.0, bound=None, limit=100.0),
         ["Rows of the smallest group", "1,364", "n/a", "100", "n/a", "shown"]),
        (check("rows", "undecided", None, estimate=13.0, bound=None, limit=100.0),
         ["Rows of the smallest group", "13", "n/a", "100", "n/a", "not shown"]),
        (check("error_first_group_1", "passed"),
         ["Error against the first champion, men", "+1.23", "−4.56", "+3.00", "1.5 of 2.7", "shown"]),
        (check("error_champion", "undecided", -0.4),
         ["Error against the champion", "+1.23", "−4.56", "+3.00", "−0.4 of 2.7", "not shown"]),
        (check("error_newest", "failed", None, bound=None),
         ["Error against the champion, newest rows", "+1.23", "n/a", "+3.00", "n/a", "exceeded"]),
        (check("error_newest", "passed", None, bound=None),
         ["Error against the champion, newest rows", "+1.23", "n/a", "+3.00", "n/a", "excess not shown"]),
        (check("delta_eo", "passed", estimate=0.05, bound=0.12, limit=0.15),
         ["Bias delta_eo", "0.050", "0.120", "0.150", "1.5 of 2.7", "shown"]),
    ],
)  # fmt: skip
def test_what_a_check_shows(made: dict[str, Any], row: list[str]) -> None:
    assert tables.checks({"checks": [made]}, GROUPS).rows == [row]


def test_columns_that_moved_most_come_first_and_untested_ones_last() -> None:
    def column(name: str, p: float | None) -> dict[str, Any]:
        return {"column": name, "kind": "number", "statistic": 0.1, "p_holm": p, "psi": 0.02}

    audit = {
        "drift": [column("none", None), column("little", 0.06), column("much", 0.001), column("nor", None)],
        "label_rates": {"reference": [], "new": []},
        "group_shares": {"reference": [], "new": []},
        "new_values": [{"column": "home", "rows": 12, "values": ["boat"]}],
        "small_cells": [],
    }
    *_, columns = tables.drift(audit)
    assert [row[0] for row in columns.rows] == ["much", "little", "none", "nor"]
    moved, new = tables.drift_sentences(audit)
    assert moved == "1 of 4 columns are distributed otherwise than in the reference: much."
    assert new == "Column home has values that the reference has not, in 12 rows: boat."


def test_new_partitions_are_marked_and_come_first() -> None:
    used = [{"name": f"loans-{day}", "date": day, "rows": rows} for day, rows in (("03-02", 1200), ("03-09", 90))]
    table = tables.partitions({"reference": 5000, "used": used, "new": ["loans-03-09"]})
    assert table.rows == [
        ["reference", "", "5,000", ""],
        ["loans-03-09", "03-09", "90", "new"],
        ["loans-03-02", "03-02", "1,200", ""],
    ]
