"""What MLflow gets of a decision, and which decision it does not have yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from counterpoise.errors import InputError
from counterpoise.pipelines.retrain.promotion import belong_together, promote, unfinished
from counterpoise.retraining.history import Record, rollback, start

AT = "2026-03-09T06:00:00+00:00"
FIRST, SECOND = "2026-03-02-aaaaaaaa", "2026-03-09-bbbbbbbb"
HISTORY = (
    *start(FIRST, at=AT),
    Record(1, "decision", AT, SECOND, "Promoted.", "2026-03-09", SECOND, "promote", 0.01),
)
LEDGER = {
    "loans-2026-03-02": {"sha256": "1", "digest": "1", "date": "2026-03-02"},
    "loans-2026-03-09": {"sha256": "2", "digest": "2", "date": "2026-03-09"},
}


def only(*dates: str) -> dict[str, Any]:
    return {name: entry for name, entry in LEDGER.items() if entry["date"] in dates}


def test_a_decision_is_unfinished_until_its_partitions_are_in_the_ledger() -> None:
    assert unfinished((), {}) is None
    assert unfinished(HISTORY[:1], {}) == HISTORY[0]
    assert unfinished(HISTORY, only("2026-03-02")) == HISTORY[1]
    assert unfinished(HISTORY, LEDGER) is None
    aside = {"loans-2026-03-09": {"sha256": "2", "quarantined": "loans-2026-03-09: cannot be read"}}
    assert unfinished(HISTORY, only("2026-03-02") | aside) == HISTORY[1], "one that was put aside was not decided on"
    rolled_back = rollback(HISTORY, at=AT, reason="Rolled back.")
    assert unfinished(rolled_back, only("2026-03-02")) == HISTORY[1]
    assert unfinished(rolled_back, LEDGER) is None


@pytest.mark.parametrize("document", ["decision", "evaluation", "batch", "report"])
def test_documents_of_another_retraining_are_noticed(document: str) -> None:
    documents: dict[str, Any] = {
        "decision": {"week": "2026-03-09", "sequence": 1, "challenger": SECOND},
        "evaluation": {"week": "2026-03-09", "models": {"challenger": SECOND}},
        "batch": {"week": "2026-03-09"},
        "report": {"week": "2026-03-09", "decision": {"sequence": 1}},
    }
    assert belong_together(HISTORY[1], *documents.values())
    assert not belong_together(HISTORY[0], *documents.values())
    documents[document] |= {"week": "2026-03-16"}
    assert not belong_together(HISTORY[1], *documents.values())


def test_a_registry_that_is_away_does_not_hide_the_decision(tmp_path: Path) -> None:
    class Away:
        def fetch(self, model: str, folder: Path) -> None: ...

        def record(self, entry: Any) -> dict[str, Any]:
            raise InputError("MLflow cannot be reached")

        def point(self, champion: str, challenger: str | None) -> dict[str, Any]:
            raise AssertionError("aliases are of what is registered")

    check = {"name": "rows", "outcome": "failed", "sentence": "Too few."}
    decision = {"week": "2026-03-09", "sequence": 1, "challenger": SECOND, "champion_before": FIRST, "at": AT}
    decision |= {"verdict": "refuse", "reason": "Refused.", "checks": [check]}
    documents = (decision, {"measured": {}}, {"quarantined": {}, "used": []}, {"experiment": "e", "gate": {}})
    with pytest.raises(InputError, match=rf"^{SECOND} was refused, which MLflow does not have yet: MLflow cannot be "):
        promote(*documents, HISTORY, {}, tmp_path, Away())
