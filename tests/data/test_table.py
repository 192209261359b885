"""A user's own CSV and Parquet files: what is read, and what is refused."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from counterpoise import data
from counterpoise.data import Limits, table
from counterpoise.data.delimited import Notation
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


def test_what_is_missing_in_one_column_alone_is_a_value_of_others(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age,pay,job\n999,999,x\n30,5,?\n", encoding="utf-8")
    rows = table.read_rows(tmp_path, files="a.csv", missing=[], missing_values={"age": [999, -1], "job": "?"})
    assert rows.isna().to_numpy().tolist() == [[True, False, False], [False, False, True]]
    with pytest.raises(InputError, match=r"^missing_values: there is no column 'ages' \(did you mean 'age'\?\)"):
        table.read_rows(tmp_path, files="a.csv", missing_values={"ages": [999]})


def test_quoted_commas_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes('﻿city,n\n"Delft, NL",1\n'.encode())
    assert table.read(tmp_path, files=["a.csv"]).to_dict("list") == {"city": ["Delft, NL"], "n": [1]}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", r"a\.csv: the file is empty, expected a header"),
        ("age,job\n", r"a\.csv: found no row"),
        ("age,age\n1,2\n", r"the header names 'age' more than once"),
        ("age,Unnamed: 0\n1,2\n".replace("age", ""), r"the header names 'Unnamed: 0' more than once"),
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


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ("a.csv", "c.csv", "d.csv"), ("a.csv", "a.csv")])
def test_a_file_that_is_there_twice_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Its rows would be learnt from and tested on."""
    for name in "abcd":
        (tmp_path / f"{name}.csv").write_text("age,job\n1,baker\n2,\n" if name != "c" else "age,job\n1,baker\n3,\n")
    (tmp_path / "d.csv").write_text("job,age\nbaker,1\n,2\n")
    with pytest.raises(InputError, match=rf"{names[-1]}: has the same rows as .*a\.csv, expected each file once"):
        table.read_rows(tmp_path, files=list(names))


def test_no_file_a_missing_file_and_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xls").touch()
    with pytest.raises(InputError, match="files: found none"):
        table.read(tmp_path, files=[])
    with pytest.raises(InputError, match=r"b\.csv: no such file"):
        table.read(tmp_path, files=["b.csv"])
    with pytest.raises(
        InputError,
        match=r"a\.xls: a file ending in '\.xls' cannot be read \(save it as \.xlsx\), expected \.csv, .*, \.parquet$",
    ):
        table.read(tmp_path, files=["a.xls"])


def write(folder: Path, text: str, encoding: str = "utf-8") -> None:
    (folder / "a.csv").write_bytes(text.encode(encoding))


def read(folder: Path, **options: Any) -> dict[str, list[Any]]:
    rows: dict[str, list[Any]] = table.read(folder, files="a.csv", **options).to_dict("list")
    return rows


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path: Path, separator: str) -> None:
    write(tmp_path, separator.join(["age", "pay"]) + "\n" + separator.join(["30", '"1,5 or 2"']) + "\n")
    assert read(tmp_path) == {"age": [30], "pay": ["1,5 or 2"]}


def test_an_option_names_any_separator(tmp_path: Path) -> None:
    write(tmp_path, "age:pay\n30:2\n")
    assert read(tmp_path, separator=":") == {"age": [30], "pay": [2]}


def test_columns_without_a_name_are_called_as_pandas_calls_them(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [3, 4], "job": ["a", "b"]}, index=[7, 8])
    frame.to_csv(tmp_path / "a.csv")
    read = table.read(tmp_path, files=["a.csv"])
    pd.testing.assert_frame_equal(read, pd.read_csv(tmp_path / "a.csv"))
    assert list(read) == ["Unnamed: 0", "age", "job"]


