"""Rows of a query become a raw file, once."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError

from counterpoise.artifacts.lineage import sha256_of
from counterpoise.artifacts.query import QueryFolder
from counterpoise.data.table import read
from counterpoise.errors import InputError

ROWS = 50


def people() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "income": draw.normal(3, 1, ROWS).round(2),
            "children": draw.integers(0, 4, ROWS),
            "town": draw.choice(["a", "b", None], ROWS),
            "repaid": draw.choice(["no", "yes"], ROWS),
        }
    )


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "people.db") as database:
        people().to_sql("people", database, index=False)
    return f"sqlite:///{tmp_path / 'people.db'}"


def folder(tmp_path: Path, connection: str, sql: str = "SELECT * FROM people", **options: bool) -> QueryFolder:
    return QueryFolder(str(tmp_path / "raw/people"), sql, {"con": connection}, **options)


def same(table: pd.DataFrame) -> bool:
    expected = people().dropna().reset_index(drop=True)
    return bool((table.astype("str") == expected.astype("str")).all(axis=None)) and list(table) == list(expected)


def test_sqlite(tmp_path: Path, sqlite: str) -> None:
    assert same(read(folder(tmp_path, sqlite).load(), files="rows.parquet"))


@pytest.fixture
def people_in_postgresql(postgresql: str) -> str:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    with create_engine(postgresql, poolclass=NullPool).begin() as database:
        people().to_sql("people", database, index=False, if_exists="replace")
    return postgresql


def test_postgresql(tmp_path: Path, people_in_postgresql: str) -> None:
    postgresql = people_in_postgresql
    assert same(read(folder(tmp_path, postgresql).load(), files="rows.parquet"))
    numeric = "SELECT income::numeric(8, 2) AS income, children, town, repaid FROM people"
    assert same(read(folder(tmp_path / "n", postgresql, numeric).load(), files="rows.parquet"))
    with pytest.raises(DatasetError, match=r"(?i)the query of 'people': .*peeople.* does not exist.*expected rows"):
        folder(tmp_path / "t", postgresql, "SELECT * FROM peeople").load()


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        ("'10.0.0.1'::inet", "IPv4Address"),
        ("int4range(1, 5)", "Range"),
        ("CASE WHEN children > 0 THEN '1'::jsonb ELSE '\"a\"'::jsonb END", "int, str"),
    ],
)
def test_kinds_that_no_file_holds_are_named(tmp_path: Path, people_in_postgresql: str, value: str, kinds: str) -> None:
    refused = rf"the query of 'people': .* of the column 'odd' \({kinds}\), expected .*CAST"
    with pytest.raises(DatasetError, match=refused):
        folder(tmp_path, people_in_postgresql, f"SELECT *, {value} AS odd FROM people").load()
    assert not (tmp_path / "raw").exists()


def test_the_query_reaches_the_driver_as_it_is(tmp_path: Path, people_in_postgresql: str) -> None:
    signs = (
        """SELECT people.*, '{"a":1}' AS j, (array[1, 2])[:1] AS l FROM people WHERE town LIKE '%a%' AND 5 % 2 = 1"""
    )
    rows = read(folder(tmp_path, people_in_postgresql, signs).load(), files="rows.parquet")
    assert set(rows["j"]) == {'{"a":1}'}
    assert set(rows["town"]) == {"a"}


def test_columns_of_several_kinds_are_named(tmp_path: Path, sqlite: str) -> None:
    mixed = "SELECT income, CASE WHEN children > 0 THEN children ELSE 'none' END AS children, repaid FROM people"
    with pytest.raises(DatasetError, match=r"of the column 'children' \(int, str\), expected"):
        folder(tmp_path, sqlite, mixed).load()
    rows = read(
        folder(tmp_path, sqlite, "SELECT '{\"a\":1}' AS j, 7 % 4 AS m FROM people").load(), files="rows.parquet"
    )
    assert set(rows["j"]) == {'{"a":1}'}
    assert set(rows["m"]) == {3}


def test_rows_are_asked_for_once_and_again_for_another_query(tmp_path: Path, sqlite: str) -> None:
    first = folder(tmp_path, sqlite).identity(sha256_of)
    with sqlite3.connect(sqlite.removeprefix("sqlite:///")) as database:
        database.execute("DELETE FROM people WHERE children = 0")
    assert folder(tmp_path, sqlite).identity(sha256_of) == first
    few = folder(tmp_path, sqlite, "SELECT * FROM people WHERE repaid = 'yes'")
    assert set(read(few.load(), files="rows.parquet")["repaid"]) == {"yes"}
    fresh = folder(tmp_path, sqlite, refresh=True)
    assert fresh.identity(sha256_of) != first
    assert (read(fresh.load(), files="rows.parquet")["children"] > 0).all()


def test_rows_without_their_query_are_asked_for_again(tmp_path: Path, sqlite: str) -> None:
    there = folder(tmp_path, sqlite).load()
    (there / ".rows.parquet.sql").unlink()
    (there / "rows.parquet").write_bytes(b"")
    assert same(read(folder(tmp_path, sqlite).load(), files="rows.parquet"))


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM peple", "the query of 'people': no such table: peple, expected rows"),
        ("SELECT * FROM people WHERE income > 1000", "without rows"),
        ("SELECT income, income FROM people", "'income' occurs more than once"),
    ],
)
def test_a_query_without_usable_rows(tmp_path: Path, sqlite: str, sql: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        folder(tmp_path, sqlite, sql).load()
    assert not (tmp_path / "raw").exists()


def test_no_password_is_shown(tmp_path: Path) -> None:
    for address in ("postgresql+psycopg://me:s3cr%40t@127.0.0.1:1/x", "nonsense s3cr@t"):
        with pytest.raises(DatasetError) as refused:
            folder(tmp_path, address).load()
        assert not any(secret in str(refused.value) for secret in ("s3cr%40t", "s3cr@t"))
    assert "s3cr" not in str(folder(tmp_path, "sqlite:///s3cr@t"))


def test_no_address(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="have no 'con', expected the address of a database"):
        QueryFolder(str(tmp_path), "SELECT 1")


def test_a_damaged_folder_is_not_half_there(tmp_path: Path, sqlite: str) -> None:
    there = folder(tmp_path, sqlite).load()
    shutil.rmtree(there)
    assert same(read(folder(tmp_path, sqlite).load(), files="rows.parquet"))
