"""The pipeline that logs what a server did not take: its sentences, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from counterpoise.errors import InputError


def test_it_says_so_where_nothing_is_missing(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.run("sync_tracking", params={"tracking": True})
    assert "Nothing to log" in capsys.readouterr().out
    assert not (project.path / "mlflow.db").exists(), "no store is needed for that"


def test_a_record_that_cannot_be_read_is_named(project: Any) -> None:
    record = project.path / "data" / "unlogged" / "win_adult-1" / "record.jsonl"
    record.parent.mkdir(parents=True)
    record.write_text('{"format": 1}\n')
    with pytest.raises(InputError, match=r"win_adult-1/record.jsonl: has the format 1, expected 2"):
        project.run("sync_tracking", params={"tracking": True})


def test_without_tracking_there_is_nowhere_to_log_to(project: Any) -> None:
    with pytest.raises(InputError, match="tracking is off"):
        project.run("sync_tracking")