@pytest.mark.parametrize(
    ("texts", "units", "values"),
    [
        (["5.5%", "12 %", "-3%"], ["%"], [5.5, 12, -3]),
        (["$5", "-$1,200.5", "$ 7"], ["€", "$"], [5, -1200.5, 7]),
        (["5%", ""], ["%"], [5, None]),
        (["5%", "7"], ["%"], ["5%", "7"]),
        (["5%", "$7"], ["%", "$"], ["5%", "$7"]),
        (["$5%", "$7%"], ["%", "$"], ["$5%", "$7%"]),
        (["%", "5%"], ["%"], ["%", "5%"]),
        (["5%5", "1%1"], ["%"], ["5%5", "1%1"]),
        (["5%", "6%"], [], ["5%", "6%"]),
    ],
)
def test_a_unit_of_all_values_of_a_column_is_no_part_of_the_numbers(
    tmp_path: Path, texts: list[str], units: list[str], values: list[Any]
) -> None:
    write(tmp_path, "".join(["n;m\n", *(f"{text};1\n" for text in texts)]))
    rows = table.read_rows(tmp_path, files="a.csv", missing="", notation=Notation(";", thousands=",", units=units))
    assert [None if pd.isna(value) else value for value in rows["n"].tolist()] == values


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize(
    ("text", "options", "value"),
    [
        ("1016,95", {"decimal": ","}, 1016.95),
        ("1.016,95", {"decimal": ",", "thousands": "."}, 1016.95),
        ("1,017", {"thousands": ","}, 1017),
        ("1,017", {"decimal": ","}, 1.017),
        ("1.017", {"decimal": ",", "thousands": "."}, 1017),
        ("1 234 567", {"thousands": " "}, 1234567),
        ("-1’016.5", {"thousands": "’"}, -1016.5),
        ("1,5e3", {"decimal": ","}, 1500.0),
        ("1.5e3", {}, 1500.0),
    ],
)
def test_numbers_are_read_in_the_notation_that_was_said(
    tmp_path: Path, separator: str, text: str, options: dict[str, Any], value: float
) -> None:
    write(tmp_path, f'n{separator}m\n"{text}"{separator}1\n')
    assert read(tmp_path, **options)["n"] == [value]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("1101,95", {"decimal": ".", "thousands": ","}),
        ("1101.95", {"decimal": ",", "thousands": "."}),
        ("1,2,3", {"thousands": ","}),
        ("12,34", {"thousands": ","}),
        ("1016.95", {"decimal": ","}),
        ("1,5", {}),
    ],
)
def test_what_is_no_number_in_that_notation_stays_a_text(tmp_path: Path, text: str, options: dict[str, Any]) -> None:
    write(tmp_path, f'n;m\n"{text}";1\n')
    assert read(tmp_path, **options)["n"] == [text]


def test_whole_numbers_stay_exact(tmp_path: Path) -> None:
    largest = 2**63 - 1
    write(tmp_path, f"n,m\n{largest},1\n{-largest - 1},\n7,?\n5,2\n")
    assert read(tmp_path) == {"n": [largest, 5], "m": [1, 2]}
    assert table.read(tmp_path, files="a.csv")["m"].dtype == np.int64
    write(tmp_path, f"n\n{largest + 1}\n1\n")
    assert read(tmp_path) == {"n": [str(largest + 1), "1"]}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8"])
def test_an_encoding_is_read_if_it_is_said(tmp_path: Path, encoding: str) -> None:
    write(tmp_path, "name,n\nBär,1\nBör,2\n", encoding)
    assert read(tmp_path, encoding=encoding)["name"] == ["Bär", "Bör"]


@pytest.mark.parametrize(
    ("text", "encoding", "sentence"),
    [
        ("name,n\nBar,1\nBör,2\n", "latin-1", r"a\.csv: is not UTF-8, the first other byte is in line 3; .* encoding"),
        ("name,n\nBar,1\n", "utf-16", r"a\.csv: is not UTF-8, .* line 1"),
        ("name,n\nBar,1\n", "utf-16-le", r"a\.csv: line 1 has a NUL character"),
    ],
)
def test_another_encoding_is_named_by_its_line(tmp_path: Path, text: str, encoding: str, sentence: str) -> None:
    write(tmp_path, text, encoding)
    with pytest.raises(InputError, match=sentence):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('a,b\n1,"x\n2,y\n', r"line 2 cannot be read \(a quote is not closed\)"),
        ('a,b\n1,"x"y\n', r"line 2 cannot be read"),
        ("a" * 140_000 + ",b\n1,2\n", r"line 1 cannot be read \(field larger than field limit"),
        (
            ",".join(f"c{n}" for n in range(30)) + "\n",
            r"the table has 30 columns, expected at most 20 \(limits\.columns",
        ),
    ],
)
def test_text_that_is_not_a_table_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    write(tmp_path, content)
    with pytest.raises(InputError, match=sentence) as raised:
        read(tmp_path, limits=Limits(columns=20))
    assert len(str(raised.value)) < 500


