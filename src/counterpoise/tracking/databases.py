"""MLflow's SQLite database: made under another name and then moved, so that an incomplete one is never seen."""

from __future__ import annotations

import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from counterpoise.errors import InputError
from counterpoise.tracking.addresses import sqlite_uri

MAGIC = b"SQLite format 3\x00"

LOCKED_SECONDS = 20
"""How long to wait for another process that writes; MLflow waits as long."""

ADDRESSES = {"runs": "artifact_uri", "model_versions": "source", "logged_models": "artifact_location"}
"""Tables and their columns with the absolute addresses of files; a version has a second one, `storage_location`."""

REMEDY = "name another file in conf/mlflow.yml, or run with --params tracking=off"


def require_database(path: Path, artifacts: str) -> None:
    """Make MLflow's database if it is not there, and end with one sentence if what is there cannot be used.

    A run that is killed here leaves no database, or a complete one; of runs that come here at once, one makes it.

    Args:
        path: the file, absolute.
        artifacts: where MLflow's default experiment keeps its files.

    Raises:
        InputError: the file cannot be made, read or written, is not MLflow's, is half of one, or of another MLflow.
    """
    try:
        while not _exists(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _staging(path) as folder:
                if not _exists(path):
                    _publish(_make(folder, artifacts), path)
        _check(path)
        _follow_move(path, artifacts)
    except (OSError, sqlite3.Error) as error:
        raise InputError(
            f"MLflow at {sqlite_uri(path)} cannot be reached ({getattr(error, 'strerror', None) or error}): "
            f"expected a file that can be read and written, or a folder where it can be made; {REMEDY}"
        ) from None


def _follow_move(path: Path, artifacts: str) -> None:
    """Make the files that came along with a moved or copied database those of its runs, and new ones lie beside them.

    MLflow stores absolute addresses, and would read and write where the project was before.
    """
    root, name = f"{artifacts}/", f"/{PurePosixPath(artifacts).name}"
    columns = [*ADDRESSES.items(), ("model_versions", "storage_location")]
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=LOCKED_SECONDS)) as database, database:
        before = set[str]()
        for table, column in columns:
            select, update = f"SELECT DISTINCT {column} FROM {table}", f"UPDATE {table} SET {column} = ?1"
            for (address,) in database.execute(select).fetchall():
                old, separator, file = (address or root).rpartition(f"{name}/")
                if separator and f"{old}{name}" != artifacts and _path(root + file).exists():
                    before.add(f"{old}{name}")
                    database.execute(f"{update} WHERE {column} = ?2", (root + file, address))
        for old in before:
            change = "UPDATE experiments SET artifact_location = ?1 || substr(artifact_location, length(?2) + 1)"
            database.execute(f"{change} WHERE artifact_location IN (?2, ?2 || '/0')", (artifacts, old))


def _path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))


def has_running(path: Path) -> bool:
    """Whether a run in the database is RUNNING, in a hundredth of the time that MLflow's search takes to begin."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=LOCKED_SECONDS)) as database:
        return database.execute("SELECT 1 FROM runs WHERE status = 'RUNNING' LIMIT 1").fetchone() is not None


def _exists(path: Path) -> bool:
    """Whether there is a database; a file of no bytes is what a run leaves that is killed when it opens one."""
    return path.exists() and (not path.is_file() or path.stat().st_size > 0)


@contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """Yield a folder beside `path` in which one process at a time makes the database; a killed one leaves its lock."""
    folder = path.with_name(f".{path.name}.making")
    handle = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _lock(folder: Path) -> int:
    """Make a folder, wait until no other process has it locked, and return what to close when the work is done."""
    import fcntl

    while True:
        folder.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):  # the process that had it has just removed it
            handle = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
            except OSError:  # a file system without locks: each makes one, and the first to finish wins
                return handle
            with suppress(FileNotFoundError):
                if os.fstat(handle).st_ino == folder.stat().st_ino:
                    for remains in folder.iterdir():
                        remains.unlink()
                    return handle
            os.close(handle)


def _make(folder: Path, artifacts: str) -> Path:
    """Make a database with MLflow's tables and its default experiment."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    aside = folder / f"{uuid.uuid4().hex}.db"
    store = SqlAlchemyStore(sqlite_uri(aside), artifacts)
    store.engine.dispose()
    return aside


def _publish(aside: Path, path: Path) -> None:
    """Move a database to its place, unless another process was first."""
    if path.exists():  # of no bytes
        aside.replace(path)
        return
    try:
        os.link(aside, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        aside.replace(path)


def _check(path: Path) -> None:
    """Raise InputError unless MLflow can work with what is there, without the minutes that MLflow takes to find out."""
    with path.open("r+b") as file:  # as it will be opened: to write
        if file.read(len(MAGIC)) != MAGIC:
            raise InputError(f"MLflow at {sqlite_uri(path)}: the file is not an SQLite database; {REMEDY}")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=LOCKED_SECONDS)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            revisions = _rows(database, tables, "alembic_version", "version_num")
            experiments = _rows(database, tables, "experiments", "experiment_id")
    except sqlite3.Error as error:
        raise InputError(f"MLflow at {sqlite_uri(path)} cannot be read ({error}); {REMEDY}") from None
    if tables and not {"alembic_version", "experiments"} & tables:
        raise InputError(
            f"MLflow at {sqlite_uri(path)}: the database has the tables {_examples(tables)}, not MLflow's; {REMEDY}"
        )
    if newer := revisions - _migrations():
        raise InputError(
            f"MLflow at {sqlite_uri(path)}: the database was made by a newer MLflow (its revision "
            f"{_examples(newer)} is not one of this version's): use that MLflow; {REMEDY}"
        )
    if not revisions or not experiments:
        raise InputError(
            f"MLflow at {sqlite_uri(path)}: the database is incomplete (a run was stopped while making it, or makes "
            "it now): if nothing else runs, remove the file, which holds no runs; the next run makes a new one"
        )
    if missing := _expected_tables() - tables:
        raise InputError(
            f"MLflow at {sqlite_uri(path)}: the database lacks the tables {_examples(missing)}, so it is of an older "
            f"MLflow: keep a copy and run `mlflow db upgrade {sqlite_uri(path)}`; {REMEDY}"
        )


def _rows(database: sqlite3.Connection, tables: set[str], table: str, column: str) -> set[str]:
    if table not in tables:
        return set()
    return {str(value) for (value,) in database.execute(f"SELECT {column} FROM {table} LIMIT 10")}


def _migrations() -> set[str]:
    """Return the revisions that this MLflow knows: its migrations are files that begin with theirs."""
    import mlflow

    folder = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    return {file.name.partition("_")[0] for file in folder.glob("*.py")}


def _expected_tables() -> set[str]:
    from mlflow.store.db.base_sql_model import Base

    import_module("mlflow.store.db.utils")  # which imports every table there is
    return set(Base.metadata.tables)


def _examples(names: set[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "")
