"""Where runs are logged: conf/<env>/mlflow.yml, addresses with unusual signs, and passwords that stay out of sight."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from counterpoise.errors import InputError

SQLITE = "sqlite:///"

SQLITE_DRIVER = "sqlite+pysqlite:///"
"""The same with its driver, for addresses with escapes: under `SQLITE` MLflow makes a folder of the escaped name."""

REQUIRED = ("experiment", "timeout_seconds", "tracking_uri")
PATIENCE_SECONDS = 60

GROUP = "COUNTERPOISE_RUN_GROUP"
"""Environment variable: commands with the same value log to one run, as the tasks of a scheduler do."""

GROUP_NAME = re.compile(r"[\w.:+/@-]{1,200}")

HIDDEN = "***"

SECRET_KEY = re.compile(r"pass|pwd|secret|token|key", re.IGNORECASE)
"""Keys of a query, or of an ODBC string inside one, whose values are nobody's business."""

SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")

VARIABLES = {key: f"MLFLOW_TRACKING_{key.upper()}" for key in ("username", "password", "token")}
"""Keys of the block `mlflow` of credentials.yml, and the environment variables that MLflow's client reads."""

SHORT_SECRET = 6
"""A secret of fewer letters is hidden where it is a word of its own, so that a sentence stays readable."""


@dataclass(frozen=True)
class TrackingSettings:
    """conf/<env>/mlflow.yml, with the environment variable MLFLOW_TRACKING_URI in the place of its URI if it is set.

    `timeout_seconds` is the time to reach a server; `patience_seconds` the time for one answer, tries included, of a
    server that was reached. `database` is the file of an SQLite address. `unlogged` is the folder for what a server
    would not take. `group` is the name under which several commands log to one run.
    """

    uri: str
    experiment: str
    timeout_seconds: int
    artifacts: str | None = None  # where a new experiment's files go; None leaves it to the server
    patience_seconds: int = PATIENCE_SECONDS
    database: Path | None = None
    unlogged: Path = Path("data/unlogged")
    group: str | None = None

    @classmethod
    def read(cls, configuration: Mapping[str, Any], project: Path) -> TrackingSettings:
        """Read the configuration; a SQLite database and its files lie in the project, wherever the run was started."""
        if set(configuration) - {"patience_seconds"} != set(REQUIRED):
            keys = ", ".join(sorted(configuration))
            expected = f"{', '.join(REQUIRED)} and, if wanted, patience_seconds"
            raise InputError(f"conf/mlflow.yml has the keys {keys}, expected {expected}")
        uri = (os.environ.get("MLFLOW_TRACKING_URI") or str(configuration["tracking_uri"])).strip()
        database, query = sqlite_file(uri)
        artifacts = None
        if database is not None:
            database = project.absolute() / database
            uri, artifacts = sqlite_uri(database, query), (database.parent / "mlruns").as_uri()
        return cls(
            uri=uri,
            experiment=_name(configuration["experiment"]),
            timeout_seconds=_seconds(configuration, "timeout_seconds"),
            artifacts=artifacts,
            patience_seconds=_seconds({"patience_seconds": PATIENCE_SECONDS} | dict(configuration), "patience_seconds"),
            database=database,
            unlogged=project / "data" / "unlogged",
            group=_group(),
        )

    @property
    def shown(self) -> str:
        """The address without its password, for people."""
        return without_credentials(self.uri)

    def conceal(self, text: str) -> str:
        """Return a text, such as a library's error, with every password and token of this address hidden."""
        text = text.replace(self.uri, self.shown)
        for secret in sorted(secrets_of(self.uri), key=len, reverse=True):
            pattern = re.escape(secret)
            text = re.sub(pattern if len(secret) >= SHORT_SECRET else rf"(?<!\w){pattern}(?!\w)", HIDDEN, text)
        return re.sub(r"(?<=://)[^/\s@]+@", f"{HIDDEN}@", text)


