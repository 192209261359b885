"""Which partitions are taken, which rows are trained and held out, and what the audit says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from counterpoise.config.parameters import Dataset
from counterpoise.config.retraining import Retraining
from counterpoise.errors import InputError
from counterpoise.pipelines.retrain.partitions import (
    BATCH,
    CLASS,
    GROUP,
    HELD_OUT,
    audit_partitions,
    take_partitions,
    training_rows,
)
from counterpoise.retraining.history import Record, start

from .conftest import WEEKS, loans


def first(inbox: dict[str, Path], number: int) -> dict[str, Path]:
    return dict(list(inbox.items())[:number])


def test_rows_are_of_the_reference_and_the_newest_partitions(
    inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining
) -> None:
    ledger: dict[str, Any] = {}
    for week in (1, 2, 3):
        every = first(inbox, week)
        new = {name: path for name, path in every.items() if name not in ledger}
        batch, rows = take_partitions(new, every, ledger, (), raw, dataset, retraining)
        ledger |= batch["entries"]
        assert batch["week"] == WEEKS[week - 1]
        assert [entry["date"] for entry in batch["used"]] == list(WEEKS[max(0, week - 2) : week]), "a window of two"
    assert rows[BATCH].value_counts(sort=False).to_dict() == {0: 400, 1: 120, 2: 120}
    assert rows[[CLASS, GROUP]].eq(-1).sum().sum() == 0
    assert (rows[CLASS] == (rows["paid"] == "yes")).all()
    trained = training_rows(rows)
    assert len(trained) + rows[HELD_OUT].sum() == len(rows)
    assert list(trained) == list(loans(1, 0))
    again = take_partitions({list(inbox)[2]: inbox[list(inbox)[2]]}, inbox, {}, (), raw, dataset, retraining)[1]
    held = {tuple(row) for row in rows.loc[rows[HELD_OUT], list(trained)].itertuples(index=False)}
    assert held.isdisjoint(tuple(row) for row in training_rows(again).itertuples(index=False)), "whatever is taken"


def test_rows_without_a_label_are_not_trained_on(
    inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining
) -> None:
    name, path = next(iter(inbox.items()))
    table = loans(120, 1)
    table.loc[:19, "paid"] = None
    table.to_csv(path, index=False)
    _, rows = take_partitions({name: path}, {name: path}, {}, (), raw, dataset, retraining)
    assert (rows[CLASS] == -1).sum() == 20
    assert training_rows(rows)["paid"].notna().all()


@pytest.mark.parametrize("groups", [["f", "m"], ["f", "*"]])
def test_rows_that_are_scored_only_are_of_no_group(
    inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining, groups: list[str]
) -> None:
    """A group of all others takes what no other names, and these rows are named."""
    name, path = next(iter(inbox.items()))
    for file, table in ((raw / "loans.csv", loans(400, 0)), (path, loans(120, 1))):
        table.loc[:9, "sex"] = "unknown"
        table.loc[10:14, "sex"] = None
        table.to_csv(file, index=False)
    block = dataset.model_copy(update={"groups": tuple(groups), "scored_only": (None, "unknown")})
    _, rows = take_partitions({name: path}, {name: path}, {}, (), raw, block, retraining)
    codes = rows["sex"].map({"f": 0, "m": 1}).fillna(-1).astype(int)
    assert (codes == -1).sum() == 30
    assert (rows[GROUP] == codes).all()


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Return a delivery again, with another value in a quarter of its rows and another label in as many."""
    labels = table["paid"].where(table.index >= 60, "no")
    return table.assign(age=table["age"] + (table.index < 30), paid=labels)


def more(*weeks: int) -> pd.DataFrame:
    """Return all rows since the beginning, as exports have them that are not of one week."""
    return pd.concat([loans(120, week) for week in weeks])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.write_bytes(b'age,"income\n1,2\xff'), "loans-2026-03-09"),
        (lambda path: loans(120, 2).drop(columns="home").to_csv(path, index=False), "the column 'home' is missing"),
        (lambda path: loans(120, 2).assign(sex="x").to_csv(path, index=False), "rows have the new group 'x' in 'sex'"),
        (lambda path: loans(30, 2).to_csv(path, index=False), "has 30 labelled rows, expected at least 50"),
        (lambda path: loans(120, 1)[::-1].to_csv(path, index=False), "has the same rows as loans-2026-03-02, expected"),
        (
            lambda path: corrected(loans(120, 1)).to_csv(path, index=False),
            "90 of its 120 labelled rows are in loans-2026-",
        ),
        (
            lambda path: more(1, 2).to_csv(path, index=False),
            "120 of loans-2026-03-02's 120 labelled rows are in it again",
        ),
        (lambda path: loans(400, 0)[:90].to_csv(path, index=False), "90 of its 90 labelled rows are in loans again"),
    ],
)
def test_an_unusable_partition_is_put_aside_and_named(
    spoil: Any, sentence: str, inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining
) -> None:
    spoil(inbox["loans-2026-03-09"])
    batch, rows = take_partitions(inbox, inbox, {}, (), raw, dataset, retraining)
    assert batch["new"] == ["loans-2026-03-02", "loans-2026-03-16"]
    assert list(batch["quarantined"]) == ["loans-2026-03-09"]
    assert sentence in batch["quarantined"]["loans-2026-03-09"]
    assert batch["entries"]["loans-2026-03-09"]["quarantined"] == batch["quarantined"]["loans-2026-03-09"]
    assert len(rows) == 640
    ledger = take_partitions(first(inbox, 1), inbox, {}, (), raw, dataset, retraining)[0]["entries"]
    alone = {"loans-2026-03-09": inbox["loans-2026-03-09"]}
    with pytest.raises(InputError, match=r"no new partition can be used: .*loans-2026-03-09"):
        take_partitions(alone, inbox, ledger, (), raw, dataset, retraining)


