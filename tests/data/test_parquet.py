"""Parquet files of a user's own: types that are read, and files that are refused."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from counterpoise.data import Limits, table
from counterpoise.errors import InputError


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
