"""Errors of a server, a database or a driver: which requests to repeat, and the sentences for the others."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from counterpoise.tracking.addresses import TrackingSettings

REASON_LENGTH = 200

REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
BUSY = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}

SAID_STATUS = re.compile(r"too many (\d{3}) error responses|failed with error code (\d{3})")
"""How urllib3, after the last try of a request, and MLflow say a status that their errors do not carry."""

SAID_REFUSAL = re.compile(r"(\b401\b|unauthori[sz]ed|unauthenticated)|\b403\b|forbidden", re.IGNORECASE)
"""What a proxy in front of the server says, in JSON that is not MLflow's."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow from logging the traceback, with the address, of an error that becomes one sentence."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic", "urllib3")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def chain(error: BaseException) -> list[BaseException]:
    """Return an error and those that it was raised from, whether its code says so or not."""
    errors: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in errors:
        errors.append(cause)
        cause = cause.__cause__ or cause.__context__
    return errors


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that a server answered with, if it answered with an error."""
    from mlflow.exceptions import RestException
    from requests.exceptions import RequestException

    for cause in chain(error):
        if isinstance(cause, RequestException) and cause.response is not None:
            return cause.response.status_code
        if status := SAID_STATUS.search(str(cause)):
            return int(status[1] or status[2])
    if not isinstance(error, RestException):
        return None
    if "error_code" not in error.json and (refusal := SAID_REFUSAL.search(str(error.json))):
        return HTTPStatus.UNAUTHORIZED if refusal[1] else HTTPStatus.FORBIDDEN
    return int(error.get_http_status_code())


def is_unreachable(error: BaseException) -> bool:
    """Whether no connection came about: refused, no such host, no route, no answer to the first packet."""
    from requests.exceptions import ConnectTimeout, InvalidSchema, InvalidURL, ProxyError, SSLError
    from urllib3.exceptions import NewConnectionError

    causes = chain(error)
    reasons = [getattr(argument, "reason", None) for cause in causes for argument in cause.args]
    kinds = (ConnectTimeout, InvalidURL, InvalidSchema, ProxyError, SSLError, NewConnectionError)
    return any(isinstance(cause, kinds) for cause in [*causes, *reasons])


def is_slow(error: BaseException) -> bool:
    """Whether a server was reached and had not answered in time."""
    from requests.exceptions import ReadTimeout

    return any(isinstance(cause, ReadTimeout) for cause in chain(error))


def is_locked(error: BaseException) -> bool:
    """Whether another process was writing to the SQLite database."""
    return any("database is locked" in str(cause) for cause in chain(error))


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later: a server that is slow, busy or restarting, a database in use."""
    from requests.exceptions import ChunkedEncodingError, ConnectionError, Timeout

    status = status_of(error)
    if status in REFUSED:
        return False
    dropped = any(isinstance(cause, ConnectionError | Timeout | ChunkedEncodingError) for cause in chain(error))
    return dropped or is_locked(error) or _lost_connection(error) or status in BUSY


def _lost_connection(error: BaseException) -> bool:
    """Whether a database server closed the connection: it restarts, say."""
    return any(getattr(cause, "connection_invalidated", False) for cause in chain(error))


def sentence(error: BaseException, settings: TrackingSettings, remedy: str) -> str:
    """Return what to tell the user: what is wrong with MLflow at which address, and what to do."""
    place, status = f"MLflow at {settings.shown}", status_of(error)
    reason = settings.conceal(" ".join(_text(error).split()))
    reason = reason if len(reason) <= REASON_LENGTH else f"{reason[: REASON_LENGTH - 1]}…"
    login = f"check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the address; {remedy}"
    if status == HTTPStatus.UNAUTHORIZED:
        return f"{place} does not accept the user name, password or token (401): {login}"
    if status == HTTPStatus.FORBIDDEN:
        return f"{place} does not allow this user to log here (403): {login}"
    if module := next((cause.name for cause in chain(error) if isinstance(cause, ModuleNotFoundError)), None):
        return f"{place} needs the Python package {module!r}, which is not installed: install it, or {remedy}"
    if _revision(error):
        return (
            f"{place} is a database of another version of MLflow ({reason}): use that version, or keep a copy and run "
            f"`mlflow db upgrade {settings.shown}`; {remedy}"
        )
    if is_locked(error):
        return f"{place} is in use by another process (database is locked): wait until it has ended; {remedy}"
    if is_slow(error):
        return f"{place} did not answer in {settings.patience_seconds} s: {remedy}"
    if status in BUSY:
        return f"{place} answered with the error {status} for {settings.patience_seconds} s: {remedy}"
    return f"{place} cannot be reached ({reason}): {remedy}"


def _revision(error: BaseException) -> bool:
    signs = ("Can't locate revision", "out-of-date database schema")
    return any(sign in str(cause) for sign in signs for cause in chain(error))


def _text(error: BaseException) -> str:
    """Return the part of an error that says what happened: a driver's own words, not SQLAlchemy's around them."""
    for cause in chain(error):
        driver = getattr(cause, "orig", None)
        if isinstance(driver, Exception):
            return str(driver).splitlines()[0] if str(driver) else type(driver).__name__
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__