def test_a_week_that_was_decided_is_completed_before_later_ones(
    inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining
) -> None:
    history = start(f"{WEEKS[0]}-abcd", at="2026-03-02T06:00:00+00:00")
    batch, _ = take_partitions(inbox, inbox, {}, history, raw, dataset, retraining)
    assert batch["new"] == ["loans-2026-03-02"]
    second = Record(
        1, "decision", "2026-03-09T06:00:00+00:00", f"{WEEKS[1]}-abcd", "Why.", WEEKS[1], f"{WEEKS[1]}-abcd"
    )
    rest = dict(list(inbox.items())[1:])
    ledger = batch["entries"]
    assert take_partitions(rest, inbox, ledger, (*history, second), raw, dataset, retraining)[0]["week"] == WEEKS[1]
    assert take_partitions(rest, inbox, ledger, history, raw, dataset, retraining)[0]["week"] == WEEKS[2]


def test_partitions_of_decisions_stay_as_they_are(
    inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining
) -> None:
    ledger = take_partitions(first(inbox, 1), inbox, {}, (), raw, dataset, retraining)[0]["entries"]
    with pytest.raises(InputError, match="was altered after it was decided on"):
        take_partitions(first(inbox, 1), inbox, ledger, (), raw, dataset, retraining)
    rest = dict(list(inbox.items())[1:2])
    with pytest.raises(InputError, match="loans-2026-03-02: the partition was removed after it was decided on"):
        take_partitions(rest, rest, ledger, (), raw, dataset, retraining)


def test_the_audit_names_what_is_new(
    inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining
) -> None:
    name = "loans-2026-03-02"
    table = loans(300, 5).assign(income=lambda t: t["income"] + 2)
    table.loc[:39, "home"] = "boat"
    table.loc[(table["sex"] == "f") & (table["paid"] == "yes"), "paid"] = "no"
    table.loc[40:43, ["sex", "paid"]] = ["f", "yes"]
    table.to_csv(inbox[name], index=False)
    batch, rows = take_partitions({name: inbox[name]}, inbox, {}, (), raw, dataset, retraining)
    document = audit_partitions(rows, batch, dataset)
    assert document["rows"] == {"reference": 400, "new": 300}
    assert document["new_values"] == [{"column": "home", "values": ["boat"], "rows": 40}]
    drifted = {row["column"]: row["p_holm"] < 0.01 for row in document["drift"]}
    assert drifted["income"]
    assert not drifted["age"]
    assert [(cell["group"], cell["label"]) for cell in document["small_cells"]] == [("women", "yes")]
    assert pd.DataFrame(document["group_shares"]["new"])["share"].sum() == pytest.approx(1)


def test_rows_without_label_or_group_are_no_small_cell(
    inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining
) -> None:
    """Few rows of a class in a group are few to judge by; few rows without either are nothing to worry about."""
    name = "loans-2026-03-02"
    table = loans(300, 5)
    table.loc[:2, "sex"] = None
    table.loc[3:5, "paid"] = None
    table.to_csv(inbox[name], index=False)
    batch, rows = take_partitions({name: inbox[name]}, inbox, {}, (), raw, dataset, retraining)
    assert audit_partitions(rows, batch, dataset)["small_cells"] == []


def test_a_label_that_arrives_later_brings_its_row_again(
    inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining
) -> None:
    first_week = loans(120, 1)
    late = first_week.index < 70
    first_week.assign(paid=first_week["paid"].mask(late)).to_csv(inbox["loans-2026-03-02"], index=False)
    first_week[late].to_csv(inbox["loans-2026-03-09"], index=False)
    pd.concat([loans(120, 3), first_week[~late][:20]]).to_csv(inbox["loans-2026-03-16"], index=False)
    batch, rows = take_partitions(inbox, inbox, {}, (), raw, dataset, retraining)
    assert not batch["quarantined"], "and a few rows of a week before are none that matter"
    once = rows[rows[BATCH].isin([1, 2]) & (rows[CLASS] >= 0)]
    assert sorted(once["income"]) == sorted(first_week["income"])


def test_rows_that_are_alike_by_chance_are_no_repetition(
    inbox: dict[str, Path], raw: Path, dataset: Dataset, retraining: Retraining
) -> None:
    """With four different rows there are, each one is in every partition."""
    for path in (raw / "loans.csv", *inbox.values()):
        pd.read_csv(path)[["home", "sex", "paid"]].to_csv(path, index=False)
    batch, _ = take_partitions(inbox, inbox, {}, (), raw, dataset, retraining)
    assert not batch["quarantined"]
