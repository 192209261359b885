"""Reading a file whose notation nobody has said."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterpoise.data.first_reading import leading_zeros, read_as_it_is
from counterpoise.errors import InputError


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a;b\n1,5;x\n" + b"2,25;y\n" * 3, {"decimal": ".", "encoding": "utf-8"}),
        ("a;b\nMüller;1\n".encode("cp1252"), {"encoding": "cp1252"}),
        ("a\tb\nMüller\t1\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("a,b\nMüller,1\n".encode(), {"encoding": "utf-8"}),
    ],
)
def test_the_notation_is_found(tmp_path: Path, content: bytes, expected: dict[str, str]) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    table, notation, _ = read_as_it_is(tmp_path / "t.csv")
    assert list(table) == ["a", "b"]
    assert {key: getattr(notation, key) for key in expected} == expected
    if b"M" in content:
        assert table["a"].iloc[0] == "Müller"


def test_decimal_commas_make_numbers(tmp_path: Path) -> None:
    numbers = [number + 0.25 for number in range(1000, 1040)]
    lines = [f"{number:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".") + ";x" for number in numbers]
    (tmp_path / "t.csv").write_text("\n".join(["income;b", *lines]))
    table, notation, _ = read_as_it_is(tmp_path / "t.csv")
    assert (notation.decimal, notation.thousands) == (",", ".")
    assert table["income"].tolist() == numbers


@pytest.mark.parametrize(
    ("texts", "signs", "values"),
    [
        (["$2,135.71", "$360.72", "-$1,200"], (".", ",", ("$",)), [2135.71, 360.72, -1200]),
        (["2,135.71", "360.72", "1,200"], (".", ",", ()), [2135.71, 360.72, 1200]),
        ([f"{n},5%" for n in range(12)], (",", None, ("%",)), [n + 0.5 for n in range(12)]),
        ([f"1.0{n},5 €" for n in range(10, 22)], (",", ".", ("€",)), [1000.5 + n for n in range(10, 22)]),
        (["39.4%", "2.8", "68%"], (".", None, ()), None),
        (["$a", "$b", "$c"], (".", None, ()), None),
        ([f"{n},5" for n in range(12)], (",", None, ()), [n + 0.5 for n in range(12)]),
        (["1,125", *(f"{n},5" for n in range(12))], (",", None, ()), [1.125, *(n + 0.5 for n in range(12))]),
        ([f"{n},125" for n in range(12)], (",", None, ()), [n + 0.125 for n in range(12)]),
        ([f"{n},125" for n in range(1, 13)], (".", None, ()), None),
        (["$2,135", "$360", "$1,200"], (".", ",", ("$",)), [2135, 360, 1200]),
        (["1,002,135", "360", "1,200"], (".", ",", ()), [1002135, 360, 1200]),
        (["2,135", "360", "1,200"], (".", None, ()), None),
        (["€2,135", "€360", "€1,200"], (".", None, ()), None),
    ],
)
def test_units_and_commas_make_numbers(
    tmp_path: Path, texts: list[str], signs: Any, values: list[float] | None
) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["n;b", *(f"{text};x" for text in texts * 8)]), encoding="utf-8")
    table, notation, _ = read_as_it_is(tmp_path / "t.csv")
    assert (notation.decimal, notation.thousands, tuple(notation.units)) == signs
    assert table["n"].tolist() == (values if values is not None else texts) * 8


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lons.csv", r"lons\.csv: no such file \(did you mean 'loans\.csv'\?\), expected a table$"),
        ("nowhere/loans.csv", r"nowhere/loans\.csv: no such file, expected a table$"),
        ("folder", r"folder: is a folder, expected the file of a table$"),
        ("empty.csv", r"empty\.csv: the file is empty, expected a header line"),
        ("header.csv", r"header\.csv: found no row, expected at least one$"),
        (
            "loans.ods",
            r"loans\.ods: a file ending in '\.ods' cannot be read \(save it as \.xlsx\), expected \.csv",
        ),
    ],
)
def test_what_is_no_table_is_one_sentence(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    for file, content in {
        "loans.csv": "a,b\n1,2\n",
        "empty.csv": "",
        "header.csv": "a,b\n",
        "loans.ods": "PK",
    }.items():
        (tmp_path / file).write_text(content)
    with pytest.raises(InputError, match=message):
        read_as_it_is(tmp_path / name)


def test_a_sheet_of_what_is_no_workbook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(
        InputError, match=r"^--sheet: .*t\.csv is no workbook, expected the option for \.xlsm, \.xlsx alone"
    ):
        read_as_it_is(tmp_path / "t.csv", sheet="Loans")


NUMBERS = [f"{number}.5" for number in range(20)]


@pytest.mark.parametrize("sign", ["-", "n/a", "NULL", ".", "Unknown"])
@pytest.mark.parametrize("unit", ["", "%"])
def test_a_sign_for_missing_values_among_numbers_is_found(tmp_path: Path, sign: str, unit: str) -> None:
    lines = [f"{number}{unit};{sign if place % 2 else 'x'}" for place, number in enumerate(NUMBERS)]
    (tmp_path / "t.csv").write_text("\n".join(["n;b", *lines, f"{sign};x"]))
    table, notation, gaps = read_as_it_is(tmp_path / "t.csv")
    assert (gaps, tuple(notation.units)) == ((sign,), tuple(unit))
    np.testing.assert_array_equal(table["n"], [*map(float, NUMBERS), np.nan])
    assert table["b"].isna().sum() == 10, "it is missing in other columns too"
    kept, _, none = read_as_it_is(tmp_path / "t.csv", frozenset({"b"}))
    assert not none, "it is a class, or a group"
    assert kept["n"].iloc[-1] == sign


@pytest.mark.parametrize("texts", [[*NUMBERS, "never"], [*NUMBERS, "none"], [*NUMBERS[:10], "-"], ["a", "b", "-"]])
def test_words_and_categories_are_no_gaps(tmp_path: Path, texts: list[str]) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["n;b", *(f"{text};x" for text in texts)]))
    table, _, gaps = read_as_it_is(tmp_path / "t.csv")
    assert not gaps
    assert table["n"].tolist() == texts


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_whole_numbers_that_begin_with_0_are_codes(tmp_path: Path, packed: bool, separator: str) -> None:
    header = ["town", "count", "share", "flag", "name,first"]
    rows = [["01067", "10", "0.5", "0", "07"], ["80331", "0", "0.05", "1", "x"]]
    lines = (separator.join(f'"{field}"' if separator in field else field for field in row) for row in [header, *rows])
    content = "\n".join(lines).encode()
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    table, notation, _ = read_as_it_is(path)
    assert leading_zeros(path, table, notation) == {"town"}