def test_a_packed_file_is_read_within_its_limit(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"age,job\n" + b"30,baker\n" * 1000))
    assert len(table.read(tmp_path, files="a.csv.gz")) == 1000
    with pytest.raises(InputError, match=r"a\.csv\.gz: unpacks to at least .* at most 5,000 \(limits\.unpacked_bytes"):
        table.read(tmp_path, files="a.csv.gz", limits=Limits(unpacked_bytes=5000))
    with pytest.raises(InputError, match=r"a\.csv\.gz: the file has .* at most 20 \(limits\.file_bytes"):
        table.read(tmp_path, files="a.csv.gz", limits=Limits(file_bytes=20))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"decimal": "x"}, r"decimal is 'x', expected one sign"),
        ({"thousands": "''"}, "thousands is"),
        ({"separator": "\n"}, "separator is"),
        ({"decimal": ",", "thousands": ","}, r"decimal and thousands are both ','"),
        ({"encoding": "latin-one"}, r"encoding is 'latin-one', expected the name of one"),
        ({"encoding": "hex"}, r"encoding is 'hex'"),
        ({"missing": {"a": 1}}, r"option 'missing' is \{'a': 1\}"),
        ({"decimal": 5}, r"option 'decimal' is 5, expected str"),
        ({"files": 5}, r"option 'files' is 5"),
        ({"files": ["../a.csv"]}, "leads out of the folder"),
        ({"files": "/etc/hostname"}, "leads out of the folder"),
        ({"missing_category": "baker"}, r"missing_category: 'baker' is a value of column 'job'"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    write(tmp_path, "age,job\n30,baker\n31,?\n")
    with pytest.raises(InputError, match=sentence):
        data.read("table", tmp_path, **{"files": "a.csv", **options})


def test_one_marker_and_numbers_as_markers(tmp_path: Path) -> None:
    write(tmp_path, "age,job\n30,baker\nNULL,smith\n-999,cook\n")
    assert read(tmp_path, missing=["NULL", -999]) == {"age": [30], "job": ["baker"]}
    pd.DataFrame({"age": [30, -999], "job": ["baker", "cook"]}).to_parquet(tmp_path / "b.parquet")
    assert table.read(tmp_path, files="b.parquet", missing=-999)["age"].tolist() == [30]


def test_missing_texts_may_be_a_category(tmp_path: Path) -> None:
    write(tmp_path, "age,job\n30,NA\n31,cook\nNA,cook\n")
    rows: list[pd.DataFrame] = []
    assert read(tmp_path, missing_category="unknown", left_out=rows) == {"age": [30, 31], "job": ["unknown", "cook"]}
    assert [len(frame) for frame in rows] == [1]


def test_missing_texts_may_be_a_category_in_some_columns(tmp_path: Path) -> None:
    write(tmp_path, "age,job,town\n30,,x\n31,cook,\n32,cook,y\n")
    kept = {"age": [30, 32], "job": ["none", "cook"], "town": ["x", "y"]}
    assert read(tmp_path, missing_category={"job": "none"}) == kept


def test_missing_numbers_may_be_the_median_with_a_column_that_says_so(tmp_path: Path) -> None:
    write(tmp_path, "age,size\n30,1\n,2\n40,3\n50,4\n")
    expected = {"age": [30.0, 40.0, 40.0, 50.0], "size": [1, 2, 3, 4], "age_missing": [False, True, False, False]}
    assert read(tmp_path, impute=["age", "size"]) == expected


@pytest.mark.parametrize("name", ["self", "table", "data", "axis"])
def test_a_column_may_have_any_name(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"{name},job\n4,cook\n,cook\n5,baker\n")
    assert read(tmp_path, impute=[name])[name] == [4, 4.5, 5]
    write(tmp_path, f"age,{name}\n4,cook\n3,NA\n")
    assert read(tmp_path, missing_category="none")[name] == ["cook", "none"]
    (tmp_path / "first.csv").write_text(f"age,{name}\n4,7\n")
    (tmp_path / "second.csv").write_text(f"age,{name}\n4,x\n")
    assert table.read(tmp_path, files=["first.csv", "second.csv"])[name].tolist() == ["7", "x"]


def test_rows_may_be_excluded_by_their_values(tmp_path: Path) -> None:
    write(tmp_path, "age,job\n30,cook\n31,test\n32,baker\n33,void\n")
    assert read(tmp_path, exclude={"job": ["test", "void"]}) == {"age": [30, 32], "job": ["cook", "baker"]}


def test_rows_may_be_excluded_beyond_bounds(tmp_path: Path) -> None:
    write(tmp_path, "age,job\n17,a\n18,b\n65,c\n66,d\n,e\n")
    rows = read(tmp_path, exclude={"age": {"below": 18, "above": 65}})
    assert rows["job"] == ["b", "c"]
    assert read(tmp_path, exclude={"age": {"below": 18.5}})["job"] == ["c", "d"]


def test_what_an_unused_column_misses_leaves_no_row_out(tmp_path: Path) -> None:
    write(tmp_path, "age,job,note\n30,cook,\n31,,x\n")
    assert read(tmp_path, unused=["note", "elsewhere"])["age"] == [30]


def test_gaps_of_rows_that_are_left_out_leave_no_feature(tmp_path: Path) -> None:
    write(tmp_path, "age,size,repaid\n1,,yes\n3,5,no\n,,\n")
    done: table.Treated = {}
    rows = read(tmp_path, impute=["age", "size"], treated=done)
    assert rows == {"age": [1, 3], "size": [5, 5], "repaid": ["yes", "no"], "size_missing": [True, False]}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"impute": ["agee"]}, r"impute: there is no column 'agee' \(did you mean 'age'\?\)"),
        ({"impute": ["job"]}, r"impute: column 'job' has no numbers, expected a column of numbers"),
        ({"impute": ["age"]}, r"impute: there is a column 'age_missing' already"),
        ({"missing_category": {"age": "x"}}, r"missing_category: column 'age' has no texts"),
        ({"missing_category": {"jobb": "x"}}, r"missing_category: there is no column 'jobb'"),
        ({"exclude": {"job": ["coook"]}}, r"exclude: column 'job' never is 'coook' \(did you mean 'cook'\?\)"),
        ({"exclude": {"age": ["30"]}}, r"exclude: column 'age' never is '30' \(a text, while 30"),
        ({"exclude": {"job": {"below": 3}}}, r"exclude: column 'job' has no numbers, expected numbers for its bounds"),
        ({"exclude": {"job": ["cook"]}}, r"exclude: no row is left, expected at least one"),
    ],
)
def test_wrong_options_on_gaps_and_rows_are_refused(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    write(tmp_path, "age,job,age_missing\n30,cook,1\n,cook,2\n")
    with pytest.raises(InputError, match=sentence):
        read(tmp_path, **options)


def test_numbers_in_one_file_and_a_text_among_them_in_another(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age,zip\n30,12345\n31,23456\n")
    (tmp_path / "b.csv").write_text("age,zip\n40,A1\n41,B2\nunknown,C3\n")
    with pytest.raises(
        InputError, match=r"b\.csv: column 'age' has 'unknown' in 1 rows, expected numbers as in .*a\.csv"
    ):
        table.read(tmp_path, files=["a.csv", "b.csv"])
    both = table.read(tmp_path, files=["a.csv", "b.csv"], missing=["unknown"])
    assert both["age"].tolist() == [30, 31, 40, 41]
    assert both["zip"].tolist() == ["12345", "23456", "A1", "B2"], "codes that are numbers in one file only"


@pytest.mark.parametrize("category", ["none", {"city": "none"}])
def test_the_gaps_that_were_filled_can_be_had_again(tmp_path: Path, category: str | dict[str, str]) -> None:
    """The rows are then those of the file, but for the ones that are left out."""
    (tmp_path / "t.csv").write_text("age,city,income\n30,north,1.5\n,south,2\n41,,3\n,,\n50,north,4\n")
    options: dict[str, Any] = {"impute": ["age", "income"], "missing_category": category}
    rows = table.read(tmp_path, files="t.csv", **options)
    assert rows.notna().all(axis=None)
    pd.testing.assert_frame_equal(table.with_gaps(rows, options), pd.read_csv(tmp_path / "t.csv"), check_dtype=False)
    assert table.with_gaps(rows, {}).equals(rows)
