"""Delimited text that is read in parts: the same columns as if it were read at once."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from counterpoise.data import Limits, delimited, texts
from counterpoise.data.delimited import COMMAS, Notation, read_delimited
from counterpoise.errors import InputError

HUGE = "99999999999999999999"
COLUMNS = {
    "whole": ["1", "2", "3", "4", "5"],
    "whole_missing": ["1", "", "", "4", "5"],
    "decimal": ["1", "2", "3.5", "4", ""],
    "decimal_last": ["1", "2", "3", "4", "0.1"],
    "truth": ["True", "false", "TRUE", "False", "true"],
    "truth_missing": ["", "", "true", "False", ""],
    "text": ["a", "b", "", "d", "e"],
    "text_last": ["1", "2", "3", "4", "x"],
    "text_first": ["x", "2", "3", "4", "5"],
    "truth_then_number": ["True", "True", "1", "0", "1"],
    "huge": ["1", "2", "3", "4", HUGE],
    "huge_decimal": [HUGE, "2", "3", "4", "0.5"],
    "absent": ["", "", "", "", ""],
    "leading_zeros": ["007", "010", "3", "4", "5"],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    lines = [",".join(COLUMNS), *(",".join(row) for row in zip(*COLUMNS.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("rows_at_once", [1, 2, 3])
def test_columns_do_not_depend_on_the_size_of_the_parts(
    file: Path, rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = read_delimited(file, missing=[""])
    monkeypatch.setattr(delimited, "_ROWS_AT_ONCE", rows_at_once)
    in_parts = read_delimited(file, missing=[""])
    pd.testing.assert_frame_equal(in_parts, at_once)
    kinds = {name: str(dtype) for name, dtype in in_parts.dtypes.items()}
    assert kinds["whole"] == "int64"
    assert kinds["whole_missing"] == "Int64"
    assert kinds["decimal"] == kinds["decimal_last"] == kinds["huge_decimal"] == "float64"
    assert kinds["truth"] == "bool"
    assert kinds["truth_missing"] == "boolean"
    assert in_parts["text_last"].tolist() == COLUMNS["text_last"]
    assert in_parts["truth_then_number"].tolist() == COLUMNS["truth_then_number"]
    assert in_parts["huge"].tolist() == COLUMNS["huge"]


def test_many_numbers_are_those_that_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.arange(-5, 5).repeat(100)
    (tmp_path / "a.csv").write_text("x;y\n" + "".join(f"{number!r};1\n" for number in numbers.tolist()))
    monkeypatch.setattr(delimited, "_ROWS_AT_ONCE", 64)
    table = read_delimited(tmp_path / "a.csv", missing=[""], notation=Notation(separator=None))
    np.testing.assert_array_equal(table["x"].to_numpy(), numbers)


@pytest.mark.parametrize("packed", [False, True])
def test_faults_far_from_the_beginning_are_named_by_their_line(
    tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "_CHECKED_AT_ONCE", 7)
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    for fault, sentence in {
        "é".encode("latin-1"): r"is not UTF-8, the first other byte is in line 52; set the reader's option encoding",
        b"\0": r"line 52 has a NUL character",
        b"1,2": r"line 52 has 3 fields, expected 2",
    }.items():
        content = b"a,b\n" + "ü,1\n".encode() * 50 + b"x," + fault + b"\n"
        path.write_bytes(gzip.compress(content) if packed else content)
        with pytest.raises(InputError, match=sentence):
            read_delimited(path, missing=[""])


def test_a_packed_file_that_grows_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 1000))
    with pytest.raises(InputError, match=r"unpacks to at least 1,001 bytes, expected at most 1,000"):
        read_delimited(tmp_path / "a.csv.gz", missing=[""], notation=COMMAS, limits=Limits(unpacked_bytes=1000))


def test_sixteen_bits_and_lone_carriage_returns_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("a,b\r1,ü\r2,é\r".encode("utf-16"))
    table = read_delimited(tmp_path / "a.csv", missing=[""], notation=Notation(encoding="utf-16"))
    assert table.to_dict("list") == {"a": [1, 2], "b": ["ü", "é"]}
