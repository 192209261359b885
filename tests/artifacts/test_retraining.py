"""The history is a compare-and-swap, whoever races; partitions are new until the ledger knows their contents."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pandas as pd
import pytest

from counterpoise.artifacts.lineage import sha256_of
from counterpoise.artifacts.retraining import (
    AllPartitions,
    HistoryDataset,
    LedgerDataset,
    NewPartitions,
    PastReports,
    RowsFolder,
)
from counterpoise.errors import InputError
from counterpoise.retraining.history import Record, from_lines, start, to_line

AT = "2026-03-02T06:00:00+00:00"
RACES = 1000


def appended(records: tuple[Record, ...], champion: str) -> tuple[Record, ...]:
    return (*records, Record(len(records), "decision", AT, champion, "A test.", f"week {len(records)}", champion))


def test_a_history_is_empty_until_there_is_one(tmp_path: Path) -> None:
    dataset = HistoryDataset(str(tmp_path / "history.jsonl"))
    assert dataset.load() == ()
    dataset.save(start("a", at=AT))
    dataset.save(dataset.load())
    assert [record.champion for record in dataset.load()] == ["a"]


def test_of_a_thousand_races_each_has_one_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterpoise.atomic.os.fsync", lambda _: None)  # the disk's patience is not what is raced for
    barrier = Barrier(2, timeout=30)
    for race in range(RACES):
        (tmp_path / f"{race}").write_text(f"{to_line(start('a', at=AT)[0])}\n")

    def compete(name: str) -> list[bool]:
        won = []
        for race in range(RACES):
            dataset = HistoryDataset(str(tmp_path / f"{race}"))
            records = HistoryDataset.load.__wrapped__(dataset)
            barrier.wait()  # both have read the same history
            try:
                HistoryDataset.save.__wrapped__(dataset, appended(records, name))
            except InputError as error:
                won.append("another run has decided in the meantime" not in str(error))
            else:
                won.append(True)
        return won

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(compete, ["b", "c"])
    assert [mine + theirs for mine, theirs in zip(one, other, strict=True)] == [1] * RACES
    for race, won in enumerate(one):
        records = HistoryDataset.load.__wrapped__(HistoryDataset(str(tmp_path / f"{race}")))
        assert [record.champion for record in records] == ["a", "b" if won else "c"]


def test_a_history_that_lost_records_is_not_extended(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    dataset = HistoryDataset(str(path))
    records = appended(appended(start("a", at=AT), "b"), "c")
    dataset.save(records)
    with pytest.raises(InputError, match="has 3 records, which are not those that this run has read"):
        HistoryDataset.save.__wrapped__(dataset, appended(records[:2], "d"))
    assert dataset.load() == records == from_lines(to_line(record) for record in records)
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []


def test_partitions_are_new_until_the_ledger_has_their_contents(tmp_path: Path) -> None:
    folder, ledger = tmp_path / "inbox", {"filepath": str(tmp_path / "ledger.json")}
    common: dict[str, Any] = {
        "path": str(folder),
        "ledger": ledger,
        "dataset": "counterpoise.artifacts.datasets.RawFolder",
    }
    assert NewPartitions(**common).load() == {}, "there is no folder yet"
    folder.mkdir()
    for name in ("a-2026-03-09", "a-2026-03-02"):
        (folder / f"{name}.csv").write_text(name)
    for name in ("notes.md", "notes.txt", ".hidden-2026-03-02.xlsx", "~$a-2026-03-02.xlsx", ".csv"):
        (folder / name).write_text("no partition")
    (folder / "2026-03-16").mkdir()
    assert list(NewPartitions(**common).load()) == ["a-2026-03-02", "a-2026-03-09"]
    LedgerDataset(**ledger).save({"a-2026-03-09": {"sha256": sha256_of(folder / "a-2026-03-09.csv")}})
    new = NewPartitions(**common)
    assert new.load() == {"a-2026-03-02": folder / "a-2026-03-02.csv"}, "an earlier date that arrives late is new"
    new.confirm()
    assert list(new.load()) == ["a-2026-03-02"], "only the ledger makes it known"
    (folder / "a-2026-03-09.csv").write_text("altered")
    assert len(NewPartitions(**common).load()) == len(AllPartitions(**common).load()) == 2
    assert new.exists()


@pytest.mark.parametrize("ending", ["csv", "CSV", "csv.gz", "tsv", "parquet", "xlsx", "json.zip", "jsonl", "txt"])
def test_a_partition_is_named_without_the_ending_of_its_format(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    common: dict[str, Any] = {
        "path": str(folder),
        "ledger": {"filepath": str(tmp_path / "ledger.json")},
        "dataset": "counterpoise.artifacts.datasets.RawFolder",
    }
    path = folder / f"b.c-2026-03-02.{ending}"
    path.write_text("rows")
    assert NewPartitions(**common).load() == {"b.c-2026-03-02": path}
    (folder / "b.c-2026-03-02.xlsm").write_text("the same rows?")
    with pytest.raises(Exception, match=r"holds b\.c-2026-03-02\..* and b\.c-2026-03-02\..*, expected one file"):
        NewPartitions(**common).load()


def test_reports_and_rows_are_read_back(tmp_path: Path) -> None:
    reports = PastReports(str(tmp_path))
    assert reports.load() == {}
    (tmp_path / "2026-03-02").mkdir()
    (tmp_path / "2026-03-02" / "report.json").write_text(json.dumps({"week": 1}))
    assert reports.load() == {"2026-03-02": {"week": 1}}
    with pytest.raises(Exception, match="is only read here"):
        reports.save({"a": 1})
    rows = RowsFolder(str(tmp_path / "training"), file="rows.parquet")
    assert not rows.exists()
    rows.save(pd.DataFrame({"x": [1, 2]}))
    rows.save(pd.DataFrame({"x": [3]}))
    assert pd.read_parquet(rows.load() / "rows.parquet")["x"].tolist() == [3]
