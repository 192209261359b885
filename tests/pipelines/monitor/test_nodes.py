"""The champion's traffic: partitions after its training, one batch each; what cannot be used is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise.artifacts.serving import Servable
from counterpoise.config.parameters import Dataset
from counterpoise.config.retraining import Retraining
from counterpoise.errors import InputError
from counterpoise.pipelines.monitor import nodes
from counterpoise.pipelines.monitor.nodes import watch_champion
from counterpoise.retraining.history import start

DATASET = {
    "title": "loans",
    "reader": "table",
    "options": {"files": "loans.csv"},
    "label": "paid",
    "positive": "yes",
    "classes": ["no", "yes"],
    "sensitive": "sex",
    "groups": ["f", "m"],
    "group_names": ["women", "men"],
    "origin": "a test",
    "split": {"fractions": {"pretrain": 0.5, "task": 0.5}, "task": {"train": 1, "validation": 1, "test": 1}},
}
SETTINGS = {"experiment": "win_loans", "model_name": "loans", "min_rows": 50, "monitor": {"tolerances": {}}}


def loans(number: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    table = {"age": generator.integers(18, 90, number), "sex": generator.choice(["f", "m"], number)}
    return pd.DataFrame({**table, "paid": generator.choice(["no", "yes"], number)})


@pytest.fixture
def traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what the node takes: the champion is right but in the share of rows of each week that is said."""
    loans(300, 0).to_csv(tmp_path / "loans.csv", index=False)
    model = "2026-03-02-abcd"
    (tmp_path / "models" / model).mkdir(parents=True)
    wrong = iter([0.1, 0.1, 0.6])

    def predictions(folder: Path, rows: pd.DataFrame, classes: Any) -> np.ndarray:
        y = (rows["paid"] == "yes").to_numpy().astype(np.int64)
        return np.where(np.arange(len(y)) < next(wrong) * len(y), 1 - y, y)

    monkeypatch.setattr(nodes, "predictions", predictions)
    entries = [{"column": "age", "fill": None, "indicator": False}]
    served = Servable({"columns": entries}, (), ("no", "yes"), "paid", "win_loans", pd.DataFrame())
    monkeypatch.setattr("counterpoise.artifacts.serving.read_servable", lambda _: served)
    paths = {}
    for number, week in enumerate(("2026-03-02", "2026-03-09", "2026-03-16", "2026-03-23")):
        paths[f"loans-{week}"] = tmp_path / f"loans-{week}.csv"
        loans(400, number + 1).to_csv(paths[f"loans-{week}"], index=False)
    report = {
        "week": "2026-03-02",
        "decision": {"challenger": model},
        "evaluation": {"measured": {"challenger": {"error": {"error": 0.1}}}},
    }
    history = start(model, at="2026-03-02T06:00:00+00:00")
    settings = (Dataset.model_validate(DATASET), Retraining.model_validate(SETTINGS), None)
    return [paths, history, {"2026-03-02": report}, tmp_path / "models", tmp_path, *settings]


def test_an_alarm_says_since_when(traffic: Any) -> None:
    pages, document = watch_champion(*traffic)
    assert [week["date"] for week in document["weeks"]] == ["2026-03-09", "2026-03-16", "2026-03-23"]
    assert [week["rows"] for week in document["weeks"]] == [400] * 3
    assert document["watches"][0]["estimates"] == [pytest.approx(share) for share in (0.1, 0.1, 0.6)]
    assert document["alarms"] == ["error of 2026-03-02-abcd exceeds 0.12, shown since 2026-03-23"]
    assert sorted(name.split("/")[1] for name in pages) == ["report.html", "report.json"]


def test_a_person_counts_once_a_week(traffic: Any) -> None:
    """Each week has four rows of each person."""
    for path in traffic[0].values():
        table = pd.read_csv(path).assign(person=np.arange(400) // 4)
        table.to_csv(path, index=False)
    reference = traffic[4] / "loans.csv"
    pd.read_csv(reference).assign(person=-1).to_csv(reference, index=False)
    split = traffic[5].split.model_copy(update={"together": "person"})
    traffic[5] = traffic[5].model_copy(update={"split": split})
    pages, document = watch_champion(*traffic)
    assert [(week["rows"], week["again"]) for week in document["weeks"]] == [(100, 300)] * 3
    assert "900 labelled rows do not count" in next(page for name, page in pages.items() if name.endswith("html"))


def test_partitions_that_cannot_be_used_are_named(traffic: Any) -> None:
    loans(10, 9).to_csv(traffic[0]["loans-2026-03-16"], index=False)
    _, document = watch_champion(*traffic)
    assert document["left_out"] == {"loans-2026-03-16": "loans-2026-03-16: has 10 labelled rows, expected at least 50"}
    assert len(document["weeks"]) == 2
    assert document["alarms"] == []


def test_without_later_partitions_nothing_is_watched(traffic: Any) -> None:
    traffic[0] = {"loans-2026-03-02": traffic[0]["loans-2026-03-02"]}
    _, document = watch_champion(*traffic)
    assert (document["weeks"], document["watches"], document["alarms"]) == ([], [], [])


def test_a_champion_needs_the_report_of_its_decision(traffic: Any) -> None:
    traffic[2] = {}
    with pytest.raises(InputError, match="no report of the decision on 2026-03-02-abcd"):
        watch_champion(*traffic)
