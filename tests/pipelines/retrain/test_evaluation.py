"""Three models on the same held-out rows, and decisions that a run which was stopped repeats."""

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
from counterpoise.pipelines.retrain import evaluation
from counterpoise.pipelines.retrain.evaluation import before_week, complete, decide, evaluate, keep
from counterpoise.pipelines.retrain.partitions import BATCH, CLASS, GROUP, HELD_OUT
from counterpoise.pipelines.retrain.promotion import entry_of, metrics_of
from counterpoise.retraining.history import Record, rollback, start

from .conftest import WEEKS, loans

AT = "2026-03-02T06:00:00+00:00"


COLUMNS = ("age", "income", "home")


def exported(folder: Path | None = None, columns: tuple[str, ...] = COLUMNS, **filled: Any) -> Servable:
    """Return a model of these columns, and what stands for their missing values."""
    entries = [{"column": name, "fill": filled.get(name), "indicator": False} for name in columns]
    entries += [{"column": name, "fill": None, "indicator": True} for name in filled]
    encoding = {"columns": entries}
    return Servable(encoding, (), ("no", "yes"), "paid", "win_loans", pd.DataFrame(), folder=folder)


def challenger(folder: Path, columns: tuple[str, ...] = COLUMNS) -> Servable:
    """Return a model that was just exported."""
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    (folder / "artifacts" / "model.safetensors").write_text("weights")
    return exported(folder, columns)


@pytest.fixture
def rows() -> pd.DataFrame:
    table = loans(900, 0)
    generator = np.random.default_rng(1)
    marks = {
        BATCH: np.repeat([0, 1, 2], 300),
        HELD_OUT: generator.random(900) < 0.5,
        CLASS: (table["paid"] == "yes").astype(int),
        GROUP: (table["sex"] == "m").astype(int),
    }
    return table.assign(**marks)


