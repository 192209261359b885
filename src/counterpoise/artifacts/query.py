"""Raw data from a database: the answer to a query, kept as a file among the raw data.

A run has to be repeatable, and a database changes. So the rows are asked for once, when they are first needed, and lie
in the folder of raw files from then on, as if somebody had put them there; another query asks anew.

    loans__raw:
      type: counterpoise.artifacts.query.QueryFolder
      filepath: data/01_raw/loans
      sql: SELECT * FROM loans WHERE decided < '2026-01-01'
      credentials: loans_database
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from counterpoise import atomic
from counterpoise.artifacts.datasets import RawFolder
from counterpoise.errors import InputError, shown

CONNECTION = "con"
"""The key of the credentials that holds SQLAlchemy's address of the database."""


class QueryFolder(RawFolder):
    """A raw folder with one Parquet file, the rows of a query.

    Args:
        credentials: `con`, an address as SQLAlchemy takes it: `postgresql+psycopg://user:password@host/database`.
        file: the name of the file, which the reader's option `files` then names.
        refresh: ask in every run, whether the rows are there or not.

    Raises:
        InputError: the credentials have no address.
    """

    def __init__(
        self,
        filepath: str,
        sql: str,
        credentials: Mapping[str, Any] | None = None,
        file: str = "rows.parquet",
        refresh: bool = False,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(filepath, metadata)
        if not isinstance((credentials or {}).get(CONNECTION), str):
            raise InputError(
                f"{filepath}: the credentials of the query have no {CONNECTION!r}, expected the address of a database "
                "(conf/local/credentials.yml)"
            )
        self._sql, self._connection = sql, str((credentials or {})[CONNECTION])
        self._file, self._refresh = Path(filepath) / file, refresh
        self._asked = False

    @property
    def _query_file(self) -> Path:
        """Where the query stands whose rows are there; hidden, so that it is no raw file."""
        return self._file.with_name(f".{self._file.name}.sql")

    def load(self) -> Path:
        """Return the folder, once the rows are in it.

        Raises:
            InputError: the database does not answer, or not with rows that a Parquet file can hold.
        """
        if not self._is_there():
            content = _parquet(self._rows(), self._where)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # The query last: rows without it are asked for again.
            self._query_file.unlink(missing_ok=True)
            atomic.write_bytes(self._file, content)
            atomic.write_bytes(self._query_file, self._sql.encode())
            self._asked = True
        return self._file.parent

    def identity(self, digest: Callable[[Path], str]) -> str | None:
        """Return the digest of the rows, which are asked for if they are not there."""
        return super().identity(digest) if self.load() else None

    def _is_there(self) -> bool:
        if self._refresh and not self._asked:
            return False
        return self._file.is_file() and self._query_file.is_file() and self._query_file.read_text() == self._sql

    @property
    def _where(self) -> str:
        return f"the query of {self._file.parent.name!r}"

    def _rows(self) -> pd.DataFrame:
        try:
            rows = _answer(self._connection, self._sql)
        except Exception as error:
            raise InputError(f"{self._where}: {self._reason(error)}, expected rows from the database") from None
        if rows.empty:
            raise InputError(f"{self._where}: the database answered without rows, expected at least one")
        if not rows.columns.is_unique:
            repeated = rows.columns[rows.columns.duplicated()][0]
            raise InputError(
                f"{self._where}: the column {shown(repeated)} occurs more than once, expected distinct names"
            )
        return rows

    def _reason(self, error: Exception) -> str:
        """Return the first line of what the database said, without the password."""
        reason: BaseException = error
        while reason.__cause__ is not None:  # pandas and SQLAlchemy wrap what the database said
            reason = reason.__cause__
        line = str(reason).strip().splitlines()[0]
        for secret in _secrets(self._connection):
            line = line.replace(secret, "***")
        return line.rstrip(".")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "sql": self._sql}


def _answer(connection: str, sql: str) -> pd.DataFrame:
    """Return the rows of a query that goes to the driver as it is: `:1` and `%` in it are no parameters."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    with create_engine(connection, poolclass=NullPool).connect() as database:
        return pd.read_sql_query(sql, database.execution_options(no_parameters=True))


def _secrets(connection: str) -> list[str]:
    """Return what of an address must not be shown: all of it, and its password, as it is written and as it is meant."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        password = make_url(connection).password
    except ArgumentError:
        return [connection]
    written = connection.rpartition("@")[0].rpartition(":")[2]
    return [secret for secret in (connection, password, written if password else None) if secret]


def _parquet(rows: pd.DataFrame, where: str) -> bytes:
    """Return the rows as a Parquet file.

    Raises:
        InputError: a column has a kind of value that Parquet does not know, or several kinds, as SQLite allows.
    """
    buffer = io.BytesIO()
    try:
        rows.to_parquet(buffer, index=False)
    except (pa.ArrowException, OverflowError):
        column = next(name for name in rows if not _storable(rows[name]))
        kinds = ", ".join(sorted({type(value).__name__ for value in rows[column].dropna()}))
        raise InputError(
            f"{where}: a Parquet file cannot hold the values of the column {shown(column)} ({kinds}), expected "
            "numbers, texts or dates alone (CAST the column in the query)"
        ) from None
    return buffer.getvalue()


def _storable(values: pd.Series) -> bool:
    try:
        pa.Table.from_pandas(values.to_frame())
    except (pa.ArrowException, OverflowError):
        return False
    return True
