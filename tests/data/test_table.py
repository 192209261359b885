"""A user's own CSV and Parquet files: what is read, and what is refused."""

from pathlib import Path

import pandas as pd
import pytest

from counterpoise.data import table
from counterpoise.errors import InputError

ROWS = pd.DataFrame({"age": [30, 41], "job": ["baker", "None"], "paid": [True, False]})


def test_csv_and_parquet_give_the_same_table(tmp_path: Path) -> None:
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    ROWS.to_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        pd.testing.assert_frame_equal(table.read(tmp_path, files=[name]), ROWS)


def test_files_follow_one_another_and_incomplete_rows_go(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age, job\n30, baker\n, smith\n")
    (tmp_path / "b.csv").write_text("job,age\n?,50\nmason,60\n")
    result = table.read(tmp_path, files=["a.csv", "b.csv"])
    assert result.to_dict("list") == {"age": [30.0, 60.0], "job": ["baker", "mason"]}
    assert result.index.tolist() == [0, 1]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_the_user_says_what_is_missing(tmp_path: Path, name: str) -> None:
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    ROWS.to_parquet(tmp_path / "a.parquet")
    assert table.read(tmp_path, files=[name], missing=["None"])["job"].tolist() == ["baker"]


def test_quoted_commas_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes('﻿city,n\n"Delft, NL",1\n'.encode())
    assert table.read(tmp_path, files=["a.csv"]).to_dict("list") == {"city": ["Delft, NL"], "n": [1]}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", r"a\.csv: the file is empty, expected a header"),
        ("age,job\n", r"a\.csv: found no row"),
        ("age,age\n1,2\n", r"the header names 'age' more than once"),
        ("age,\n1,2\n", r"column 2 of the header has no name"),
        ("age,job\n1,baker\n2\n", r"line 3 has 1 fields, expected 2"),
        ("age,job\n1,baker,5\n", r"line 2 has 3 fields, expected 2"),
        ("age,job\n1,?\n2,?\n", r"none of 2 rows is complete.*'job' alone misses 2 values"),
        ('age,job\n1,"' + "x" * 200_000, r"line \d+ cannot be read \(field larger than field limit"),
    ],
)
def test_a_broken_csv_file_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError, match=sentence):
        table.read(tmp_path, files=["a.csv"])


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    ROWS.to_parquet(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read .*expected a complete Parquet file"):
        table.read(tmp_path, files=["a.parquet"])


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("age,jobs", r"b\.csv: column 'job' of .*a\.csv is not there \(did you mean 'jobs'\?\)"),
        ("age,job,pay", r"b\.csv: column 'pay' is not in .*a\.csv"),
    ],
)
def test_files_with_different_columns_are_refused(tmp_path: Path, header: str, sentence: str) -> None:
    (tmp_path / "a.csv").write_text("age,job\n1,baker\n")
    (tmp_path / "b.csv").write_text(f"{header}\n{','.join('1' * len(header.split(',')))}\n")
    with pytest.raises(InputError, match=sentence):
        table.read(tmp_path, files=["a.csv", "b.csv"])


def test_no_file_a_missing_file_and_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").touch()
    with pytest.raises(InputError, match="files: found none"):
        table.read(tmp_path, files=[])
    with pytest.raises(InputError, match=r"b\.csv: no such file"):
        table.read(tmp_path, files=["b.csv"])
    with pytest.raises(InputError, match=r"a file ending in '\.xlsx' cannot be read, expected \.csv, .* or \.parquet"):
        table.read(tmp_path, files=["a.xlsx"])
