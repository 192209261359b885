"""Workbooks of Excel, records of JSON, and packed texts: the table that the same cells are in a file of CSV."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import sys
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from counterpoise.data import Limits, table
from counterpoise.data.first_reading import leading_zeros, read_as_it_is
from counterpoise.errors import InputError

HEADER = ["age", "income", "share", "rate", "member", "when", "job", "town", "gap", "empty"]
ROWS: list[list[Any]] = [
    [
        *(30 + n, 1000.5 + n, f"{n},5", f"{n}%", n % 2 == 0, f"2024-01-{n + 1:02}", "NA" if n == 5 else "baker, the"),
        *(f"{n:04}", None if n % 3 else n, None),
    ]
    for n in range(24)
]


def in_csv(cell: Any) -> str:
    return "" if cell is None else str(cell).replace(".", ",")  # beside its commas in a column of texts


CSV = "\n".join(";".join(map(in_csv, row)) for row in [HEADER, *ROWS]).encode()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def workbook(rows: Sequence[Sequence[Any]], **others: Sequence[Sequence[Any]]) -> bytes:
    book, stream = openpyxl.Workbook(), io.BytesIO()
    for name, content in {"Rows": rows, **others}.items():
        sheet = book.create_sheet(name) if name in others else book.active
        sheet.title = name
        for row in content:
            sheet.append(list(row))
    book.save(stream)
    return stream.getvalue()


def records() -> list[dict[str, Any]]:
    """Return the rows as objects that lack what is missing, but for one key."""
    named = [dict(zip(HEADER, row, strict=True)) for row in ROWS]
    return [{key: cell for key, cell in row.items() if cell is not None or key == "empty"} for row in named]


FORMATS: dict[str, Callable[[], bytes]] = {
    "t.csv.gz": lambda: gzip.compress(CSV),
    "t.csv.bz2": lambda: bz2.compress(CSV),
    "t.csv.xz": lambda: lzma.compress(CSV),
    "T.CSV.ZIP": lambda: zipped({"data/t.csv": CSV, "__MACOSX/data/._t.csv": b"\0"}),
    "t.xlsx": lambda: workbook([HEADER, *ROWS]),
    "t.xlsm": lambda: workbook([[*HEADER, None], [], *ROWS]),
    "t.json": lambda: json.dumps(records(), indent=1).encode(),
    "t.jsonl": lambda: "\n\n".join(map(json.dumps, records())).encode(),
    "t.ndjson.xz": lambda: lzma.compress("\n".join(map(json.dumps, records())).encode()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_found_in_a_file_of_csv_is_found_in_every_format(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.csv").write_bytes(CSV)
    (tmp_path / name).write_bytes(FORMATS[name]())
    expected, of_csv, _ = read_as_it_is(tmp_path / "t.csv")
    result, notation, _ = read_as_it_is(tmp_path / name)
    assert (notation.decimal, notation.units) == (of_csv.decimal, of_csv.units)
    codes = leading_zeros(tmp_path / name, result, notation)
    assert ("town" in codes) != isinstance(result["town"].dtype, pd.StringDtype)
    pd.testing.assert_frame_equal(result.drop(columns="town"), expected.drop(columns="town"))


def read(folder: Path, content: bytes, name: str = "t.xlsx", **options: Any) -> pd.DataFrame:
    (folder / name).write_bytes(content)
    return table.read(folder, files=name, **options)


def test_cells_of_excel_are_what_they_show(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (
        ["day", "at", "clock", "share", "sum", "fault"],
        [date(2024, 2, 29), datetime(2024, 2, 29, 8, 30), time(8, 30), 0.055, 5, "#DIV/0!"],
        [datetime(2024, 3, 1), datetime(2024, 3, 1, 9), time(9), 0.1, 7, "x"],
    ):
        book.active.append(row)
    for cell in book.active["D"][1:]:
        cell.number_format = "0.0%"
    book.save(tmp_path / "t.xlsx")
    files = {}
    with zipfile.ZipFile(tmp_path / "t.xlsx") as archive:
        for name in archive.namelist():
            files[name] = archive.read(name).replace(b"<v>5</v>", b"<f>2+3</f><v>5</v>")
    assert b"<f>" in files["xl/worksheets/sheet1.xml"]
    rows = table.read(tmp_path, files="t.xlsx", missing_category={"fault": "none"})
    assert rows.to_dict("list") == {
        "day": ["2024-02-29", "2024-03-01"],
        "at": ["2024-02-29T08:30:00", "2024-03-01T09:00:00"],
        "clock": ["08:30:00", "09:00:00"],
        "share": [0.055, 0.1],
        "sum": [5, 7],
        "fault": ["none", "x"],
    }
    pd.testing.assert_frame_equal(read(tmp_path, zipped(files), missing_category={"fault": "none"}), rows)


def test_a_sheet_is_the_only_one_or_named(tmp_path: Path) -> None:
    one, two = [["a"], [1]], [["a"], [2]]
    assert read(tmp_path, workbook(one, Notes=[[], ["see above"]]))["a"].tolist() == [1]
    assert read(tmp_path, workbook(one, Other=two), sheet="Other")["a"].tolist() == [2]
    with pytest.raises(InputError, match=r"has the sheets 'Rows', 'Other', expected .* option sheet, or --sheet"):
        read(tmp_path, workbook(one, Other=two))
    with pytest.raises(InputError, match=r"t\.xlsx: there is no sheet 'other', expected one of 'Rows', 'Other'$"):
        read(tmp_path, workbook(one, Other=two), sheet="other")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "row 1 is blank in every sheet, expected the names of the columns there"),
        ([["a", "b"]], "found no row, expected at least one"),
        ([["a", "a"], [1, 2]], "the header names 'a' more than once"),
        ([["Loans of 2024"], ["a", "b", "c"], [1, 2, 3]], "row 1 .* names 1 of 3 columns, .* delete the rows above"),
    ],
)
def test_a_sheet_without_a_header_or_rows_is_one_sentence(tmp_path: Path, rows: list[Any], sentence: str) -> None:
    with pytest.raises(InputError, match=rf"t\.xlsx: {sentence}"):
        read(tmp_path, workbook(rows))


def test_columns_without_a_name_are_there_if_they_have_a_value(tmp_path: Path) -> None:
    rows = [["a", None, "b", None], [1, None, "05"], [2, None, "7", None, None, True], [None, None, "8"]]
    result = read(tmp_path, workbook(rows), missing_category={"b": "none"}, impute=["a"], exclude={"b": ["8"]})
    assert list(result) == ["a", "b", "Unnamed: 5"], "as pandas calls it"
    assert table.read_rows(tmp_path, files="t.xlsx")["b"].tolist() == ["05", "7", "8"]
    with pytest.raises(InputError, match="row 1 of the sheet 'Rows' names 1 of 3 columns"):
        read(tmp_path, workbook([["a", None, None], [1, 2, 3]]))


def test_without_openpyxl_a_workbook_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InputError, match=re.escape('pip install "counterpoise[excel]"')):
        read(tmp_path, workbook([["a"], [1]]))


MAIN_NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SHARED = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"


def with_cells(cells: str) -> bytes:
    """Return a workbook whose sheet has these rows, and whose one shared string is long."""
    with zipfile.ZipFile(io.BytesIO(workbook([["a"], [1]]))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    sheet, types = "xl/worksheets/sheet1.xml", "[Content_Types].xml"
    files[sheet] = re.sub(rb"(?<=<sheetData>).*(?=</sheetData>)", cells.encode(), files[sheet])
    part = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{SHARED}"/></Types>'
    files[types] = files[types].replace(b"</Types>", part.encode())
    files["xl/sharedStrings.xml"] = f'<sst xmlns="{MAIN_NAMESPACE}"><si><t>{"long" * 10_000}</t></si></sst>'.encode()
    return zipped(files)


ONE = '<c r="{}{}"><v>1</v></c>'
PACKERS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zip": lambda text: zipped({"t.csv": text}),
}
BOMBS: dict[str, bytes] = {
    **{f"zeros.csv{ending}": pack(b"a,b\n" + b"0,0\n" * 1_000_000) for ending, pack in PACKERS.items()},
    "zeros.jsonl.xz": lzma.compress(b'{"a": 0}\n' * 1_000_000),
    "keys.jsonl": "\n".join(json.dumps({f"k{n}": 0}) for n in range(2000)).encode(),
    "entries.xlsx": zipped({"xl/workbook.xml": bytes(3_000_000)}),
    "strings.xlsx": with_cells("".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(1, 99))),
    "columns.xlsx": with_cells(f'<row r="1">{ONE.format("XFD", 1)}</row>'),
    "wide rows.xlsx": with_cells("".join(f'<row r="{n}">{ONE.format("ZZ", n)}</row>' for n in range(1, 999))),
    "far.xlsx": with_cells("".join(f'<row r="{n}">{ONE.format("A", n)}</row>' for n in (1, 9_000_000))),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_to_more_than_a_limit_is_refused(tmp_path: Path, name: str) -> None:
    assert len(BOMBS[name]) < 200_000
    with pytest.raises(InputError, match=rf"{name}: .* expected (at most [0-9,]+ \(limits\.|no more, as in Excel)"):
        read(tmp_path, BOMBS[name], name, limits=Limits(unpacked_bytes=2_000_000, columns=2500))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.csv.zip", zipped({"a.csv": b"a\n1\n", "b.csv": b"a\n1\n"}), r"holds 2 files \(\['a.csv', 'b.csv'\]\)"),
        ("t.csv.zip", zipped({"data/": b""}), r"holds 0 files"),
        ("t.csv.zip", b"a\n1\n", "cannot be read .*expected a complete file"),
        ("t.csv.xz", lzma.compress(b"a\n1\n")[:-9], "cannot be read .*expected a complete file"),
        (
            "t.zip",
            zipped({"a.csv": b"a\n1\n"}),
            r"ending in '\.zip' cannot be read \(of a packed text .* as in \.csv\.zip\), expected",
        ),
        ("t.parquet.gz", b"", r"ending in '\.gz' cannot be read"),
        ("t.xlsx", b"a\n1\n", r"cannot be read .*expected a workbook of Excel's \(\.xlsx\) without a password"),
        ("t.xls", b"", r"ending in '\.xls' cannot be read \(save it as \.xlsx\), expected \.csv,"),
        ("t.json", b'{"a": [1, 2]}\n[3]', "holds '?.3'?., expected JSON records: a list of objects, or an object in"),
        ("t.json", b"[1]", "holds 1, expected JSON records"),
        ("t.json", b'{"a":\n1}', "line 1: cannot be read .*, expected JSON records"),
        ("t.jsonl", b'{"a": 1}\n{"a": 1', "line 2: cannot be read .*, expected JSON records"),
        ("t.jsonl", b'{"a": 1, "a": 2}', r"line 1: an object names a key more than once"),
        ("t.json", b"[]", "found no row"),
        ("t.jsonl", b"[" * 100_000, "cannot be read"),
        ("t.jsonl", b'{"a": "\xff"}', "is not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=rf"{re.escape(name)}.*{sentence}"):
        read(tmp_path, content, name)


def test_json_may_hold_gaps_large_numbers_and_lists(tmp_path: Path) -> None:
    lines = [{"a": 2**60 + 1, "b": "x", "c": [1]}, {"a": 3, "c": {"d": 1}, "e": float("nan")}, {"b": None, "e": 0.1}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    rows = table.read_rows(tmp_path, files="t.jsonl")
    assert rows["a"].tolist()[:2] == [2**60 + 1, 3]
    assert rows.isna().to_numpy().tolist() == [
        [False, False, False, True],
        [False, True, False, True],
        [True, True, True, False],
    ]
    assert rows["c"].tolist()[:2] == [[1], {"d": 1}]


def test_parts_in_several_formats_are_the_whole(tmp_path: Path) -> None:
    lines = CSV.split(b"\n")
    parts = {"a.csv.xz": lzma.compress(b"\n".join(lines[:9])), "b.xlsx": workbook([HEADER, *ROWS[8:16]])}
    parts["c.jsonl"] = "\n".join(map(json.dumps, records()[16:])).encode()
    for name, content in {**parts, "whole.csv": CSV}.items():
        (tmp_path / name).write_bytes(content)
    notation = table.notation_of({"units": ["%"], "decimal": ","})
    result, expected = (
        table.read_rows(tmp_path, files=files, notation=notation).drop(columns="town")
        for files in (list(parts), "whole.csv")
    )
    pd.testing.assert_frame_equal(result, expected)


def test_decimals_and_dictionaries_of_parquet_become_numbers_and_texts(tmp_path: Path) -> None:
    columns = pa.table(
        {
            "price": pa.array([Decimal("1.5"), Decimal("2.5")]),
            "job": pa.array(["baker", "cook"]).dictionary_encode(),
            "age": pa.array([30, 31], pa.int8()),
        }
    )
    parquet.write_table(columns, tmp_path / "a.parquet")
    rows = table.read(tmp_path, files="a.parquet")
    assert rows["price"].dtype == np.float64
    assert rows.to_dict("list") == {"price": [1.5, 2.5], "job": ["baker", "cook"], "age": [30, 31]}


def test_whole_numbers_of_parquet_stay_exact_beside_missing_ones(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"n": [2**62 + 1, None, 3]}), tmp_path / "a.parquet")
    assert table.read(tmp_path, files="a.parquet")["n"].tolist() == [2**62 + 1, 3]


def test_damaged_text_in_parquet_is_refused(tmp_path: Path) -> None:
    invalid = pa.array([b"ok", b"\xff\xfe"], pa.binary()).view(pa.string())
    parquet.write_table(pa.table({"job": invalid}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read \(.*UTF8.*\), expected a complete Parquet file"):
        table.read(tmp_path, files="a.parquet")


def test_a_parquet_file_that_unpacks_to_too_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"n": pa.array(np.zeros(100_000, dtype=np.int8))}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 2000
    with pytest.raises(InputError, match=r"unpacks to about 800,000 bytes, expected at most 10,000"):
        table.read(tmp_path, files="a.parquet", limits=Limits(unpacked_bytes=10_000))
