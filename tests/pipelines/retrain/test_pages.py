"""The files of a retraining's report, and which retrainings before it they tell of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from counterpoise.config.parameters import Dataset
from counterpoise.config.retraining import Retraining
from counterpoise.pipelines.retrain.pages import write_pages
from counterpoise.retraining.history import Record, start

from .conftest import WEEKS

AT = "2026-03-02T06:00:00+00:00"
MODELS = [f"{week}-abcd" for week in WEEKS]


def decision(number: int, model: str) -> dict[str, Any]:
    return {"sequence": number, "week": model[:10], "challenger": model}


def test_trends_are_those_of_this_history(
    dataset: Dataset, retraining: Retraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports of a history that was begun before, and of later weeks, lie in the same folder."""
    drawn: list[list[str]] = []

    def page(document: Any, earlier: Any, lineage: Any) -> str:
        drawn.append([report["decision"]["challenger"] for report in earlier])
        return "page"

    monkeypatch.setattr("counterpoise.reporting.retraining_page.retraining_page", page)
    past = {model[:10]: {"decision": decision(number, model)} for number, model in enumerate(MODELS)}
    past |= {"2025-12-01": {"decision": decision(0, "2025-12-01-old")}, "2025": {"decision": decision(1, "2025-old")}}
    promoted = [
        Record(number, "decision", AT, model, "Why.", model[:10], model, "promote", 0.01)
        for number, model in enumerate(MODELS)
    ]
    for number in (2, 1, 0):
        batch = {"week": WEEKS[number], "entries": {"loans": {}}, "quarantined": {}}
        files, document = write_pages(
            decision(number, MODELS[number]),
            {},
            batch,
            {},
            past,
            (*start(MODELS[0], at=AT), *promoted[1:]),
            retraining,
            dataset,
            {"lineage": {}},
            **{"report.html": "own"},
        )
        assert drawn[-1] == MODELS[:number]
        assert json.loads(files[f"{WEEKS[number]}/report.json"]) == document
        assert files[f"{WEEKS[number]}/model/report.html"] == "own"