def sqlite_file(uri: str) -> tuple[Path | None, str]:
    """Return the file of an SQLite address, relative or not, and its query; None for any other address.

    Raises:
        InputError: the database would be in memory, and gone when the run ends.
    """
    prefix = next((prefix for prefix in (SQLITE, SQLITE_DRIVER) if uri.startswith(prefix)), None)
    if prefix is None:
        if uri.startswith("sqlite"):
            raise InputError(f"conf/mlflow.yml: tracking_uri is {uri!r}, expected {SQLITE} and a path")
        return None, ""
    path, _, query = uri.removeprefix(prefix).partition("?")
    if path.startswith("file:"):  # SQLite's own addresses, which it reads itself
        return None, ""
    if path in {"", ":memory:"}:
        raise InputError(
            f"conf/mlflow.yml: tracking_uri is {uri!r}, which forgets its runs; expected {SQLITE} and a path"
        )
    return Path(unquote(path)), query


def sqlite_uri(path: Path, query: str = "") -> str:
    """Return the address of a database at any path, also one with spaces, `%20`, `?` or `#`."""
    escaped = quote(str(path))
    prefix = SQLITE if escaped == str(path) else SQLITE_DRIVER
    return prefix + escaped + (f"?{query}" if query else "")


def without_credentials(uri: str) -> str:
    """Return an address without user, password and, but for a file's, query."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.startswith("sqlite"):
        return uri
    rest = rest.partition("?")[0]
    longest = next(iter(_credentials(uri)), None)
    return f"{scheme}://{rest if longest is None else rest.removeprefix(f'{longest}@')}"


def secrets_of(uri: str) -> set[str]:
    """Return what an address and the environment hold that must not be seen, as it stands there and decoded."""
    secrets = {value for name in SECRET_VARIABLES if (value := os.environ.get(name))}
    for credentials in _credentials(uri):
        user, separator, password = credentials.partition(":")
        secrets.add(password if separator else user)
        secrets.add(base64.b64encode(unquote(credentials).encode()).decode())
    for key, value in parse_qsl(uri.partition("?")[2]):
        if SECRET_KEY.search(key):
            secrets.add(value)
        secrets.update(part for name, part in _odbc(value) if SECRET_KEY.search(name))
    return {form for secret in secrets for form in (secret, unquote(secret), quote(secret, safe="")) if form}


def _credentials(uri: str) -> list[str]:
    """Return what `user:password` of an address may be, longest first.

    An unescaped `/` or `@` may belong to a password, which then ends at the last `@`, or to a path behind the host.
    """
    rest = uri.partition("://")[2].partition("?")[0]
    host = rest.partition("/")[0]
    longest = rest.rpartition("@")[0]
    possible = [longest] if ":" in longest or "@" in host else []
    if "@" in host:
        possible.append(host.rpartition("@")[0])
    return possible


def _odbc(value: str) -> Iterator[tuple[str, str]]:
    for part in value.split(";"):
        name, separator, setting = part.partition("=")
        if separator:
            yield name, setting


def use_credentials(credentials: Mapping[str, Any]) -> None:
    """Give MLflow's client the block `mlflow` of credentials.yml; variables of the environment win.

    Raises:
        InputError: the block has other keys, or values that are no text.
    """
    block = credentials.get("mlflow") or {}
    if not isinstance(block, Mapping) or not all(
        key in VARIABLES and isinstance(value, str) for key, value in block.items()
    ):
        keys = ", ".join(map(str, block)) if isinstance(block, Mapping) else "no keys"
        raise InputError(f"conf: credentials.mlflow has {keys}, expected texts under {', '.join(VARIABLES)}")
    for key, value in block.items():
        os.environ.setdefault(VARIABLES[key], value)


def _group() -> str | None:
    value = os.environ.get(GROUP)
    if value and not GROUP_NAME.fullmatch(value):
        raise InputError(f"{GROUP} is {value!r}, expected up to 200 letters, digits and signs of _ . : + / @ -")
    return value or None


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"conf/mlflow.yml: experiment is {value!r}, expected a name")
    return value


def _seconds(configuration: Mapping[str, Any], key: str) -> int:
    value = configuration[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 24 * 3600:
        raise InputError(f"conf/mlflow.yml: {key} is {value!r}, expected a number of seconds from 1 to a day's")
    return int(value)