@pytest.fixture
def batch() -> dict[str, Any]:
    used = [{"name": f"loans-{week}", "date": week, "rows": 300} for week in WEEKS[:2]]
    return {"week": WEEKS[1], "new": ["loans-2026-03-09"], "used": used, "quarantined": {}, "entries": {}}


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Champions are right in four of five rows, challengers always."""

    def predictions(folder: Path, table: pd.DataFrame, classes: Any) -> np.ndarray:
        y = table[CLASS].to_numpy(dtype=np.int64)
        return np.where(np.arange(len(y)) % 5 == 0, 1 - y, y) if "old" in folder.name else np.maximum(y, 0)

    monkeypatch.setattr(evaluation, "predictions", predictions)
    monkeypatch.setattr(evaluation, "read_servable", lambda folder: exported(folder, ("age", "home")))


def judged(
    history: Any, rows: pd.DataFrame, batch: Any, dataset: Dataset, retraining: Retraining, folder: Path
) -> dict[str, Any]:
    (folder / "models" / "old").mkdir(parents=True, exist_ok=True)
    model = challenger(folder / "challenger")
    return evaluate.__wrapped__(model, history, folder / "models", rows, batch, dataset, retraining, None)


@pytest.mark.usefixtures("predict")
def test_all_models_are_counted_on_the_same_held_out_rows(
    rows: pd.DataFrame, batch: Any, dataset: Dataset, retraining: Retraining, tmp_path: Path
) -> None:
    rows.loc[rows.index[:7], CLASS] = -1
    rows.loc[rows.index[7:11], "income"] = np.nan
    result = judged(start("old", at=AT), rows, batch, dataset, retraining, tmp_path)
    held_out = rows[rows[HELD_OUT]]
    assert result["left_out"] == held_out["income"].isna().sum()
    assert result["waiting"] == (held_out.loc[held_out["income"].notna(), CLASS] == -1).sum()
    counted = len(held_out) - result["left_out"] - result["waiting"]
    for counts in (*result["confusion"].values(), *result["paired"].values()):
        assert np.array(counts).sum() == counted
    assert result["dates"] == ["reference", WEEKS[0], WEEKS[1]]
    assert result["measured"]["challenger"]["all"][0]["error"] == 0
    assert result["measured"]["champion"]["all"][0]["error"] == pytest.approx(0.2, abs=0.01)
    assert np.array(result["paired"]["first"])[..., 2].sum() == 0, "on no row is the first champion alone right"
    assert (tmp_path / "models" / result["models"]["challenger"] / "artifacts").is_dir()


@pytest.mark.usefixtures("predict")
def test_rows_of_one_person_are_one_piece_of_evidence(
    rows: pd.DataFrame, batch: Any, dataset: Dataset, retraining: Retraining, tmp_path: Path
) -> None:
    """Each row twenty times, one of them not labelled yet: the same evidence as once, and no more."""
    people = rows.assign(person=np.arange(len(rows)))
    split = dataset.split.model_copy(update={"together": "person"})
    of_people = dataset.model_copy(update={"split": split})
    once = judged(start("old", at=AT), people, batch, of_people, retraining, tmp_path)
    assert once["again"] == 0
    many = pd.concat([*[people] * 19, people.assign(**{CLASS: -1})], ignore_index=True)
    result = judged(start("old", at=AT), many, batch, of_people, retraining, tmp_path)
    held_out = int(rows[HELD_OUT].sum())
    assert (result["again"], result["waiting"]) == (18 * held_out, held_out)
    assert np.array(result["confusion"]["challenger"]).sum() == held_out
    assert result["confusion"]["challenger"] == once["confusion"]["challenger"]
    apart = judged(start("old", at=AT), many, batch, dataset, retraining, tmp_path)
    assert (apart["again"], np.array(apart["confusion"]["challenger"]).sum()) == (0, 19 * held_out)


@pytest.mark.usefixtures("predict")
def test_a_group_of_few_held_out_rows_is_reported_and_not_compared(
    rows: pd.DataFrame, batch: Any, dataset: Dataset, retraining: Retraining, tmp_path: Path
) -> None:
    """A third group that is in the newest partition alone, with fewer labelled rows than `min_test_rows`."""
    three = dataset.model_copy(
        update={"groups": (*dataset.groups, "x"), "group_names": (*dataset.group_names, "others"), "min_test_rows": 30}
    )
    before = judged(start("old", at=AT), rows, batch, three, retraining, tmp_path)
    newest = rows[(rows[BATCH] == 2) & rows[HELD_OUT]].index[:9]
    added = pd.concat([rows, rows.loc[newest].assign(**{GROUP: 2})], ignore_index=True)
    result = judged(start("old", at=AT), added, batch, three, retraining, tmp_path)
    assert (before["compared"], result["compared"]) == ([0, 1], [0, 1])
    for role, measured in result["measured"].items():
        assert measured["biases"][0]["bound"] is not None
        assert measured["biases"] == before["measured"][role]["biases"]
        assert {row["group"]: row["rows"] for row in measured["all"]}["others"] == 9
    _, decision = decide(result, batch, start("old", at=AT), three, retraining)
    outcomes = {check["name"]: check["outcome"] for check in decision["checks"]}
    assert (outcomes["rows"], outcomes["delta_dp"]) == ("undecided", "passed"), "the gate asks rows of every group"
    many = judged((), rows, batch, three.model_copy(update={"min_test_rows": 10**6}), retraining, tmp_path)
    assert many["compared"] is None, "without two groups that are large enough all are compared"


@pytest.mark.usefixtures("predict")
def test_decisions_are_recorded_once_and_repeated(
    rows: pd.DataFrame, batch: Any, dataset: Dataset, retraining: Retraining, tmp_path: Path
) -> None:
    history = start("old", at="2026-12-31T06:00:00+00:00")  # the clock was moved back since
    result = judged(history, rows, batch, dataset, retraining, tmp_path)
    records, decision = decide(result, batch, history, dataset, retraining)
    assert (decision["verdict"], decision["champion_before"]) == ("promote", "old")
    assert [record.sequence for record in records] == [0, 1]
    after = judged(records, rows, batch, dataset, retraining, tmp_path)
    assert after == result, "the champion of before the decision is compared with"
    again, repeated = decide(after, batch, records, dataset, retraining)
    assert again == records
    assert repeated == decision


@pytest.mark.usefixtures("predict")
def test_the_first_model_is_champion(
    rows: pd.DataFrame, batch: Any, dataset: Dataset, retraining: Retraining, tmp_path: Path
) -> None:
    result = judged((), rows, batch, dataset, retraining, tmp_path)
    records, decision = decide(result, batch, (), dataset, retraining)
    assert (decision["verdict"], decision["champion_before"]) == ("start", None)
    assert decide(judged(records, rows, batch, dataset, retraining, tmp_path), batch, records, dataset, retraining) == (
        records,
        decision,
    )
    report = {"experiment": "win_loans", "gate": {"tolerances": {"delta_dp": 0.9}, "patience": 1}}
    entry = entry_of(decision, result, batch, report, tmp_path)
    assert entry["tags"]["retraining.champion_before"] == "none"
    assert entry["tags"]["retraining.decided_at"] == entry["at"] == records[0].at
    assert entry["params"]["gate.tolerances"] == "{'delta_dp': 0.9}"
    assert set(metrics_of(result)) >= {
        "challenger/all/women/error",
        "challenger/newest/all/rows",
        "challenger/all/delta_dp",
    }


def test_a_champion_that_lies_nowhere_is_one_sentence(
    rows: pd.DataFrame, batch: Any, dataset: Dataset, retraining: Retraining, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="there is no such folder, expected the model gone, which the history names"):
        judged(start("gone", at=AT), rows, batch, dataset, retraining, tmp_path)


def test_records_before_a_week() -> None:
    records = (*start("a", at=AT), Record(1, "decision", AT, "b", "Why.", WEEKS[1], "b"))
    assert before_week(records, WEEKS[1]) == records[:1]
    assert before_week(records, WEEKS[2]) == records


def test_what_all_models_fill_may_be_missing(rows: pd.DataFrame) -> None:
    rows.loc[:9, "income"] = np.nan
    rows.loc[10:14, "home"] = None
    filling = exported(income=0.0, home="none")
    assert complete(rows, [exported()]).sum() == 885
    assert complete(rows, [filling]).all()
    assert complete(rows, [filling, exported(income=0.0)]).sum() == 895
    with pytest.raises(InputError, match="the model reads the column 'income'"):
        complete(rows.drop(columns="income"), [filling, exported()])


@pytest.mark.usefixtures("predict")
def test_models_of_other_columns_are_counted_on_the_rows_that_all_of_them_take(
    rows: pd.DataFrame, batch: Any, dataset: Dataset, retraining: Retraining, tmp_path: Path
) -> None:
    """The challenger reads the income too, and the champion a column that the challenger does without."""
    rows.loc[rows.index[:5], "income"] = np.nan
    rows.loc[rows.index[3:9], "home"] = None
    (tmp_path / "models" / "old").mkdir(parents=True)
    model = challenger(tmp_path / "challenger", ("age", "income"))
    arguments = (start("old", at=AT), tmp_path / "models", rows, batch, dataset, retraining, None)
    result = evaluate.__wrapped__(model, *arguments)
    assert result["left_out"] == rows.iloc[:9][HELD_OUT].sum()


@pytest.mark.usefixtures("predict")
def test_a_champion_that_changed_since_the_comparison_ends_the_run(
    rows: pd.DataFrame, batch: Any, dataset: Dataset, retraining: Retraining, tmp_path: Path
) -> None:
    (tmp_path / "models" / "old 2").mkdir(parents=True)
    decided = Record(1, "decision", AT, "old 2", "Why.", WEEKS[0], "old 2", "promote", 0.01)
    history = (*start("old", at=AT), decided)
    result = judged(history, rows, batch, dataset, retraining, tmp_path)
    assert decide(result, batch, history, dataset, retraining)[1]["champion_before"] == "old 2"
    rolled_back = rollback(history, at=AT, reason="By hand.")
    with pytest.raises(InputError, match="was compared with old 2, but old is champion by now: run"):
        decide(result, batch, rolled_back, dataset, retraining)


def test_a_model_is_kept_as_it_was_first(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("1")
    keep(source, tmp_path / "model")
    (source / "a").write_text("2")
    keep(source, tmp_path / "model")
    assert (tmp_path / "model" / "a").read_text() == "1"
